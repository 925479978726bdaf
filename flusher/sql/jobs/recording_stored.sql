-- A recording's file is in our storage. May come twice.
-- $1 recording_sid  $2 call_sid  $3 location (a path, or s3://bucket/key)  $4 bytes  $5 sha256
update recording
set status = 'stored',
    location = $3::text,
    bytes = $4::bigint,
    sha256 = $5::text,
    stored_at = now(),
    error = null
where recording_sid = $1::text and call_sid = $2::text
