insert into calls (sid, tenant_id, contact_id, caller, callee, state)
select e.sid, tenants.id, contacts.id, e.caller, e.callee, 'ringing'
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
    as e (sid, seq, at_ms, caller, callee, direction, started_ms)
left join tenants on tenants.phone = e.callee
left join contacts on contacts.tenant_id = tenants.id and contacts.msisdn = e.caller
on conflict (sid) do nothing
