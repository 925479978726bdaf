-- lead_update: what the caller said about themselves.
-- $1 call_sid  $2 seq  $3 at  $4 lead_id  $5 field  $6 value
--
-- The lead is the one named, else the call's, else the one with the other party's number at the
-- call's business, made if there is none. Only the fields below may be written by a call. The last
-- value of a field wins, except that notes are added to what is there: people write them too, and a call knows
-- only its own. A full name also fills an empty first and last name.
with entry as (
    select e.call_sid, e.seq, e.at_ms, e.field, e.value,
           coalesce(nullif(e.lead_id, '')::bigint, c.lead_id) as lead_id,
           c.business_id,
           case c.direction when 'outbound' then c.to_number else c.from_number end as phone_number
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])
        as e (call_sid, seq, at_ms, lead_id, field, value)
    left join call_log c using (call_sid)
), placed as (
    select entry.at_ms, entry.seq, entry.field, entry.value,
           case when entry.lead_id is null then entry.business_id else lead.business_id end as business_id,
           case when entry.lead_id is null then entry.phone_number else lead.phone_number end as phone_number
    from entry
    left join lead on lead.id = entry.lead_id
), checked as (
    select * from placed
    where case
        when business_id is null or phone_number is null then
            ringfleet_refuse('there is no such lead, and the call names no business and number to make one for')
        when field is null or field not in ('first_name', 'last_name', 'full_name', 'email', 'notes') then
            ringfleet_refuse(format('a call may not write the field "%s" of a lead', field))
        else true
    end
), last_value as (
    select business_id, phone_number, field,
           case field when 'notes' then string_agg(nullif(value, ''), E'\n' order by at_ms, seq)
                      else (array_agg(value order by at_ms desc, seq desc))[1] end as value
    from checked
    group by business_id, phone_number, field
), said as (
    select business_id, phone_number,
           max(value) filter (where field = 'first_name') as first_name,
           max(value) filter (where field = 'last_name') as last_name,
           max(value) filter (where field = 'full_name') as full_name,
           max(value) filter (where field = 'email') as email,
           max(value) filter (where field = 'notes') as notes,
           case when bool_or(field in ('first_name', 'last_name', 'full_name')) then 'caller' end as name_source
    from last_value
    group by business_id, phone_number
)
insert into lead as old (business_id, phone_number, first_name, last_name, full_name, email, notes, name_source)
select said.business_id, said.phone_number,
       coalesce(said.first_name, nullif(now.first_name, ''), split_part(said.full_name, ' ', 1)),
       coalesce(said.last_name, nullif(now.last_name, ''),
                nullif(substr(said.full_name, length(split_part(said.full_name, ' ', 1)) + 2), '')),
       said.full_name, said.email, said.notes, said.name_source
from said
left join lead now using (business_id, phone_number)
order by said.business_id, said.phone_number -- one order for all flushers, so that two cannot deadlock
on conflict (business_id, phone_number) do update set
    first_name = coalesce(excluded.first_name, old.first_name),
    last_name = coalesce(excluded.last_name, old.last_name),
    full_name = coalesce(excluded.full_name, old.full_name),
    email = coalesce(excluded.email, old.email),
    notes = coalesce(nullif(old.notes, '') || E'\n' || excluded.notes, excluded.notes, old.notes),
    name_source = coalesce(excluded.name_source, old.name_source),
    updated_at = now()
