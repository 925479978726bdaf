-- What was said in a recording. May come twice: the first one stays.
-- $1 call_sid  $2 recording_sid  $3 model  $4 turns: [{"speaker", "from_ms", "to_ms", "text"}, ...]
-- speaker: caller, assistant, or unknown where the recording has one channel
insert into call_transcript (recording_sid, call_sid, model, turns)
values ($2::text, $1::text, $3::text, $4::jsonb)
on conflict do nothing
