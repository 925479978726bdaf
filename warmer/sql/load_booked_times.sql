-- The booked times of a business. They may take longer to find than all else, and the first seconds of a call do without.
--
-- Travels behind load_call_context.sql and before open_call.sql, in the same round trip: a call that rings alone is
-- answered before, with a context whose source is "partial"; this row and prompt_full complete it a moment later. If it
-- fails the call goes on without.
--
-- in   $1 call_sid   $2 from   $3 to   $4 direction: as load_call_context.sql
-- out  no row, or one whose columns complete those of the load, and replace those of the same name. prompt_full may use
--      them as {{column}}; greetings and prompt_compact may not: they are rendered before.
--        booked_slots        JSON array of {"start", "end"}, ISO 8601 with offset: what workers look for; of the business,
--                            and so in its snapshot
--        lead_appointments   those among them that are this person's; for prompts
--
-- It belongs to the load_call_context.sql that is built in: where that one is replaced, this one is too, or its columns
-- are returned there. An empty file: there is nothing to load, and no statement is sent.
with party as (
    select case $4::text when 'outbound' then $2::text else $3::text end as business,
           case $4::text when 'outbound' then $3::text else $2::text end as lead
)
select booked.slots as booked_slots,
       booked.own as lead_appointments
from party
join business on business.phone_number = case when $1::text <> '' then party.business else coalesce(
    (select phone_number from business where phone_number = party.business),
    (select phone_number from business
     where id = case when party.business ~ '^[0-9]{1,18}$' then party.business::bigint end)) end
left join lead on lead.business_id = business.id
    and lead.phone_number = party.lead
left join lateral (
    -- Taken times of the next two weeks as JSON, and among them those of this person. Times need no escapes, and a
    -- concatenation costs a third of json_agg; it follows the order of the rows below.
    select '[' || string_agg(slot, ', ') || ']' as slots,
           '[' || string_agg(slot, ', ') filter (where lead_id = lead.id) || ']' as own
    from (
        select a.lead_id,
               '{"start": "' || to_char(a.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') ||
               '", "end": "' || to_char(a.ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '"}' as slot
        from appointment a
        where a.business_id = business.id
          and a.status = 'booked'
          and a.ends_at > now()
          and a.starts_at < now() + interval '14 days'
        order by a.ends_at -- as by starts_at, since none overlap; the order of the index
        limit 200
    ) upcoming
) booked on true;
