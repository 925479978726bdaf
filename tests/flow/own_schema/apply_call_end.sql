update calls
set meta = calls.meta || jsonb_build_object('end_reason', said.reason, 'metrics', nullif(said.metrics, '')::jsonb)
from (
    select distinct on (sid) sid, reason, metrics
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) as e (sid, seq, at_ms, reason, metrics)
    order by sid, seq desc
) said
where calls.sid = said.sid
