-- stream_error: why the carrier could not open, or lost, a media stream. Only its webhook says it (events).
-- $1 call_sid  $2 seq  $3 at  $4 stream_sid  $5 error
--
-- Kept with the session as a list, in the order in which it was said.
with error as (
    select call_sid, jsonb_agg(jsonb_build_object('stream_sid', stream_sid, 'error', error,
                                                  'at', to_timestamp(at_ms / 1000.0)) order by seq) as list
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
        as e (call_sid, seq, at_ms, stream_sid, error)
    group by call_sid
)
insert into call_session as old (call_sid, data)
select call_sid, jsonb_build_object('stream_errors', list)
from error
on conflict (call_sid) do update set
    data = jsonb_set(old.data, '{stream_errors}',
                     coalesce(old.data -> 'stream_errors', '[]') || (excluded.data -> 'stream_errors')),
    updated_at = now()
