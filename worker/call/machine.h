/* Answering machines, of calls that we dialled. The carrier says who picked up before the call begins, or, where it
 * listens while we speak already (answered_by is "pending"), in the middle of it. A machine gets the message and no
 * conversation. */
#pragma once
#include "worker/call/call.h"

/* Whether it is known that no person has picked up. */
bool machine_answers(const struct call *c);

/* A call that begins, or is taken over, and a machine has picked up. false: it has been ended, there is nothing to say. */
bool machine_greet(struct call *c);

/* Once a second: has the carrier made up its mind? CALL_EV_MACHINE then, if it was one. */
void machine_look(struct call *c);

/* CALL_EV_MACHINE: what we say is cut, and the message said instead. */
void machine_found(struct call *c);
