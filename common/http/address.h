/* Which addresses are of the public internet. */
#pragma once
#include <sys/socket.h>

#include "common/base/base.h"

/* false for everything that leads back into one's own network or to nobody: loopback, private, link-local
 * (where clouds keep their metadata), shared, documentation, multicast and reserved ranges, and IPv6
 * forms that carry an IPv4 address (RFC 6890 and the IANA special-purpose registries). */
bool address_public(const struct sockaddr *addr);
