-- call_open: a call whose open_call.sql the warmer could not see committed (this database was slow or away).
-- $1 call_sid  $2 seq  $3 at  $4 from  $5 to  $6 direction  $7 started_ms
--
-- Does what open_call.sql does. If that was committed after all nothing changes.
with party as (
    select distinct on (call_sid) call_sid, nullif(from_number, '') as from_number, nullif(to_number, '') as to_number,
           nullif(direction, '') as direction,
           to_timestamp(coalesce(nullif(started_ms, '')::float8, at_ms) / 1000) as started_at,
           case direction when 'outbound' then from_number else to_number end as business_number,
           case direction when 'outbound' then to_number else from_number end as lead_number
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
        as e (call_sid, seq, at_ms, from_number, to_number, direction, started_ms)
    order by call_sid, seq
), known as (
    select party.*, business.id as business_id, lead.id as lead_id
    from party
    left join business on business.phone_number = party.business_number
    left join lead on lead.business_id = business.id and lead.phone_number = party.lead_number
), new_lead as (
    insert into lead (business_id, phone_number)
    select distinct business_id, lead_number
    from known
    where business_id is not null and lead_id is null and lead_number ~ '^\+[1-9][0-9]{4,14}$'
    order by business_id, lead_number -- one order for all flushers, so that two cannot deadlock
    on conflict (business_id, phone_number) do update set phone_number = excluded.phone_number
    returning id, business_id, phone_number
)
insert into call_log as old (call_sid, driver, business_id, lead_id, outbound_call_job_id, direction, from_number,
                             to_number, provider_call_sid, status, started_at)
select known.call_sid, latest.driver, known.business_id, coalesce(known.lead_id, new_lead.id), job.id, known.direction,
       known.from_number, known.to_number,
       case known.direction when 'inbound' then known.call_sid end, 'ringing', known.started_at
from known
left join new_lead on new_lead.business_id = known.business_id and new_lead.phone_number = known.lead_number
left join outbound_call_job job on job.call_sid = known.call_sid
left join lateral (
    select driver from call_log where lead_id = known.lead_id order by created_at desc limit 1
) latest on true
on conflict (call_sid) do update set
    driver = coalesce(old.driver, excluded.driver),
    business_id = coalesce(old.business_id, excluded.business_id),
    lead_id = coalesce(old.lead_id, excluded.lead_id),
    outbound_call_job_id = coalesce(old.outbound_call_job_id, excluded.outbound_call_job_id),
    direction = coalesce(old.direction, excluded.direction),
    from_number = coalesce(old.from_number, excluded.from_number),
    to_number = coalesce(old.to_number, excluded.to_number),
    provider_call_sid = coalesce(old.provider_call_sid, excluded.provider_call_sid),
    status = coalesce(old.status, excluded.status),
    started_at = coalesce(old.started_at, excluded.started_at)
