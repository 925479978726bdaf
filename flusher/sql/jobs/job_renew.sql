-- The owner is still at it.
-- $1 kind  $2 subject  $3 owner  $4 attempts  $5 lease_ms
-- -> ours, unless another has taken it meanwhile
update after_call_job
set due_at = now() + $5::int * interval '1 millisecond'
where kind = $1::text and subject = $2::text and owner = $3::text and attempts = $4::int and state = 'waiting'
returning true as ours
