-- A job that follows from another one. One that is there already stays as it is.
-- $1 kind  $2 subject  $3 call_sid  $4 delay_ms
insert into after_call_job (kind, subject, call_sid, due_at)
values ($1::text, $2::text, $3::text, now() + $4::bigint * interval '1 millisecond')
on conflict do nothing
