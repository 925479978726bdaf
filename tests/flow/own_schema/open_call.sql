with tenant as (
    select id from tenants where phone = case $4::text when 'outbound' then $2::text else $3::text end
), contact as (
    insert into contacts (tenant_id, msisdn)
    select id, case $4::text when 'outbound' then $3::text else $2::text end from tenant
    where $2::text <> 'anonymous' -- who withholds the number is nobody we know, and not one person
    on conflict (tenant_id, msisdn) do update set msisdn = excluded.msisdn
    returning id, tenant_id
), opened as (
    insert into calls (sid, tenant_id, contact_id, caller, callee, state)
    select $1::text, tenant.id, contact.id, $2::text, $3::text, 'ringing' from tenant left join contact on true
    on conflict (sid) do nothing
)
select contact.id as lead_id from contact
