-- -> t when this session may migrate. Asked again and again, because a session that waits in a statement would
-- make create index concurrently wait for it. The number is this project's own.
select pg_try_advisory_lock(7262697067)
