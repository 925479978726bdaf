-- While a lock that somebody sits on is brought home to the calls that need it: each of many tries would wait as
-- long as the first. For its transaction only: behind a pooler the session may be somebody else's the next moment.
set local lock_timeout = '100ms'
