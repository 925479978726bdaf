-- Give me the recordings of this call.
-- $1 call_sid
-- -> recording_sid, status (available: the carrier has it; stored; lost), location, bytes, sha256, duration_seconds, error
select recording_sid, status, location, bytes, sha256, duration_seconds, error
from recording
where call_sid = $1::text
order by created_at, recording_sid
