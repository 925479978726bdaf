-- The flusher's own table. It is needed with any schema: whoever brings their own tables applies
-- this file and overrides apply_<type>.sql.

-- The ledger: how far each call's two journals are in this database. The row moves in the same
-- transaction as the rows it vouches for; that is what makes "exactly once" true after any crash.
-- Redis only says which calls may have news.
create table call_flush (
    call_sid     text primary key,
    writes_epoch bigint not null default 0, -- last applied id of the media journal, <epoch>-<seq>
    writes_seq   bigint not null default 0,
    events_ms    bigint not null default 0, -- last applied id of the webhooks' journal, <ms>-<n>
    events_n     bigint not null default 0,
    flushed_at   timestamptz not null default now()
);

-- Entries below the ledger's marks that were refused, and applied later by hand (flusher dead replay).
create table call_replay (
    call_sid    text not null,
    stream      text not null, -- writes, events
    entry_id    text not null,
    replayed_at timestamptz not null default now(),
    primary key (call_sid, stream, entry_id)
);

-- For apply_<type>.sql: refuses an entry that cannot be placed. The class of the error (P0) tells
-- the flusher that the entry is at fault, so it goes to the dead stream with this reason and the
-- rest of its call is applied. Volatile, so that no planner calls it early.
create function ringfleet_refuse(reason text) returns boolean
    language plpgsql volatile
as $$
begin
    raise exception '%', reason;
end
$$;
