update contacts
set profile = contacts.profile || said.profile
from (
    select lead_id::uuid as id, jsonb_object_agg(case field when 'full_name' then 'name' else field end, value order by seq) as profile
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])
        as e (sid, seq, at_ms, lead_id, field, value)
    group by lead_id
) said
where contacts.id = said.id
