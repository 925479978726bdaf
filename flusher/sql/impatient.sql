-- While a lock that somebody sits on is brought home to the calls that need it: each of many tries would wait as
-- long as the first.
set lock_timeout = '100ms'
