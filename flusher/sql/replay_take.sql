-- Of `flusher dead replay`, first in its transaction: an entry that was refused is applied after all, once.
-- $1 call_sid  $2 stream  $3 entry_id
-- -> the call_sid, unless it was done before
with locked as (
    select from call_flush where call_sid = $1::text for update -- so that nobody else counts its turns
)
insert into call_replay (call_sid, stream, entry_id)
select $1::text, $2::text, $3::text from (select count(*) from locked) as ledger
on conflict do nothing
returning call_sid
