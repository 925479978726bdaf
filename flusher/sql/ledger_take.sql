-- First statement of a flush: claims calls that were never flushed before.
-- $1 text[] call_sid, in order; the ids up to which the flush will apply them:
-- $2 bigint[] writes_epoch  $3 bigint[] writes_seq  $4 bigint[] events_ms  $5 bigint[] events_n
-- -> call_sid of each that was new. For the others another flush has been here, or is just being
-- committed: the statement waits for it.
insert into call_flush (call_sid, writes_epoch, writes_seq, events_ms, events_n)
select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
on conflict (call_sid) do nothing
returning call_sid
