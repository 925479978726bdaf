-- Takes jobs that are due, also those whose owner has not renewed them in time.
-- $1 owner  $2 kind  $3 most  $4 lease_ms
-- -> subject, call_sid, source, progress, attempts (with this one), error (of the last one), day, age_ms
with due as (
    select kind, subject
    from after_call_job
    where state = 'waiting' and kind = $2::text and due_at <= now()
    order by attempts, due_at
    limit $3::int
    for update skip locked
)
update after_call_job job
set owner = $1::text,
    attempts = job.attempts + 1,
    due_at = now() + $4::int * interval '1 millisecond'
from due
where job.kind = due.kind and job.subject = due.subject
returning job.subject, job.call_sid, coalesce(job.source, '') as source, coalesce(job.progress::text, '') as progress,
          job.attempts, coalesce(job.error, '') as error,
          to_char(job.created_at at time zone 'UTC', 'YYYY-MM-DD') as day,
          (extract(epoch from now() - job.created_at) * 1000)::bigint as age_ms
