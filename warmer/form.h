/* An application/x-www-form-urlencoded body, decoded: '+' is a space, %XX a byte, a name may come
 * several times, a value may be empty or missing. Pure: bytes in, fields out. */
#pragma once
#include "common/base/base.h"

enum { FORM_FIELDS_MAX = 256, FORM_BYTES_MAX = 64 * 1024 };

struct form_field {
    const char *name, *value; /* point into the form's own text */
};

struct form {
    struct form_field *fields;
    size_t count;
    bool spoilt;   /* there are bytes in it that are no UTF-8 */
    void *_memory; /* fields, and behind them the text */
};

/* NULL, or one sentence that says what is wrong: too large, too many fields, a broken %XX, a NUL
 * byte (C strings would end there, and a signature would cover less than it seems to). Fields
 * keep the order of the body. Call form_release in both cases. */
RF_NODISCARD const char *form_parse(struct form *form, const char *body, size_t len);
void form_release(struct form *form);

/* Replaces the bytes that are no UTF-8 by '?', once the signature, which covers them, is known to be good:
 * a name in another encoding must not cost its call. */
void form_mend(struct form *form);

/* The first value under that name, or "". */
const char *form_get(const struct form *form, const char *name);
