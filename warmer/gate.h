/* Who may ask. */
#pragma once
#include "warmer/server.h"

/* Neither set: let in. */
struct gate_result {
    int refused;       /* the status to refuse with, or 0 */
    const char *wrong; /* one sentence (wrong.h), or NULL */
};

typedef struct gate_result gate_fn(struct request *r, struct evhttp_request *http);

/* A webhook: signed by the carrier, and about a call. Fills the request's form and call_sid. */
gate_fn gate_carrier;

/* `Authorization: Bearer <RINGFLEET_API_KEY>`; with the other one, RINGFLEET_ELEVENLABS_TOOL_KEY. */
gate_fn gate_api_key, gate_tool_key;
