-- Who is called, and who calls.

create table business (
    id           bigint generated always as identity primary key,
    name         text not null,
    phone_number text not null unique, -- E.164; an incoming call finds its business by it
    timezone     text not null default 'UTC',
    language     text not null default 'en',
    created_at   timestamptz not null default now()
);

-- Apart from business: settings are edited often and are wide (prompts), the business row is
-- referenced from everywhere and stays narrow.
create table business_settings (
    business_id       bigint primary key references business (id) on delete cascade,
    voice             text,
    greeting_inbound  text,
    greeting_outbound text,
    prompt_compact    text,
    prompt_full       text,
    ai_model          text,
    refusal_text      text,
    settings          jsonb not null default '{}',
    updated_at        timestamptz not null default now()
);

create table lead (
    id           bigint generated always as identity primary key,
    business_id  bigint not null references business (id),
    phone_number text not null,
    first_name   text,
    last_name    text,
    full_name    text,
    email        text,
    notes        text,
    name_source  text, -- 'caller': said so in a call; anything else: where an import had it from
    custom       jsonb not null default '{}',
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    -- One person per number and business; also the index by which a call finds its lead.
    unique (business_id, phone_number)
);
