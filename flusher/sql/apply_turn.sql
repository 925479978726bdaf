-- turn: what was said.
-- $1 call_sid  $2 seq  $3 at  $4 speaker  $5 message  $6 confidence  $7 started_ms  $8 ended_ms  $9 interrupted
--
-- Turns are counted on from the call's last one, so that their numbers have no gap: 1, 2, 3, ... The call's
-- ledger row is locked, so nobody else is counting. $2 is kept as journal_seq.
-- No "on conflict": the ledger keeps repetitions out, the unique keys are the net below it, and the
-- clause would cost a third of the speed.
--
-- A large batch of calls that are written for the first time comes by copy_turn.sql instead, unless this
-- file is overridden: both must do the same.
with entry as (
    select *
    from unnest($1::text[], $2::bigint[], $3::bigint[],
                $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
        as e (call_sid, seq, at_ms, speaker, message, confidence, started_ms, ended_ms, interrupted)
), before as (
    select call_sid, coalesce(last.seq, 0) as seq
    from (select distinct call_sid from entry) as call
    cross join lateral (select max(t.seq) as seq from conversation_turn t where t.call_sid = call.call_sid) as last
)
insert into conversation_turn (call_sid, seq, journal_seq, speaker, message, confidence, started_at, ended_at,
                               interrupted)
select call_sid, before.seq + row_number() over (partition by call_sid order by entry.seq), entry.seq, speaker, message,
       nullif(confidence, '')::real,
       to_timestamp(coalesce(nullif(started_ms, '')::float8, at_ms) / 1000),
       to_timestamp(coalesce(nullif(ended_ms, '')::float8, at_ms) / 1000),
       coalesce(nullif(interrupted, '')::boolean, false)
from entry
join before using (call_sid)
