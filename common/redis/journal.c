#include "common/redis/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(...) (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *))

const struct journal_type_row journal_types[JOURNAL_TYPE_COUNT] = {
#define X(id, name, ...) [JOURNAL_##id] = {name, {__VA_ARGS__}, COUNT_OF(__VA_ARGS__)},
    JOURNAL_TYPES(X)
#undef X
};

enum journal_type journal_type_named(const char *name)
{
    for (int i = 0; i < JOURNAL_TYPE_COUNT; i++) {
        if (strcmp(journal_types[i].name, name) == 0)
            return (enum journal_type)i;
    }
    return JOURNAL_UNKNOWN;
}

static bool parse_number(const char **at, uint64_t *out)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

bool stream_id_parse(const char *text, struct stream_id *id)
{
    if (!parse_number(&text, &id->hi) || *text++ != '-')
        return false;
    return parse_number(&text, &id->lo) && *text == '\0';
}

const char *stream_id_format(char out[STREAM_ID_SIZE], struct stream_id id)
{
    snprintf(out, STREAM_ID_SIZE, "%" PRIu64 "-%" PRIu64, id.hi, id.lo);
    return out;
}

int stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo == b.lo ? 0 : a.lo < b.lo ? -1 : 1;
}
