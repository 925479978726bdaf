/* Catches what the code under test writes to stdout or stderr. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct capture {
    int fd;    /* the stream that is caught: 1 or 2 */
    int saved; /* where it went before */
    int file;
};

/* Nothing else may assert between the two: cmocka's own reports would be caught too. */
void capture_begin(struct capture *c, int fd);

/* True if text was caught already. */
bool capture_has(const struct capture *c, const char *text);

/* Puts the stream back and fills out with a text (cut to size); returns out. */
char *capture_end(struct capture *c, char *out, size_t size);
