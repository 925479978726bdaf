#include "worker/spool/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/spool/record.h"
#include "worker/spool/store.h"

struct listing {
    int files;
    long entries;
};

/* What one file holds. */
struct content {
    struct spool_record owner; /* count 0: it does not say */
    long entries;
    int64_t first_ms; /* when the first entry was made; 0: there is none */
    const char *left;
    bool damaged;
};

static int64_t number(struct spool_text text)
{
    char digits[24] = "";
    memcpy(digits, text.str, text.len < sizeof digits ? text.len : sizeof digits - 1);
    return strtoll(digits, NULL, 10);
}

static void look_into(const uint8_t *bytes, size_t len, struct content *out)
{
    struct spool_record record;
    size_t at = SPOOL_HEAD_SIZE;
    *out = (struct content){.left = "no", .damaged = !spool_head_read(bytes, len)};
    if (out->damaged)
        return;
    for (enum spool_found found; (found = spool_record_read(bytes, len, &at, &record)) != SPOOL_OVER;) {
        out->damaged = out->damaged || found != SPOOL_RECORD;
        if (found != SPOOL_RECORD)
            continue;
        if (record.kind == SPOOL_OWNER && record.count >= 4)
            out->owner = record;
        else if (record.kind == SPOOL_END || record.kind == SPOOL_LEFT)
            out->left = record.kind == SPOOL_END ? "ended" : "handed over";
        else if (record.kind == SPOOL_ENTRY && record.count >= 2 && out->entries++ == 0)
            out->first_ms = number(record.texts[1]);
    }
}

static struct spool_text owner_text(const struct content *content, int i)
{
    return content->owner.count > i ? content->owner.texts[i] : (struct spool_text){"?", 1};
}

static void print_text(int width, struct spool_text text)
{
    printf("%-*.*s ", width, (int)text.len, text.str);
}

static void print_time(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32] = "-";
    if (ms > 0 && gmtime_r(&seconds, &tm))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    print_text(20, (struct spool_text){text, strlen(text)});
}

static void print_file(void *arg, const char *path, bool owned)
{
    struct listing *listing = arg;
    const char *name = strrchr(path, '/') + 1;
    struct content content;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = fd < 0 ? NULL : spool_store_read(fd, &len);
    if (fd >= 0)
        close(fd);
    if (!bytes) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    look_into(bytes, len, &content);
    if (listing->files++ == 0)
        printf("%-30s %-40s %-20s %8s %9s %-20s %-11s %s\n", "file", "call", "worker", "entries", "bytes", "since", "call over",
               "state");
    listing->entries += content.entries;
    print_text(30, (struct spool_text){name, strlen(name)});
    print_text(40, owner_text(&content, 1));
    print_text(20, owner_text(&content, 3));
    printf("%8ld %9zu ", content.entries, len);
    print_time(content.first_ms);
    printf("%-11s %s\n", content.left, content.damaged ? "damaged" : owned ? "its worker lives" : "waits for a worker");
    free(bytes);
}

int spool_command(int argc, char **argv)
{
    const char *dir = argc > 0 ? argv[0] : getenv("RINGFLEET_SPOOL_DIR");
    struct listing listing = {0};
    if (argc > 1 || !dir || !*dir || *dir == '-') {
        fprintf(stderr, "worker: spool [DIR], by default RINGFLEET_SPOOL_DIR: what waits there for Redis\n");
        return EXIT_FAILURE;
    }
    if (spool_store_each(dir, print_file, &listing) != 0) {
        fprintf(stderr, "worker: %s: %s\n", dir, strerror(errno));
        return EXIT_FAILURE;
    }
    printf("%d calls, %ld entries\n", listing.files, listing.entries);
    return EXIT_SUCCESS;
}
