drop table recording;
drop table appointment;
drop table conversation_turn;
drop table call_session;
drop table call_log;
drop table outbound_call_job;
