with tenant as (
    select id, phone, config from tenants where phone = $2::text or id::text = $2::text
), contact as (
    insert into contacts (tenant_id, msisdn, profile)
    select id, $6::text, jsonb_strip_nulls(jsonb_build_object('driver', $4::text, 'agent', $3::text, 'lead', $5::text))
    from tenant
    on conflict (tenant_id, msisdn) do update set msisdn = excluded.msisdn
    returning id, tenant_id
), opened as (
    insert into calls (sid, tenant_id, contact_id, caller, callee, state, meta)
    select $1::text, tenant.id, contact.id, tenant.phone, $6::text, 'in-progress',
           jsonb_strip_nulls(jsonb_build_object('purpose', $7::text, 'context', $8::text, 'at', $9::text))
    from tenant join contact on contact.tenant_id = tenant.id
    on conflict (sid) do nothing
)
select case when tenant.id is null then 'no tenant has this id or number' end as refused,
       tenant.id::text as business_id, tenant.phone as from_number, $6::text as to_number,
       contact.id::text as lead_id, 'twilio' as carrier, tenant.config ->> 'timezone' as business_timezone
from (select 1) as one
left join tenant on true
left join contact on true
