-- The files stay where they are; what is known of them goes.
drop table call_transcript;
alter table recording
    drop column location,
    drop column bytes,
    drop column sha256,
    drop column stored_at,
    drop column error;
