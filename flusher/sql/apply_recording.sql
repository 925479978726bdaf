-- recording: where a recording of the call is to be had.
-- $1 call_sid  $2 seq  $3 at  $4 recording_sid  $5 url  $6 duration
--
-- file://... is one that the warmer has kept: that is its place, unless it has a better one already.
with said as (
    select distinct on (recording_sid) recording_sid, call_sid, url, nullif(duration, '')::int as duration,
           to_timestamp(at_ms / 1000.0) as at, substring(url from '^file://(/.*)$') as kept
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])
        as e (call_sid, seq, at_ms, recording_sid, url, duration)
    order by recording_sid, at_ms desc
)
insert into recording as old (recording_sid, call_sid, url, duration_seconds, created_at, status, location)
select recording_sid, call_sid, url, duration, at, case when kept is null then 'available' else 'stored' end, kept
from said
on conflict (recording_sid) do update set
    url = coalesce(excluded.url, old.url),
    duration_seconds = coalesce(excluded.duration_seconds, old.duration_seconds),
    status = case when old.status = 'stored' or excluded.location is null then old.status else 'stored' end,
    location = coalesce(old.location, excluded.location)
