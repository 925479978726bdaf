drop table recording;
drop table appointment;
drop table conversation_turn;
drop table call_session;
-- A call_log that was here before 0003 is not ours to drop.
do $$
begin
    if obj_description('call_log'::regclass) = 'made by ringfleet 0003_calls' then
        drop table call_log;
    end if;
end
$$;
drop table outbound_call_job;
