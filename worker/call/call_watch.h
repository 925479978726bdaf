/* What only the clock can tell about a call: silence, a dead line, its limit, and keys pressed. */
#pragma once
#include "worker/call/call.h"

/* Once a second while the conversation runs. May end the call. */
void call_watch_look(struct call *c);

/* A key was pressed. */
void call_watch_digit(struct call *c, char digit);
