-- recording: where the carrier keeps a recording of the call.
-- $1 call_sid  $2 seq  $3 at  $4 recording_sid  $5 url  $6 duration
insert into recording as old (recording_sid, call_sid, url, duration_seconds, created_at)
select distinct on (recording_sid) recording_sid, call_sid, url, nullif(duration, '')::int, to_timestamp(at_ms / 1000.0)
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])
    as e (call_sid, seq, at_ms, recording_sid, url, duration)
order by recording_sid, at_ms desc
on conflict (recording_sid) do update set
    url = coalesce(excluded.url, old.url),
    duration_seconds = coalesce(excluded.duration_seconds, old.duration_seconds)
