-- Everything a call needs to know when it is answered, in one row; the booked times follow (load_booked_times.sql). It
-- does not depend on the row that open_call.sql wrote: numbers find business and lead, so a call is served even if it
-- could not be recorded.
--
-- in   $1 call_sid   $2 from   $3 to   $4 direction: inbound | outbound: texts. Compare them as such ($3::text): a cast
--      that fails is a failed load. $2 of a caller who withholds the number is "anonymous"
--      For prompts (POST /prompts) there is no call: $1 is '', and the business' id may stand for its number.
-- out  one row (two are a failed load), of any types; every column that is not null becomes a field of the call's
--      context and can be used in prompts as {{column}}. Some are special:
--        business_id   required; no row, or null, means that nobody has this number: the call is refused
--        template_*    greeting_inbound, greeting_outbound, prompt_compact, prompt_full: templates the
--                      warmer renders; they are not kept themselves; null means the built-in one
--        template_channels   JSON of the same for messaging channels: {"sms": {"prompt_full": "..."}}
--        lead_first_name     is taken from lead_full_name when it is null
--        local_time          is made from business_timezone when there is none
--        lead_id             null: somebody who is not known yet; open_call.sql may make one
--        voice, language, ai_agent_id, business_timezone, working_hours, transfer_number, transfer_numbers, tools,
--        voicemail_message   what workers look for; common/redis/context.h has their form
--        apology_text, fallback_number, hold_text   for callers who must be sent away, or wait
--      While the database is away the business_* and template_* columns and the ones named above that are
--      not about one person are served from a snapshot to its other callers; all others are not kept.
with party as (
    select case $4::text when 'outbound' then $2::text else $3::text end as business,
           case $4::text when 'outbound' then $3::text else $2::text end as lead,
           case $4::text when 'outbound' then $1::text end as dialled -- a caller's call has no row yet, and no job
)
select business.id as business_id,
       business.name as business_name,
       business.phone_number as business_phone,
       business.timezone as business_timezone,
       business.language as language,
       settings.voice as voice,
       settings.ai_model as ai_model,
       settings.settings::text as business_settings,
       settings.working_hours::text as working_hours,
       settings.settings ->> 'transfer_number' as transfer_number,
       settings.settings ->> 'transfer_numbers' as transfer_numbers,
       settings.settings ->> 'tools' as tools,
       settings.settings ->> 'ai_agent_id' as ai_agent_id,
       settings.settings ->> 'voicemail_message' as voicemail_message,
       settings.settings ->> 'apology_text' as apology_text,
       settings.settings ->> 'fallback_number' as fallback_number,
       settings.settings ->> 'hold_text' as hold_text,
       settings.settings ->> 'channels' as template_channels,
       settings.greeting_inbound as template_greeting_inbound,
       settings.greeting_outbound as template_greeting_outbound,
       settings.prompt_compact as template_prompt_compact,
       settings.prompt_full as template_prompt_full,
       lead.id as lead_id,
       lead.phone_number as lead_phone,
       nullif(btrim(lead.first_name), '') as lead_first_name,
       nullif(btrim(lead.last_name), '') as lead_last_name,
       nullif(btrim(lead.full_name), '') as lead_full_name,
       lead.name_source as lead_name_source,
       lead.email as lead_email,
       lead.notes as lead_notes,
       lead.custom::text as lead_custom,
       call_log.id as call_log_id,
       job.id as job_id,
       job.purpose as job_purpose,
       nullif(job.context, '{}')::text as job_context
from party
join business on business.phone_number = case when $1::text <> '' then party.business else coalesce(
    (select phone_number from business where phone_number = party.business),
    (select phone_number from business
     where id = case when party.business ~ '^[0-9]{1,18}$' then party.business::bigint end)) end
left join business_settings settings on settings.business_id = business.id
left join call_log on call_log.call_sid = party.dialled
left join lead on lead.business_id = business.id
    and lead.phone_number = party.lead
left join outbound_call_job job on job.call_sid = party.dialled;
