-- turn: what was said.
-- $1 call_sid  $2 seq  $3 at  $4 speaker  $5 message  $6 confidence  $7 started_ms  $8 ended_ms  $9 interrupted
--
-- No "on conflict": the ledger keeps repetitions out, the primary key is the net below it, and the
-- clause would cost a third of the speed.
insert into conversation_turn (call_sid, seq, speaker, message, confidence, started_at, ended_at, interrupted)
select call_sid, seq, speaker, message,
       nullif(confidence, '')::real,
       to_timestamp(coalesce(nullif(started_ms, '')::float8, at_ms) / 1000),
       to_timestamp(coalesce(nullif(ended_ms, '')::float8, at_ms) / 1000),
       coalesce(nullif(interrupted, '')::boolean, false)
from unnest($1::text[], $2::bigint[], $3::bigint[],
            $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    as e (call_sid, seq, at_ms, speaker, message, confidence, started_ms, ended_ms, interrupted)
