/* The carrier's words for the state of a call (Twilio: CallStatus). */
#pragma once
#include "common/base/base.h"

/* No other state follows. */
bool status_terminal(const char *status);
