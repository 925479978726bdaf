#include "tests/unit/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void capture_begin(struct capture *c, int fd)
{
    fflush(NULL);
    c->fd = fd;
    c->saved = dup(fd);
    c->file = memfd_create("capture", MFD_CLOEXEC);
    if (c->saved < 0 || c->file < 0 || dup2(c->file, fd) < 0)
        abort();
}

static void read_caught(const struct capture *c, char *out, size_t size)
{
    ssize_t len;
    fflush(NULL);
    len = pread(c->file, out, size - 1, 0);
    if (len < 0)
        abort();
    out[len] = '\0';
}

bool capture_has(const struct capture *c, const char *text)
{
    char caught[64 * 1024];
    read_caught(c, caught, sizeof caught);
    return strstr(caught, text) != NULL;
}

char *capture_end(struct capture *c, char *out, size_t size)
{
    read_caught(c, out, size);
    if (dup2(c->saved, c->fd) < 0)
        abort();
    close(c->saved);
    close(c->file);
    return out;
}
