#include "common/pg/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

static char *join(const char *defaults, const char *own)
{
    char *text = NULL;
    if (own && !*own)
        return strdup("");
    if (asprintf(&text, "%s%s%s", defaults, own && *defaults ? " " : "", own ? own : "") < 0)
        return NULL;
    return text;
}

char *pg_session_options(const char *url, const char *defaults)
{
    PQconninfoOption *parts = PQconninfoParse(url, NULL);
    const char *environment = getenv("PGOPTIONS"), *own = environment && *environment ? environment : NULL;
    char *options;
    if (!parts)
        return NULL;
    for (const PQconninfoOption *part = parts; part->keyword; part++) {
        if (strcmp(part->keyword, "options") == 0 && part->val)
            own = part->val;
    }
    options = join(defaults, own);
    PQconninfoFree(parts);
    return options;
}
