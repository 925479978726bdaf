-- Of `flusher jobs list`: what is not done, the oldest first.
-- $1 state: waiting, dead, or NULL for both  $2 most
-- -> kind, subject, call_sid, state, attempts, owner, due_ms (from now; 0: it is due; NULL: it was given up), age_ms, error
select kind, subject, call_sid, state, attempts, owner,
       case state when 'waiting' then greatest((extract(epoch from due_at - now()) * 1000)::bigint, 0) end as due_ms,
       (extract(epoch from now() - created_at) * 1000)::bigint as age_ms,
       error
from (select * from after_call_job where state = 'waiting'
      union all
      select * from after_call_job where state = 'dead') as job
where $1::text is null or state = $1::text
order by created_at
limit $2::int
