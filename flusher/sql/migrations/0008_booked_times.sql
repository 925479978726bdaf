-- The booked times of a business from now on, read with every call (load_call_context.sql). The index of the exclusion
-- constraint would find them too, at several times the cost.

-- step
-- What an attempt that was broken off has left. An index that is not valid serves nobody.
do $$
begin
    if exists (select from pg_index where indexrelid = to_regclass('appointment_booked_idx') and not indisvalid) then
        drop index appointment_booked_idx;
    end if;
end
$$;

-- step, outside a transaction
create index concurrently if not exists appointment_booked_idx on appointment (business_id, ends_at)
    where status = 'booked';

-- step
comment on index appointment_booked_idx is 'booked times from now on, read with every call';
