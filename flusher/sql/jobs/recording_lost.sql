-- A recording that could not be had is given up. May come twice.
-- $1 recording_sid  $2 call_sid  $3 why
update recording
set status = 'lost',
    error = $3::text
where recording_sid = $1::text and call_sid = $2::text
