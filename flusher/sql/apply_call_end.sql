-- call_end: how the media side ended, and what it measured.
-- $1 call_sid  $2 seq  $3 at  $4 reason  $5 metrics
--
-- It does not touch the status: that is the carrier's. A call that was lost by one worker and carried on
-- by another, or by the same when it was back, has several ends; the last one counts. When the call ended is the
-- carrier's word once its status is terminal (apply_call_status.sql).
with ending as (
    select distinct on (call_sid) call_sid, reason, nullif(metrics, '')::jsonb as metrics,
           to_timestamp(at_ms / 1000.0) as at
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
        as e (call_sid, seq, at_ms, reason, metrics)
    order by call_sid, seq desc
), measured as (
    insert into call_session as old (call_sid, metrics)
    select call_sid, metrics from ending
    on conflict (call_sid) do update set
        metrics = excluded.metrics,
        updated_at = now()
)
insert into call_log as old (call_sid, end_reason, ended_at)
select call_sid, reason, at from ending
on conflict (call_sid) do update set
    end_reason = excluded.end_reason,
    ended_at = case when old.status in ('completed', 'busy', 'failed', 'no-answer', 'canceled')
                    then coalesce(old.ended_at, excluded.ended_at) else excluded.ended_at end
