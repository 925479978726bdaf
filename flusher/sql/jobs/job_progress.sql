-- What the attempt has got so far.
-- $1 kind  $2 subject  $3 owner  $4 attempts  $5 progress (JSON)
-- -> ours, unless another has taken it meanwhile
update after_call_job
set progress = $5::jsonb
where kind = $1::text and subject = $2::text and owner = $3::text and attempts = $4::int and state = 'waiting'
returning true as ours
