/* The fields of the CallContext hash that a call reads: written by the warmer, read by the worker.
 * The hash holds more: every named column of load_call_context.sql and load_booked_times.sql, for prompts and for people. */
#pragma once

/* What `source` says of a context that came from the database: all of it is there; or what a call needs to begin with,
 * while the booked times, prompt_full and, of somebody who calls for the first time, lead_id are still to come. */
#define CONTEXT_COMPLETE "database"
#define CONTEXT_PARTIAL "partial"

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
    X(source)            /* database | partial | snapshot | minimal */          \
    X(answered_by)       /* outbound: human, machine_start, machine_end_beep, ..; pending: not known yet */ \
    X(voicemail_message) /* said to a machine; without it the call ends */       \
    X(booked_slots)      /* JSON array of {"start","end"}, ISO 8601 with offset */ \
    X(booked_slots_missing) /* 1: the database was asked for them and failed */  \
    X(working_hours)     /* JSON {"mon": [["09:00","18:00"]], ...}, or "": any time */ \
    X(business_timezone) /* name of tzdata, which working_hours are in */        \
    X(transfer_number)   /* where callers are transferred to, or "" */           \
    X(transfer_numbers)  /* JSON {"sales": "+49..", ...}, or "" */               \
    X(tools)             /* JSON array of the business's own (worker/tools/own_tools.h) */
