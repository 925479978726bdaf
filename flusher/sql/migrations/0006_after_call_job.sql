-- What is left to do once a call is in this database: fetch its recordings, write down what was said in them, tell
-- the business. The flusher's own table, needed with any schema as soon as one of these is switched on.
--
-- A row is written in the transaction of the flush that it follows from, so it exists if and only if the call's rows
-- do. Its key is what makes a callback that comes twice one job. It stays when it is settled, for the same reason.
create table after_call_job (
    kind       text not null check (kind in ('recording', 'transcript', 'hook')),
    subject    text not null, -- recording, transcript: the recording_sid; hook: the call_sid
    call_sid   text not null,
    source     text,          -- recording: the carrier's URL
    state      text not null default 'waiting' check (state in ('waiting', 'done', 'dead')),
    attempts   int not null default 0,
    owner      text,          -- who has it under way
    due_at     timestamptz not null default now(), -- when it may be taken, also from an owner who died
    progress   jsonb,         -- what an attempt has got so far and the next one need not get again
    result     text,          -- done: what came of it; recording: where the file is
    error      text,          -- why the last attempt failed
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (kind, subject)
);
-- The order in which they are taken: those that never failed first, so that one receiver who hangs delays
-- nobody else.
create index after_call_job_due_idx on after_call_job (kind, attempts, due_at) where state = 'waiting';
create index after_call_job_dead_idx on after_call_job (settled_at) where state = 'dead';
create index after_call_job_call_sid_idx on after_call_job (call_sid);
