/* Ports of 127.0.0.1 for servers that a test starts, or starts again: below the ephemeral range, whose ports the
 * kernel gives to whoever connects. Each process has a block of them; the flow tests (tests/flow/ports.py) keep to
 * the same blocks. Not for several threads. */
#pragma once
#include <stdint.h>

/* Nobody listens on it, and nobody else is given it. Fails the test if there is none. */
uint16_t free_port(void);
