select json_agg(json_build_object('start', lower(booking.during), 'end', upper(booking.during)))::text as booked_slots
from tenants tenant
join bookings booking on booking.tenant_id = tenant.id
    and booking.during && tstzrange(now(), now() + interval '14 days')
where tenant.phone = case $4::text when 'outbound' then $2::text else $3::text end
   or ($1::text = '' and tenant.id::text = case $4::text when 'outbound' then $2::text else $3::text end)
