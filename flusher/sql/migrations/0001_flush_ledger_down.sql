-- Without the ledger a journal that is still in Redis would be applied a second time. Stop the
-- flushers, and let Redis run empty, before this.
drop function ringfleet_refuse(text);
drop table call_replay;
drop table call_flush;
