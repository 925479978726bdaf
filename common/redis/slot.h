/* Which of a cluster's slots a key is in, and which word of a command is its key. Pure. */
#pragma once
#include "common/base/base.h"

enum { REDIS_SLOTS = 16384 };

/* CRC16, XMODEM: what Redis Cluster hashes keys with. */
uint16_t redis_crc16(const char *bytes, size_t len);

/* Only what stands between the first { and the next } counts, unless that is nothing. */
int redis_slot(const char *key, size_t len);

/* Place of the first key among the words of a command that the fleet sends; -1: it has none (PING, INFO, SCAN).
 * The words up to it are C strings. */
int redis_command_key(int argc, const char *const *argv);

/* The slot of a command as it stands on the wire (redisFormatCommand); -1: it has no key, or memory is out. */
int redis_wire_slot(const char *text, size_t len);
