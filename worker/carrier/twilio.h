/* Twilio Media Streams, bidirectional. Fields and types: Twilio documentation, "Media Streams -
 * WebSocket messages". */
#pragma once
#include "worker/carrier/carrier.h"

extern const struct carrier carrier_twilio;
