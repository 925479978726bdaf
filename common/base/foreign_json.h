/* Reads JSON that others have written: providers, carriers, businesses.
 *
 * JSON may escape two things that are no text, and that neither the JSON library nor Postgres takes:
 * half of a surrogate pair ("\ud83d", from whoever cuts texts by their UTF-16 units) and "\u0000". One
 * such character must not cost a call its session: each is read as U+FFFD, and the text is counted
 * (process.h). Whatever else is wrong is refused, as json_loadb does. */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

/* NULL: not JSON, or no memory. flags are json_loadb's. */
RF_NODISCARD json_t *foreign_json(const char *text, size_t len, size_t flags);

/* Of a text that ends with NUL; none (NULL) is not JSON. */
RF_NODISCARD json_t *foreign_json_text(const char *text);
