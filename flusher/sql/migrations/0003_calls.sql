-- Calls, and what was said and agreed in them.
--
-- Tables that the flusher fills carry call_sid, but no foreign key to call_log: an entry must never
-- be refused because the row of its call is missing (a call that was answered from a snapshot while
-- this database was away has none until its first status arrives), and the check would cost each turn.

create table outbound_call_job (
    id           bigint generated always as identity primary key,
    business_id  bigint not null references business (id),
    lead_id      bigint not null references lead (id),
    call_sid     text unique,
    purpose      text,
    context      jsonb not null default '{}',
    status       text not null default 'queued',
    scheduled_at timestamptz,
    created_at   timestamptz not null default now()
);

-- A call_log that is here already is one from before calls had an identity of their own. It stays, with its
-- rows, and 0005 brings it to the same shape as a new one.
do $$
begin
    if to_regclass('call_log') is not null then
        return;
    end if;
    create table call_log (
        id                   bigint generated always as identity primary key,
        call_sid             text,
        business_id          bigint references business (id),
        lead_id              bigint references lead (id),
        outbound_call_job_id bigint references outbound_call_job (id),
        direction            text,
        from_number          text,
        to_number            text,
        provider_call_sid    text,
        conversation_id      text,
        status               text, -- the carrier's word; only its webhooks change it
        status_sequence      int not null default -1, -- of the event that set status: late ones are below it
        duration_seconds     int,
        end_reason           text, -- why the media side ended
        started_at           timestamptz,
        ended_at             timestamptz,
        created_at           timestamptz not null default now()
    );
    comment on table call_log is 'made by ringfleet 0003_calls'; -- so the way back knows whose it is
end
$$;

create table call_session (
    call_sid   text primary key,
    data       jsonb not null default '{}',
    metrics    jsonb,
    updated_at timestamptz not null default now()
);

-- seq counts the turns of a call, 1, 2, 3, ... without gaps, in the order spoken. journal_seq is the number
-- of the journal's entry (flusher/sql/README.md), which entries of other types take too: it is what keeps
-- a turn from being written twice, should the ledger ever fail to.
create table conversation_turn (
    call_sid    text not null,
    seq         int not null,
    journal_seq bigint not null,
    speaker     text not null check (speaker in ('caller', 'assistant', 'system')),
    message     text not null,
    confidence  real,
    started_at  timestamptz,
    ended_at    timestamptz,
    interrupted boolean not null default false,
    primary key (call_sid, seq),
    unique (call_sid, journal_seq)
);

-- status: booked; conflict (a call agreed to a time that was taken meanwhile: somebody must ring the
-- caller back); cancelled. Only booked ones exclude each other.
create table appointment (
    id          bigint generated always as identity primary key,
    business_id bigint not null references business (id),
    lead_id     bigint references lead (id),
    call_sid    text,
    seq         bigint,
    starts_at   timestamptz not null,
    ends_at     timestamptz not null,
    title       text,
    notes       text,
    status      text not null default 'booked' check (status in ('booked', 'conflict', 'cancelled')),
    created_at  timestamptz not null default now(),
    check (ends_at > starts_at),
    unique (call_sid, seq),
    -- No two booked times of one business overlap. The business stands there as a range of one
    -- number, because GiST knows ranges without any extension, but plain numbers only with btree_gist.
    exclude using gist (int8range(business_id, business_id, '[]') with &&, tstzrange(starts_at, ends_at) with &&)
        where (status = 'booked')
);
create index appointment_lead_id_starts_at_idx on appointment (lead_id, starts_at);

create table recording (
    recording_sid    text primary key,
    call_sid         text not null,
    url              text,
    duration_seconds int,
    status           text not null default 'available',
    created_at       timestamptz not null default now()
);
create index recording_call_sid_idx on recording (call_sid);
