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
--
begin
--
insert into call_log (call_sid, business_id, direction, from_number, to_number, status) select $3::text, id, 'inbound', $2::text, $1::text, 'ringing' from business where phone_number = $1::text on conflict do nothing
--
commit
--
begin
--
update call_log set status = 'in-progress', started_at = now() where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
insert into call_session (call_sid) select $3::text where $1::text <> '' and $2::text <> '' on conflict do nothing
--
commit
--
select * from business where phone_number = $1::text and $2::text <> '' and $3::text <> ''
--
select l.* from lead l, business b where l.business_id = b.id and b.phone_number = $1::text and l.phone_number = $2::text and $3::text <> ''
--
select a.* from appointment a, lead l, business b where a.lead_id = l.id and a.starts_at > now() and l.business_id = b.id and b.phone_number = $1::text and l.phone_number = $2::text and $3::text <> ''
--
begin
--
insert into call_session (call_sid, data) select $3::text, '{"turns": [{"caller": "Hello"}]}' where $1::text <> '' and $2::text <> '' on conflict (call_sid) do update set data = excluded.data
--
update lead set full_name = 'Jane Miller' where phone_number = $2::text and $1::text <> '' and $3::text <> '' and business_id = (select id from business where phone_number = $1::text)
--
commit
--
select * from call_log where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
begin
--
update call_log set status = 'completed', ended_at = now() where call_sid = $3::text and $1::text <> '' and $2::text <> ''
--
commit
