-- call_link: the ids that others know the call by.
-- $1 call_sid  $2 seq  $3 at  $4 conversation_id  $5 provider_call_sid
with link as (
    select call_sid,
           (array_agg(conversation_id order by seq desc) filter (where conversation_id <> ''))[1] as conversation_id,
           (array_agg(provider_call_sid order by seq desc) filter (where provider_call_sid <> ''))[1] as provider_call_sid
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
        as e (call_sid, seq, at_ms, conversation_id, provider_call_sid)
    group by call_sid
)
insert into call_log as old (call_sid, conversation_id, provider_call_sid)
select call_sid, conversation_id, provider_call_sid
from link
on conflict (call_sid) do update set
    conversation_id = coalesce(excluded.conversation_id, old.conversation_id),
    provider_call_sid = coalesce(excluded.provider_call_sid, old.provider_call_sid)
