-- A database as a Python web application has it: plural names, tenants, UUID keys, settings as JSON.

create table tenants (
    id           uuid primary key default gen_random_uuid(),
    display_name varchar(200) not null,
    phone        varchar(32) not null unique,
    config       jsonb not null default '{}',
    created_at   timestamptz not null default now()
);

create table contacts (
    id         uuid primary key default gen_random_uuid(),
    tenant_id  uuid not null references tenants (id),
    msisdn     varchar(32) not null,
    profile    jsonb not null default '{}',
    unique (tenant_id, msisdn)
);

create table calls (
    id         uuid primary key default gen_random_uuid(),
    tenant_id  uuid references tenants (id),
    contact_id uuid references contacts (id),
    sid        varchar(64) not null unique,
    caller     varchar(64),
    callee     varchar(64),
    state      varchar(32),
    meta       jsonb not null default '{}'
);

create table messages (
    id       uuid primary key default gen_random_uuid(),
    call_sid varchar(64) not null,
    position bigint not null,
    role     varchar(16) not null,
    body     text not null,
    unique (call_sid, position)
);

create table bookings (
    id         uuid primary key default gen_random_uuid(),
    tenant_id  uuid not null references tenants (id),
    contact_id uuid references contacts (id),
    during     tstzrange not null,
    title      text,
    exclude using gist (during with &&) where (title is not null)
);

insert into tenants (display_name, phone, config)
values ('Harbour Dental', '+14155550199', '{
    "timezone": "Europe/Berlin",
    "voice": {"name": "marin", "language": "en"},
    "opening": {"thu": [["08:00", "18:00"]]},
    "greeting": "Thank you for calling {{business_name}}. {{#lead_first_name}}Nice to hear from you, {{lead_first_name}}.{{/lead_first_name}}{{^lead_first_name}}May I have your name, please?{{/lead_first_name}}",
    "prompt": "You answer the phone of {{business_name}}, plan {{plan}}."
}');
