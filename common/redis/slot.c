#include "common/redis/slot.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

uint16_t redis_crc16(const char *bytes, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint16_t)((uint8_t)bytes[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

int redis_slot(const char *key, size_t len)
{
    const char *open = memchr(key, '{', len);
    const char *close = open ? memchr(open, '}', (size_t)(key + len - open)) : NULL;
    if (close && close > open + 1) {
        key = open + 1;
        len = (size_t)(close - key);
    }
    return redis_crc16(key, len) % REDIS_SLOTS;
}

static bool is_among(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (strcasecmp(word, *words) == 0)
            return true;
    }
    return false;
}

static int after(int argc, const char *const *argv, const char *word)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcasecmp(argv[i], word) == 0)
            return i + 1;
    }
    return -1;
}

int redis_command_key(int argc, const char *const *argv)
{
    static const char *const keyless[] = {"PING", "TIME",   "INFO",   "SCAN",   "CLUSTER", "FUNCTION", "CLIENT",
                                          "ROLE", "ASKING", "SELECT", "AUTH",   "SENTINEL", NULL};
    static const char *const counted[] = {"FCALL", "FCALL_RO", NULL}; /* name, number of keys, keys */
    static const char *const reads[] = {"XREAD", "XREADGROUP", NULL}; /* ..., STREAMS, keys */
    static const char *const nested[] = {"XINFO", "XGROUP", NULL};    /* what, key */
    if (argc < 2 || is_among(argv[0], keyless))
        return -1;
    if (is_among(argv[0], counted))
        return argc > 3 && strcmp(argv[2], "0") != 0 ? 3 : -1;
    if (is_among(argv[0], reads))
        return after(argc, argv, "STREAMS");
    if (is_among(argv[0], nested))
        return argc > 2 ? 2 : -1;
    return 1;
}

/* Takes *<count> or $<length> and the line's end. */
static int take_count(char **at)
{
    int count = (int)strtol(*at + 1, at, 10);
    *at += 2;
    return count;
}

int redis_wire_slot(const char *text, size_t len)
{
    enum { WORDS = 16 }; /* none of ours has its first key behind them */
    const char *argv[WORDS];
    size_t lens[WORDS];
    char *copy = malloc(len + 1), *at = copy;
    int argc = 0, key, count, slot = -1;
    if (!copy)
        return -1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    count = take_count(&at);
    for (; argc < count && argc < WORDS; argc++) {
        lens[argc] = (size_t)take_count(&at);
        argv[argc] = at;
        at += lens[argc];
        *at = '\0'; /* the \r of its end */
        at += 2;
    }
    key = redis_command_key(argc, argv);
    if (key >= 0)
        slot = redis_slot(argv[key], lens[key]);
    free(copy);
    return slot;
}
