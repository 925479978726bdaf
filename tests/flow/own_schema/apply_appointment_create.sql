insert into bookings (tenant_id, contact_id, during, title)
select business_id::uuid, nullif(lead_id, '')::uuid, tstzrange(starts_at::timestamptz, ends_at::timestamptz), title
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    as e (sid, seq, at_ms, business_id, lead_id, starts_at, ends_at, title, notes)
