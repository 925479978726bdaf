select tenant.id as business_id,
       tenant.display_name as business_name,
       tenant.config ->> 'timezone' as business_timezone,
       tenant.config #>> '{voice,name}' as voice,
       tenant.config #>> '{voice,language}' as language,
       tenant.config ->> 'opening' as working_hours,
       tenant.config ->> 'greeting' as template_greeting_inbound,
       tenant.config ->> 'prompt' as template_prompt_full,
       'gold' as plan,
       contact.id as lead_id,
       contact.profile ->> 'name' as lead_full_name,
       $1::text as asked_as
from tenants tenant
left join contacts contact on contact.tenant_id = tenant.id
    and contact.msisdn = case $4::text when 'outbound' then $3::text else $2::text end
where tenant.phone = case $4::text when 'outbound' then $2::text else $3::text end
   or ($1::text = '' and tenant.id::text = case $4::text when 'outbound' then $2::text else $3::text end)
