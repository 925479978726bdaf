-- Of `flusher jobs discard`: what was given up is forgotten; it does not come again by itself.
-- $1 subject or call_sid, or NULL for all
-- -> kind, subject, call_sid
update after_call_job
set state = 'done', result = 'discarded', settled_at = now()
where state = 'dead' and ($1::text is null or subject = $1::text or call_sid = $1::text)
returning kind, subject, call_sid
