select business.id, business.name, business.phone_number, business.timezone, business.language,
       settings.voice, settings.ai_model, settings.settings::text, settings.greeting_inbound, settings.prompt_compact,
       settings.prompt_full, lead.id, lead.first_name, lead.last_name, lead.full_name, lead.email, lead.notes,
       lead.custom::text, call_log.id
from business
left join business_settings settings on settings.business_id = business.id
left join lead on lead.business_id = business.id and lead.phone_number = $2::text
left join call_log on call_log.call_sid = $3::text
where business.phone_number = $1::text
