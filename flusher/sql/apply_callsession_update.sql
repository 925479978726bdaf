-- callsession_update: facts about the session, a JSON object.
-- $1 call_sid  $2 seq  $3 at  $4 data
--
-- Objects are merged at their top level, later ones over earlier ones.
with fact as (
    select distinct on (e.call_sid, f.key) e.call_sid, f.key, f.value
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) as e (call_sid, seq, at_ms, data)
    cross join lateral jsonb_each(nullif(e.data, '')::jsonb) as f
    order by e.call_sid, f.key, e.seq desc
)
insert into call_session as old (call_sid, data)
select call_sid, jsonb_object_agg(key, value)
from fact
group by call_sid
on conflict (call_sid) do update set
    data = old.data || excluded.data,
    updated_at = now()
