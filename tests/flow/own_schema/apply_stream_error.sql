update calls
set meta = calls.meta || jsonb_build_object('stream_error', said.error)
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
    as said (sid, seq, at_ms, stream_sid, error)
where calls.sid = said.sid
