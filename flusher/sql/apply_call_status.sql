-- call_status: the carrier's word about the call. Only webhooks say it (events).
-- $1 call_sid  $2 seq  $3 at  $4 status  $5 duration  $6 sequence  $7 reason
--
-- A status moves only forward by the carrier's own sequence, and a terminal one stays. A terminal
-- one that comes without, or with a low, sequence still counts: the call is over. A reason is given where the call
-- came to nothing before there was any media.
with entry as (
    select call_sid, seq, to_timestamp(at_ms / 1000.0) as at, status,
           nullif(duration, '')::int as duration,
           coalesce(nullif(sequence, '')::int, -1) as sequence, nullif(reason, '') as reason,
           status in ('completed', 'busy', 'failed', 'no-answer', 'canceled') as terminal
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
        as e (call_sid, seq, at_ms, status, duration, sequence, reason)
    where case when coalesce(status, '') = '' then ringfleet_refuse('a call_status without a status') else true end
), newest as (
    select distinct on (call_sid) call_sid, status, sequence, terminal,
           max(duration) over w as duration,
           max(reason) over w as reason,
           min(at) filter (where status = 'in-progress') over w as answered_at,
           min(at) filter (where terminal) over w as ended_at
    from entry
    window w as (partition by call_sid)
    -- the first terminal one, else the one the carrier numbered highest
    order by call_sid, terminal desc, case when not terminal then sequence end desc, seq
)
insert into call_log as old (call_sid, status, status_sequence, duration_seconds, end_reason, started_at, ended_at)
select call_sid, status, sequence, duration, reason, answered_at, ended_at
from newest
on conflict (call_sid) do update set
    status_sequence = greatest(old.status_sequence, excluded.status_sequence),
    duration_seconds = coalesce(old.duration_seconds, excluded.duration_seconds),
    end_reason = coalesce(old.end_reason, excluded.end_reason),
    started_at = coalesce(old.started_at, excluded.started_at),
    -- ended_at is set by terminal ones only, and then outranks what the media side thought
    (status, ended_at) = (
        select case when moves then excluded.status else old.status end,
               case when moves then coalesce(excluded.ended_at, old.ended_at) else old.ended_at end
        from (select coalesce(old.status, '') not in ('completed', 'busy', 'failed', 'no-answer', 'canceled')
                     and (excluded.ended_at is not null or excluded.status_sequence > old.status_sequence
                          or old.status is null) as moves) as m)
