select state as status,
       meta ->> 'direction' as direction,
       meta ->> 'conversation_id' as conversation_id,
       meta ->> 'carrier_sid' as provider_call_sid,
       meta ->> 'end_reason' as reason,
       meta ->> 'seconds' as duration_seconds,
       null::text as started_at,
       null::text as ended_at,
       exists (select from messages where call_sid = $1::text)::text as spoken
from calls
where sid = $1::text
