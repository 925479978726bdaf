-- What became of a call: for GET /calls/{call_sid}, and for a report that comes when the call has left Redis. Not
-- asked while the call is there.
--
-- in   $1 call_sid
-- out  one row of texts, or none: there is no such call
--        status            the carrier's word, of an attempt in-progress until there is one
--        direction         inbound | outbound
--        conversation_id, provider_call_sid, reason (why it ended), duration_seconds
--        started_at, ended_at   ISO 8601, in UTC
--        spoken            true | false, as a boolean or a text: whether what was said in it has been written down;
--                          if so a report that comes late does not bring it again
select status,
       direction,
       conversation_id,
       provider_call_sid,
       end_reason as reason,
       duration_seconds::text as duration_seconds,
       to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as started_at,
       to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as ended_at,
       exists (select from conversation_turn where conversation_turn.call_sid = call_log.call_sid) as spoken
from call_log
where call_sid = $1::text
