-- Where a recording's file is, and what was said in recordings of calls that have no transcript of their own.
-- The new columns are nullable and without default, so the table is not rewritten.
-- status: available (the carrier has it), stored (we have it), lost (error says why).
alter table recording
    add column location  text, -- a path, or s3://bucket/key
    add column bytes     bigint,
    add column sha256    text,
    add column stored_at timestamptz,
    add column error     text;

-- One row per recording: that it can be written only once is what keeps a call from being transcribed twice.
create table call_transcript (
    recording_sid text primary key,
    call_sid      text not null,
    model         text,
    turns         jsonb not null, -- [{"speaker", "from_ms", "to_ms", "text"}, ...] in order of from_ms
    created_at    timestamptz not null default now()
);
create index call_transcript_call_sid_idx on call_transcript (call_sid);
