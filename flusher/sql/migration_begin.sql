-- Begins each migration's transaction.
begin;
-- Of two `flusher migrate` at once the second waits here, and then finds the work done. The number
-- is this project's own.
select pg_advisory_xact_lock(7262697067);
-- On a live system a statement that waits for a table makes every later statement on that table wait
-- behind it. Give up soon instead; migrate can be run again.
set local lock_timeout = '5s';
set local client_min_messages = warning;
create table if not exists schema_migration (
    version    int primary key,
    name       text not null,
    applied_at timestamptz not null default now()
);
