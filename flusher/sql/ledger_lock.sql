-- For calls that were flushed before: how far that went. Locked until the commit.
-- $1 text[] call_sid
-- -> call_sid, writes_epoch, writes_seq, events_ms, events_n
select call_sid, writes_epoch, writes_seq, events_ms, events_n
from call_flush
where call_sid = any ($1::text[])
order by call_sid
for update
