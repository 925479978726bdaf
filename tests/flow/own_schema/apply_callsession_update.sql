update calls
set meta = calls.meta || jsonb_build_object('session', coalesce(calls.meta -> 'session', '{}') || said.data)
from (
    select distinct on (sid) sid, data::jsonb as data
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) as e (sid, seq, at_ms, data)
    order by sid, seq desc
) said
where calls.sid = said.sid
