-- Shall a recording be written down? Only if its call has no transcript of its own.
-- $1 call_sid  $2 recording_sid
-- -> wanted, language (ISO 639-1, or NULL)
select not exists (select from conversation_turn where call_sid = $1::text)
       and not exists (select from call_transcript where recording_sid = $2::text) as wanted,
       (select nullif(split_part(lower(business.language), '-', 1), '')
        from call_log join business on business.id = call_log.business_id
        where call_log.call_sid = $1::text) as language
