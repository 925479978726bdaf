-- -> the server process that serves this connection just now
select pg_backend_pid()
