update calls
set meta = calls.meta || jsonb_build_object('conversation_id', said.conversation_id)
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
    as said (sid, seq, at_ms, conversation_id, provider_call_sid)
where calls.sid = said.sid
