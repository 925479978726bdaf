-- What came of a job that is done.
-- $1 kind  $2 subject
-- -> result
select result from after_call_job where kind = $1::text and subject = $2::text and state = 'done'
