update calls
set meta = calls.meta || jsonb_build_object('recording', said.url)
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])
    as said (sid, seq, at_ms, recording_sid, url, duration)
where calls.sid = said.sid
