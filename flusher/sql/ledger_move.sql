-- For calls that were flushed before: how far they are now.
-- $1 text[] call_sid  $2 bigint[] writes_epoch  $3 bigint[] writes_seq  $4 bigint[] events_ms  $5 bigint[] events_n
update call_flush
set writes_epoch = moved.writes_epoch,
    writes_seq = moved.writes_seq,
    events_ms = moved.events_ms,
    events_n = moved.events_n,
    flushed_at = now()
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    as moved (call_sid, writes_epoch, writes_seq, events_ms, events_n)
where call_flush.call_sid = moved.call_sid
