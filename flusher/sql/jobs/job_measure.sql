-- For the metrics; each part has its index.
-- -> waiting, dead, delay_s: how long the oldest job has been due that nobody has at work
select (select count(*) from after_call_job where state = 'waiting') as waiting,
       (select count(*) from after_call_job where state = 'dead') as dead,
       (select coalesce(extract(epoch from now() - min(due_at)), 0)::bigint
        from after_call_job where state = 'waiting' and due_at < now()) as delay_s
