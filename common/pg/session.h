/* The settings that a session starts with. */
#pragma once
#include "common/base/base.h"

/* Our defaults ("-c name=value ..."), and behind them those of the URL, or else of PGOPTIONS, which win. "" if the URL
 * has an empty options=: a pooler may refuse them. What is returned goes behind the URL in a libpq call, malloc'd; NULL
 * when out of memory, or if the URL is none: libpq says so. */
char *pg_session_options(const char *url, const char *defaults);
