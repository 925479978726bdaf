-- turn, for large batches: the rows that apply_turn.sql would make, made by turn_copy.c.
copy conversation_turn (call_sid, seq, journal_seq, speaker, message, confidence, started_at, ended_at, interrupted)
from stdin (format binary)
