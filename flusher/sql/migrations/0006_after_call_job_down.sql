drop table after_call_job;
