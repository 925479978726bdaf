-- The end of an attempt.
-- $1 kind  $2 subject  $3 owner  $4 attempts  $5 state: done, dead, or waiting for another attempt
-- $6 delay_ms until that one  $7 attempts to take back (1: this one does not count)  $8 what came of it, or why not
-- -> ours, unless another has taken it meanwhile
update after_call_job
set state = $5::text,
    owner = null,
    attempts = attempts - $7::int,
    progress = case when $5::text <> 'done' then progress end, -- it may hold what was said
    due_at = now() + $6::bigint * interval '1 millisecond',
    result = case when $5::text = 'done' then $8::text end,
    error = case when $5::text <> 'done' then $8::text end,
    settled_at = case when $5::text <> 'waiting' then now() end
where kind = $1::text and subject = $2::text and owner = $3::text and attempts = $4::int and state = 'waiting'
returning true as ours
