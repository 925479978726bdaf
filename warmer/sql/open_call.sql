-- Records a call attempt, before anything else is known of it. An unknown caller of a known business
-- becomes a lead. The same call twice changes nothing.
--
-- Travels behind load_call_context.sql and load_booked_times.sql, in the same round trip. Nobody waits for its commit:
-- where the load has found no lead_id, this one completes the context (of callers who come in a crowd, before the answer).
--
-- in   $1 call_sid   $2 from ("anonymous": the number is withheld)   $3 to   $4 direction: inbound | outbound
-- out  no row, or one whose columns complete those of the load (for a caller it did not know): lead_id
with party as (
    select $1::text as call_sid, $2::text as from_number, $3::text as to_number, $4::text as direction,
           case $4 when 'outbound' then $2 else $3 end as business_number,
           case $4 when 'outbound' then $3 else $2 end as lead_number
), known as (
    select party.*, business.id as business_id, lead.id as lead_id
    from party
    left join business on business.phone_number = party.business_number
    left join lead on lead.business_id = business.id and lead.phone_number = party.lead_number
), new_lead as (
    -- The conflict is two first calls of one person at the same moment: both get the one lead.
    insert into lead (business_id, phone_number)
    select business_id, lead_number
    from known
    where business_id is not null and lead_id is null and lead_number ~ '^\+[1-9][0-9]{4,14}$'
    on conflict (business_id, phone_number) do update set phone_number = excluded.phone_number
    returning id
), opened as (
    insert into call_log (call_sid, driver, business_id, lead_id, outbound_call_job_id, direction, from_number,
                          to_number, provider_call_sid, status, started_at)
    select known.call_sid, latest.driver, known.business_id, coalesce(known.lead_id, new_lead.id), job.id, known.direction,
           known.from_number, known.to_number,
           case known.direction when 'inbound' then known.call_sid end, 'ringing', now()
    from known
    left join new_lead on true
    left join outbound_call_job job on job.call_sid = known.call_sid
    left join lateral (
        -- Who calls back is who was called.
        select driver from call_log where lead_id = known.lead_id order by created_at desc limit 1
    ) latest on true
    on conflict (call_sid) do nothing
)
select coalesce(known.lead_id, new_lead.id) as lead_id
from known
left join new_lead on true;
