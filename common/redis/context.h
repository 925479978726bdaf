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
    X(booked_slots) /* JSON array of {"start","end"}, ISO 8601 with offset */
