/* The carrier's side of a call: its media stream's socket, what comes in on it, and its end. */
#pragma once
#include "worker/call/call.h"

/* From now on the socket's events are the call's. */
void carrier_leg_open(struct call *c, struct ws_conn *ws);

/* Ends the stream, with the close code of the call's reason: the carrier asks what comes next. */
void carrier_leg_close(struct call *c);

/* Once a second: a frame that waits for another one is not left alone for ever, nor is a last word. */
void carrier_leg_look(struct call *c, int64_t now_ms);

/* The carrier did not like a message of ours; the stream goes on. */
void carrier_leg_refused(struct call *c, const struct carrier_event *ev);

/* Why the call ends whose carrier broke this rule, or none. */
enum call_reason carrier_leg_lost_reason(enum peer_fault fault);
