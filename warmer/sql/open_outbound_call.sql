-- Records an attempt to call somebody, before the provider is asked, and says how to make it: agent and number
-- come from here. The same call twice changes nothing and answers the same.
--
-- in   $1 call_sid   $2 business: id or phone number   $3 agent: a name, or null for the business' usual one
--      $4 driver_id   $5 lead_id   $6 to   $7 purpose   $8 context (JSON object)   $9 scheduled_at (ms since 1970):
--      texts, as the client sent them; each but the first two may be null
-- out  one row of texts; every column that is not null is kept with the call until it is over
--        refused             why this call will not be made; then nothing else is needed. A statement that fails on what it
--                            was given (flusher/sql/README.md, rules) refuses as well, with the words of its error; none or
--                            several rows, and any other error, are unavailable: the client asks again
--        business_id         never null: the places of a business are counted by it
--        from_number, to_number, lead_id
--        carrier             twilio: our workers carry the media; elevenlabs: the provider does
--        agent_id            null: the workers' usual one; needed with elevenlabs
--        agent_phone_number_id   with elevenlabs: its id of the number to call from
--        callee_timezone     of the calling hours; null, or none that is known: business_timezone. Here it is the
--                            member timezone of lead.custom, such as "America/Denver": a number does not tell it
--        business_timezone
--        calling_hours, max_calls, machine_detection   null: RINGFLEET_CALLING_HOURS and so on
--
-- An agent by name is an object in business_settings.settings -> 'agents' with the same members that the settings
-- themselves have for the usual one: ai_agent_id, carrier, agent_phone_number_id.
with asked as (
    select $1::text as call_sid, $2::text as business, $3::text as agent, $4::text as driver_id,
           case when $5::text ~ '^[0-9]{1,18}$' then $5::text::bigint end as lead_id, $5::text as lead, $6::text as to_number,
           $7::text as purpose, coalesce($8::text, '{}')::jsonb as context,
           to_timestamp($9::text::float8 / 1000) as scheduled_at
), place as (
    select business.id, business.phone_number, business.timezone, coalesce(settings.settings, '{}') as settings,
           case when asked.agent is null then coalesce(settings.settings, '{}')
                else settings.settings -> 'agents' -> asked.agent end as agent
    from asked
    join business on business.phone_number = asked.business
                  or business.id = case when asked.business ~ '^[0-9]{1,18}$' then asked.business::bigint end
    left join business_settings settings on settings.business_id = business.id
), person as (
    select lead.id, lead.phone_number, lead.custom ->> 'timezone' as timezone
    from asked, place
    join lead on lead.business_id = place.id
    where case when asked.lead is not null then lead.id = asked.lead_id else lead.phone_number = asked.to_number end
), planned as (
    select asked.*, place.id as business_id, place.phone_number as from_number, place.timezone, place.settings, place.agent as how,
           person.id as known_lead, person.timezone as callee_timezone, coalesce(asked.to_number, person.phone_number) as callee,
           case when place.id is null then 'no business has this id or number'
                when place.agent is null then 'the business has no agent of this name (settings: agents)'
                when asked.lead is not null and person.id is null then 'the business has no lead with this id'
                when coalesce(asked.to_number, person.phone_number) !~ '^\+[1-9][0-9]{4,14}$'
                    then 'the number is not in the form +14155550123'
           end as refused
    from asked
    left join place on true
    left join person on true
), new_lead as (
    insert into lead (business_id, phone_number)
    select business_id, callee from planned where refused is null and known_lead is null
    on conflict (business_id, phone_number) do update set phone_number = excluded.phone_number
    returning id
), job as (
    insert into outbound_call_job (business_id, lead_id, call_sid, purpose, context, scheduled_at)
    select business_id, coalesce(known_lead, new_lead.id), call_sid, purpose, context, scheduled_at
    from planned
    left join new_lead on true
    where refused is null
    on conflict (call_sid) do nothing
    returning id
), opened as (
    -- What is refused is kept, too, where it is known whose it was.
    insert into call_log (call_sid, driver, business_id, lead_id, outbound_call_job_id, direction, from_number, to_number,
                          status, end_reason, ended_at)
    select call_sid, driver_id, business_id, coalesce(known_lead, new_lead.id), job.id, 'outbound', from_number, callee,
           case when refused is null then 'in-progress' else 'failed' end, refused,
           case when refused is not null then now() end
    from planned
    left join new_lead on true
    left join job on true
    where business_id is not null
    on conflict (call_sid) do nothing
)
select refused, business_id::text as business_id, from_number, callee as to_number,
       coalesce(known_lead, new_lead.id)::text as lead_id,
       coalesce(how ->> 'carrier', 'twilio') as carrier,
       how ->> 'ai_agent_id' as agent_id,
       how ->> 'agent_phone_number_id' as agent_phone_number_id,
       callee_timezone,
       timezone as business_timezone,
       settings ->> 'calling_hours' as calling_hours,
       settings ->> 'max_calls' as max_calls,
       settings ->> 'machine_detection' as machine_detection
from planned
left join new_lead on true;
