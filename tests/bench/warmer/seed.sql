-- A business with a prompt of 6 KB, 20,000 leads and 20 booked times of it, and as many businesses and calls beside it.
insert into business (name, phone_number) select 'Business ' || n, '+1416' || lpad(n::text, 7, '0') from generate_series(1, 20000) n;
insert into business (name, phone_number, timezone) values ('Harbour Dental', '+14155550199', 'America/New_York');
insert into business_settings (business_id, voice, greeting_inbound, prompt_compact, prompt_full)
select id, 'marin', 'Thank you for calling {{business_name}}.', 'You answer the phone of {{business_name}}.',
       'You answer the phone of {{business_name}}. It is {{local_time}}. ' || repeat('Be brief and friendly. ', 260)
from business;
insert into lead (business_id, phone_number, full_name, notes)
select business.id, '+1415556' || lpad(n::text, 4, '0'), 'Jane Miller', 'Called last year.'
from business, generate_series(0, 1999) n where business.phone_number = '+14155550199';
insert into lead (business_id, phone_number, full_name)
select business.id, '+1415557' || lpad(n::text, 5, '0'), 'John Miller'
from business, generate_series(0, 17999) n where business.phone_number = '+14155550199';
insert into appointment (business_id, starts_at, ends_at)
select id, date_trunc('hour', now()) + n * interval '5 hours', date_trunc('hour', now()) + n * interval '5 hours' + interval '30 minutes'
from business, generate_series(1, 20) n where phone_number = '+14155550199';
insert into appointment (business_id, starts_at, ends_at)
select id, date_trunc('hour', now()) + n * interval '1 day', date_trunc('hour', now()) + n * interval '1 day' + interval '30 minutes'
from business, generate_series(1, 5) n where phone_number <> '+14155550199';
insert into call_log (call_sid, direction) select 'CAseed' || n, 'inbound' from generate_series(1, 20000) n;
analyze;
