-- One business and one caller it knows by number but not by name.

insert into business (name, phone_number, timezone, language)
values ('Harbour Dental', '+14155550199', 'UTC', 'en');

insert into business_settings (business_id, voice, greeting_inbound, prompt_compact, prompt_full)
select
    id,
    'marin',
    'Thank you for calling {{business_name}}. {{#lead_first_name}}Nice to hear from you, '
        '{{lead_first_name}}.{{/lead_first_name}}{{^lead_first_name}}May I have your name, '
        'please?{{/lead_first_name}}',
    'You answer the phone of {{business_name}}. Be brief and friendly.',
    'You answer the phone of {{business_name}}, a dental practice. Be brief and friendly. '
        '{{#lead_first_name}}You speak with {{lead_first_name}}.{{/lead_first_name}}'
        '{{^lead_first_name}}You do not know the caller yet: ask for the name and store it with '
        'set_customer_name.{{/lead_first_name}} '
        'Opening hours: Monday to Friday from 8 to 18, Saturday from 9 to 12. '
        'Book check-ups of 30 minutes with book_appointment. '
        'When the caller says goodbye, say goodbye and use end_call.'
from business
where phone_number = '+14155550199';

insert into lead (business_id, phone_number, notes)
select id, '+14155550123', 'Called last year about whitening.'
from business
where phone_number = '+14155550199';
