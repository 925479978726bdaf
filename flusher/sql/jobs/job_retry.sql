-- Of `flusher jobs retry`: what was given up is tried again from the beginning.
-- $1 subject or call_sid, or NULL for all
-- -> kind, subject, call_sid
update after_call_job
set state = 'waiting', attempts = 0, due_at = now(), settled_at = null
where state = 'dead' and ($1::text is null or subject = $1::text or call_sid = $1::text)
returning kind, subject, call_sid
