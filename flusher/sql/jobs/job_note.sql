-- In the transaction of a flush: what is to be done after it. One that is there already stays as it is. In one order
-- for all flushers, so that two cannot deadlock.
-- $1 text[] kind  $2 text[] subject  $3 text[] call_sid  $4 text[] source
insert into after_call_job (kind, subject, call_sid, source)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as job (kind, subject, call_sid, source)
order by kind, subject
on conflict do nothing
