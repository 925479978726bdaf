-- What a business is told of a call, and where. The body is sent as it is returned here; warmer and worker know
-- nothing of it. Its members are in flusher/jobs/after_call.schema.json.
-- $1 call_sid  $2 age_ms: how long the call has been in the database
-- -> one row, also for a call of which the database has nothing else
--    ready: false as long as the carrier's final word is missing, for a minute at most; for a day (none goes on for
--    longer) if no worker said that the call was over: one that was lost may come back, and the call with it
--    url, secret: the business's own, or NULL for those of the settings
--    body
select coalesce(call_log.status in ('completed', 'busy', 'failed', 'no-answer', 'canceled'), false)
           or $2::bigint >= case when coalesce(call_log.end_reason, 'worker_lost') = 'worker_lost'
                                 then 86400000 else 60000 end as ready,
       business_settings.settings ->> 'after_call_url' as url,
       business_settings.settings ->> 'after_call_secret' as secret,
       jsonb_build_object(
           'type', 'call.ended',
           'call_sid', call.sid,
           'business_id', call_log.business_id,
           'lead_id', call_log.lead_id,
           'lead_name', lead.full_name,
           'direction', call_log.direction,
           'from', call_log.from_number,
           'to', call_log.to_number,
           'conversation_id', call_log.conversation_id,
           'provider_call_sid', call_log.provider_call_sid,
           'status', call_log.status,
           'end_reason', call_log.end_reason,
           'started_at', call_log.started_at,
           'ended_at', call_log.ended_at,
           'duration_seconds', call_log.duration_seconds,
           'session', coalesce(call_session.data, '{}'),
           'turns', coalesce(
               (select jsonb_agg(jsonb_build_object('speaker', speaker, 'text', message, 'at', started_at,
                                                    'interrupted', interrupted) order by seq)
                from conversation_turn where conversation_turn.call_sid = call.sid),
               '[]'),
           'appointments', coalesce(
               (select jsonb_agg(jsonb_build_object('id', id, 'starts_at', starts_at, 'ends_at', ends_at, 'title', title,
                                                    'status', status) order by starts_at)
                from appointment where appointment.call_sid = call.sid),
               '[]'),
           'recordings', coalesce(
               (select jsonb_agg(jsonb_build_object('recording_sid', recording_sid, 'status', status,
                                                    'duration_seconds', recording.duration_seconds,
                                                    'location', location) order by recording.created_at)
                from recording where recording.call_sid = call.sid),
               '[]'))::text as body
from (select $1::text as sid) as call
left join call_log on call_log.call_sid = call.sid
left join lead on lead.id = call_log.lead_id
left join call_session on call_session.call_sid = call.sid
left join business_settings on business_settings.business_id = call_log.business_id
