select * from business where phone_number = $1::text and $2::text <> '' and $3::text <> ''
--
select s.* from business_settings s, business b where s.business_id = b.id and b.phone_number = $1::text and $2::text <> '' and $3::text <> ''
--
select l.* from lead l, business b where l.business_id = b.id and b.phone_number = $1::text and l.phone_number = $2::text and $3::text <> ''
--
select * from call_log where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
select * from outbound_call_job where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
select * from call_session where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
select a.* from appointment a, lead l, business b where a.lead_id = l.id and a.starts_at > now() and l.business_id = b.id and b.phone_number = $1::text and l.phone_number = $2::text and $3::text <> ''
