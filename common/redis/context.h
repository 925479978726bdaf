/* The fields of the CallContext hash that a call reads: written by the warmer, read by the worker.
 * The hash holds more: every named column of load_call_context.sql, for prompts and for people. */
#pragma once

/* X(name) */
#define CONTEXT_FIELDS(X) \
    X(business_id)        \
    X(lead_id)            \
    X(voice)              \
    X(language)           \
    X(ai_agent_id)        /* of a provider that runs agents; else the worker's setting */ \
    X(greeting)           \
    X(prompt_compact)     \
    X(prompt_full)        \
    X(source)            /* database | snapshot | minimal */                    \
    X(answered_by)       /* outbound: human, machine_start, machine_end_beep, ..; pending: not known yet */ \
    X(voicemail_message) /* said to a machine; without it the call ends */       \
    X(booked_slots)      /* JSON array of {"start","end"}, ISO 8601 with offset */ \
    X(working_hours)     /* JSON {"mon": [["09:00","18:00"]], ...}, or "": any time */ \
    X(business_timezone) /* name of tzdata, which working_hours are in */        \
    X(transfer_number)   /* where callers are transferred to, or "" */           \
    X(transfer_numbers)  /* JSON {"sales": "+49..", ...}, or "" */               \
    X(tools)             /* JSON array of the business's own (worker/tools/own_tools.h) */
