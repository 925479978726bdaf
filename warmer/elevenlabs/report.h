/* What ElevenLabs says of a conversation that is over: the body of a post-call webhook, or of GET
 * conversations/{id}, which is the webhook's `data`. Pure: JSON in, journal entries out. */
#pragma once
#include <jansson.h>

#include "common/redis/keys.h"

enum report_kind { REPORT_NONE /* nothing for us */, REPORT_TRANSCRIPT, REPORT_FAILURE, REPORT_AUDIO };

struct report {
    enum report_kind kind;
    char conversation_id[CALL_SID_SIZE];
    char own_sid[CALL_SID_SIZE];      /* our call_sid, if we gave it one; else "" */
    char provider_sid[CALL_SID_SIZE]; /* the carrier's, if it says; else "" */
    const char *status;               /* in the carrier's words */
    char duration[16];
    char reason[160];
    bool has_audio;                   /* ElevenLabs has a recording of it */
    json_t *entries; /* owned: list of [type, field, value, ...] */
};

/* NULL, or what is wrong with the webhook. Release in any case. */
const char *report_of_webhook(struct report *out, const json_t *body);
const char *report_of_conversation(struct report *out, const json_t *data);
void report_release(struct report *report);
