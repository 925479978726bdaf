/* The fields of the CallContext hash that a call reads: written by the warmer, read by the worker.
 * The hash holds more: every named column of load_call_context.sql, for prompts and for people. */
#pragma once

/* X(name) */
#define CONTEXT_FIELDS(X) \
    X(business_id)        \
    X(lead_id)            \
    X(voice)              \
    X(language)           \
    X(greeting)           \
    X(prompt_compact)     \
    X(prompt_full)        \
    X(source)            /* database | snapshot | minimal */                    \
    X(answered_by)       /* outbound: human, machine_start, machine_end_beep, .. */ \
    X(voicemail_message) /* said to a machine; without it the call ends */       \
    X(booked_slots)      /* JSON array of {"start","end"}, ISO 8601 with offset */
