-- Before the first step.
-- On a live system a statement that waits for a table makes every later statement on that table wait
-- behind it. Give up soon instead; the step is tried again, and so can migrate be.
set lock_timeout = '5s';
set client_min_messages = warning;
create table if not exists schema_migration (
    version    int primary key,
    name       text not null,
    applied_at timestamptz not null default now()
)
