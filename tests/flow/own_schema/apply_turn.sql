insert into messages (call_sid, position, role, body)
select sid, seq, speaker, message
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    as e (sid, seq, at_ms, speaker, message, confidence, started_ms, ended_ms, interrupted)
