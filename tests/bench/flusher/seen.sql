-- $1 call_sid -> a row once the call is committed
select 1 from call_flush where call_sid = $1::text
