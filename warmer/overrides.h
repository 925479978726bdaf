/* What Twilio is to do with a URL of ours that does not answer. */
#pragma once

/* Connection overrides: read timeout 3 s, two retries, on anything but a 4xx; without them it repeats nothing that was
 * answered 503. A fragment: it is neither sent nor signed. */
#define TWILIO_OVERRIDES "#rt=3000&rc=2&rp=ct,rt,5xx"
