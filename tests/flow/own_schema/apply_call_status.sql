update calls
set state = said.status, meta = calls.meta || jsonb_build_object('seconds', said.duration)
from (
    select distinct on (sid) sid, status, duration
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
        as e (sid, seq, at_ms, status, duration, sequence, reason)
    order by sid, nullif(sequence, '')::int desc, seq desc
) said
where calls.sid = said.sid
