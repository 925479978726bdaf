-- Every row of call_log gets an identity of its own, call_sid, whoever wrote it; and reports on top of it.
--
-- It brings a call_log from before (rows without call_sid, a conversation_id that had to be there) to the
-- same shape as a new one, while code that knows nothing of call_sid goes on inserting. A row without one gets
-- EL_{driver}_{epoch}: the driver of the call (column driver, else driver_id; UNKNOWN where there is none) and
-- the second it began (started_at, else created_at). Where that is taken, or may be, _{id} is put behind it.
-- Such a table must have a column id.

-- step
alter table call_log
    add column if not exists call_sid text,
    add column if not exists driver text, -- for whom the call was made, or who made it, as the old rows had it
    add column if not exists business_id bigint,
    add column if not exists lead_id bigint,
    add column if not exists outbound_call_job_id bigint,
    add column if not exists direction text,
    add column if not exists from_number text,
    add column if not exists to_number text,
    add column if not exists provider_call_sid text,
    add column if not exists conversation_id text,
    add column if not exists status text,
    add column if not exists status_sequence int not null default -1,
    add column if not exists duration_seconds int,
    add column if not exists end_reason text,
    add column if not exists started_at timestamptz,
    add column if not exists ended_at timestamptz,
    add column if not exists created_at timestamptz not null default now(),
    alter column conversation_id drop not null;

-- The driver of a row of call_log; the row is taken as JSON, so that it may have the one column or the other.
create or replace function ringfleet_driver(call jsonb) returns text
    language sql immutable
as $$
    select coalesce(nullif(call ->> 'driver', ''), nullif(call ->> 'driver_id', ''))
$$;

create or replace function ringfleet_began(call jsonb) returns timestamptz
    language sql stable
as $$
    select coalesce((call ->> 'started_at')::timestamptz, (call ->> 'created_at')::timestamptz, now())
$$;

create or replace function ringfleet_call_sid(call jsonb) returns text
    language sql stable
as $$
    select format('EL_%s_%s',
                  left(regexp_replace(coalesce(ringfleet_driver(call), 'UNKNOWN'), '[^A-Za-z0-9_.:+-]', '-', 'g'), 64),
                  extract(epoch from ringfleet_began(call))::bigint)
$$;

-- For code that does not know call_sid yet: from here on no row without one appears. Of two that are written at
-- the same moment under one name only one gets the lock, so neither waits and neither fails.
create or replace function ringfleet_name_call() returns trigger
    language plpgsql
as $$
declare
    taken boolean;
begin
    new.call_sid := ringfleet_call_sid(to_jsonb(new));
    taken := not pg_try_advisory_xact_lock(726269, hashtext(new.call_sid));
    -- A statement of its own: it must see what was committed by whoever had the lock until a moment ago.
    if not taken then
        taken := exists (select from call_log where call_sid = new.call_sid);
    end if;
    if taken then
        new.call_sid := new.call_sid || '_' || new.id;
    end if;
    return new;
end
$$;

drop trigger if exists ringfleet_name_call on call_log;
create trigger ringfleet_name_call before insert on call_log
    for each row when (new.call_sid is null) execute function ringfleet_name_call();

-- step
-- What an attempt that was broken off has left. An index that is not valid serves nobody.
do $$
declare
    broken text;
begin
    for broken in
        select indexrelid::regclass::text from pg_index
        where indrelid = 'call_log'::regclass and not indisvalid
          and indexrelid in (to_regclass('call_log_call_sid_key'),
                             to_regclass('call_log_business_id_created_at_idx'),
                             to_regclass('call_log_lead_id_created_at_idx'))
    loop
        execute 'drop index ' || broken;
    end loop;
end
$$;

-- step, outside a transaction
create unique index concurrently if not exists call_log_call_sid_key on call_log (call_sid);

-- step, outside a transaction
create index concurrently if not exists call_log_business_id_created_at_idx on call_log (business_id, created_at);

-- step, outside a transaction
create index concurrently if not exists call_log_lead_id_created_at_idx on call_log (lead_id, created_at);

-- step, repeated until it returns 0
with chunk as materialized (
    select ctid as place, to_jsonb(call_log) as call
    from call_log
    where call_sid is null
    limit 2000
    for update
), named as (
    select place, call, ringfleet_call_sid(call) as sid
    from chunk
), numbered as (
    select place, call, sid, row_number() over (partition by sid order by (call ->> 'id')::bigint) as n
    from named
), done as (
    update call_log
    set call_sid = sid || case when n > 1 or exists (select from call_log other where other.call_sid = sid)
                                    -- another may be written in the same second, at this moment
                                    or ringfleet_began(call) > now() - interval '1 minute'
                               then '_' || (call ->> 'id') else '' end,
        driver = ringfleet_driver(call)
    from numbered
    where call_log.ctid = place
    returning 1
)
select count(*) from done;

-- step
alter table call_log drop constraint if exists call_log_call_sid_given;
alter table call_log add constraint call_log_call_sid_given check (call_sid is not null) not valid;

-- step
-- Reads the whole table, but locks nobody out.
alter table call_log validate constraint call_log_call_sid_given;

-- step
-- The server sees by the constraint that there is no null, and does not read the table again.
alter table call_log alter column call_sid set not null;
alter table call_log drop constraint call_log_call_sid_given;

-- How calls ended, by the day they began (UTC) and for whom they were made.
create view call_report_by_driver as
select (coalesce(started_at, created_at) at time zone 'UTC')::date as day,
       coalesce(driver, 'UNKNOWN') as driver,
       count(*) as calls,
       count(*) filter (where status = 'completed') as succeeded,
       count(*) filter (where status in ('busy', 'failed', 'no-answer', 'canceled')) as failed
from call_log
group by 1, 2;

-- The same by business, by the day it was there.
create view call_report_by_business as
select (coalesce(call_log.started_at, call_log.created_at) at time zone coalesce(business.timezone, 'UTC'))::date as day,
       call_log.business_id,
       business.name as business_name,
       count(*) as calls,
       count(*) filter (where status = 'completed') as succeeded,
       count(*) filter (where status in ('busy', 'failed', 'no-answer', 'canceled')) as failed
from call_log
left join business on business.id = call_log.business_id
group by 1, 2, 3;
