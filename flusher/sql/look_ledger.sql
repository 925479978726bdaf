-- What `flusher show` tells of a call.
-- $1 call_sid
-- -> the ids that the journals are applied up to, and counts
select format('%s-%s', writes_epoch, writes_seq) as writes,
       format('%s-%s', events_ms, events_n) as events,
       flushed_at
from call_flush
where call_sid = $1::text
