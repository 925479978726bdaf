-- The least that writes a call exactly once: one statement, its ledger row the gate of its turns.
-- $1 call_sid  $2 text[] messages
with moved as (
    insert into call_flush (call_sid, writes_seq) values ($1::text, cardinality($2::text[]))
    on conflict do nothing
    returning call_sid
)
insert into conversation_turn (call_sid, seq, journal_seq, speaker, message, started_at, ended_at)
select call_sid, n, n, 'caller', message, now(), now()
from moved, unnest($2::text[]) with ordinality as t (message, n)
