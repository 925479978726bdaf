-- appointment_create: a time the call agreed on.
-- $1 call_sid  $2 seq  $3 at  $4 business_id  $5 lead_id  $6 starts_at  $7 ends_at  $8 title  $9 notes
--
-- If the time was taken meanwhile the appointment is kept with status 'conflict', and a remark is
-- returned: the caller was promised something that somebody must sort out.
with entry as (
    select e.call_sid, e.seq, e.at_ms,
           coalesce(nullif(e.business_id, '')::bigint, c.business_id) as business_id,
           coalesce(nullif(e.lead_id, '')::bigint, c.lead_id) as lead_id,
           e.starts_at::timestamptz, e.ends_at::timestamptz, e.title, e.notes
    from unnest($1::text[], $2::bigint[], $3::bigint[],
                $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
        as e (call_sid, seq, at_ms, business_id, lead_id, starts_at, ends_at, title, notes)
    left join call_log c using (call_sid)
), booked as (
    insert into appointment (call_sid, seq, business_id, lead_id, starts_at, ends_at, title, notes)
    select call_sid, seq, business_id, lead_id, starts_at, ends_at, title, notes
    from entry
    order by at_ms, call_sid, seq -- who agreed first has it
    on conflict do nothing
    returning call_sid, seq
)
insert into appointment (call_sid, seq, business_id, lead_id, starts_at, ends_at, title, notes, status)
select call_sid, seq, business_id, lead_id, starts_at, ends_at, title, notes, 'conflict'
from entry
where not exists (select from booked where booked.call_sid = entry.call_sid and booked.seq = entry.seq)
on conflict (call_sid, seq) do nothing
returning call_sid, 'the appointment overlaps another one and is kept with status conflict'
