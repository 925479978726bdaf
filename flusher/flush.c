#include "flusher/flush.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/redis/keys.h"
#include "flusher/lane.h"
#include "flusher/sql.h"

#define METRIC_STRUCT struct flusher_metrics
static const struct metric_row metric_rows[] = {FLUSHER_METRICS(METRIC_ROW)};

enum { CONSUMER_SIZE = 300 };

struct flusher {
    struct key_space keys;
    struct redis_url url;
    struct sql sql;
    struct lane_spec spec;
    atomic_bool stopping, misfit;
    struct lane **lanes;
    int lane_count, ended_count;
};

static void name_consumer(char out[CONSUMER_SIZE], const char *name, int lane)
{
    char host[200] = "flusher";
    int len;
    gethostname(host, sizeof host - 1);
    len = *name ? snprintf(out, CONSUMER_SIZE, "%s", name)
                : snprintf(out, CONSUMER_SIZE, "%s-%ld", host, (long)getpid());
    if (lane > 0)
        snprintf(out + len, (size_t)(CONSUMER_SIZE - len), ".%d", lane);
}

static bool make_lanes(struct flusher *f, const struct flusher_config *config)
{
    char consumer[CONSUMER_SIZE];
    f->lanes = calloc((size_t)config->flush_threads, sizeof *f->lanes);
    if (!f->lanes)
        return false;
    for (int i = 0; i < config->flush_threads; i++) {
        name_consumer(consumer, config->consumer, i);
        f->lanes[i] = lane_new(&f->spec, i, consumer);
        if (!f->lanes[i])
            return false;
        f->lane_count++;
    }
    return true;
}

struct flusher *flusher_new(const struct flusher_config *config, char *error, size_t error_size)
{
    struct flusher *f = calloc(1, sizeof *f);
    if (!f) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    srandom((unsigned)clock_mono_us() ^ (unsigned)getpid());
    snprintf(error, error_size, "out of memory or descriptors");
    f->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    f->spec = (struct lane_spec){.config = config,
                                 .url = &f->url,
                                 .keys = &f->keys,
                                 .sql = &f->sql,
                                 .wake_fd = eventfd(0, EFD_CLOEXEC),
                                 .ended_fd = eventfd(0, EFD_CLOEXEC),
                                 .stopping = &f->stopping,
                                 .misfit = &f->misfit};
    if (f->spec.wake_fd < 0 || f->spec.ended_fd < 0 ||
        redis_url_parse(config->redis_url, &f->url, error, error_size) != 0 ||
        !sql_load(&f->sql, config->sql_dir, error, error_size) ||
        !make_lanes(f, config)) {
        flusher_free(f);
        return NULL;
    }
    return f;
}

bool flusher_start(struct flusher *flusher)
{
    for (int i = 0; i < flusher->lane_count; i++) {
        if (!lane_start(flusher->lanes[i])) {
            flusher_stop(flusher);
            return false;
        }
    }
    return true;
}

/* The eventfd is not read, so it wakes every lane. */
void flusher_stop(struct flusher *flusher)
{
    atomic_store(&flusher->stopping, true);
    eventfd_write(flusher->spec.wake_fd, 1);
}

int flusher_ended_fd(const struct flusher *flusher)
{
    return flusher->spec.ended_fd;
}

bool flusher_ended(struct flusher *flusher)
{
    eventfd_t count = 0;
    if (eventfd_read(flusher->spec.ended_fd, &count) == 0)
        flusher->ended_count += (int)count;
    return flusher->ended_count == flusher->lane_count;
}

bool flusher_misfit(const struct flusher *flusher)
{
    return atomic_load(&flusher->misfit);
}

void flusher_free(struct flusher *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->lane_count; i++)
        lane_free(f->lanes[i]);
    free(f->lanes);
    sql_release(&f->sql);
    redis_url_release(&f->url);
    if (f->spec.wake_fd >= 0)
        close(f->spec.wake_fd);
    if (f->spec.ended_fd >= 0)
        close(f->spec.ended_fd);
    free(f);
}

/* -- for the admin port ------------------------------------------------------------------------ */

/* Counters and histograms are summed; a lane that is not connected makes the flusher so. */
static void sum_metrics(const struct flusher *f, struct flusher_metrics *sum)
{
    bool redis_up = true, postgres_up = true;
    int64_t delay_ms = 0;
    metric_value *to = (metric_value *)sum;
    memset(sum, 0, sizeof *sum);
    for (int i = 0; i < f->lane_count; i++) {
        const struct flusher_metrics *m = lane_metrics(f->lanes[i]);
        const metric_value *from = (const metric_value *)m;
        for (size_t k = 0; k < sizeof *sum / sizeof *to; k++)
            metric_add(&to[k], metric_get(&from[k]));
        delay_ms = lane_delay_ms(f->lanes[i]) > delay_ms ? lane_delay_ms(f->lanes[i]) : delay_ms;
        redis_up = redis_up && metric_get(&m->redis_up);
        postgres_up = postgres_up && metric_get(&m->postgres_up);
    }
    metric_set(&sum->redis_up, redis_up);
    metric_set(&sum->postgres_up, postgres_up);
    metric_set(&sum->delay_seconds, (uint64_t)delay_ms / 1000);
}

const char *flusher_not_ready(void *flusher)
{
    struct flusher_metrics sum;
    sum_metrics(flusher, &sum);
    if (!metric_get(&sum.redis_up))
        return "Redis is not connected; the log says why";
    if (!metric_get(&sum.postgres_up))
        return "Postgres is not connected, or its schema does not fit; the log says why";
    return NULL;
}

void flusher_print_metrics(struct evbuffer *out, void *flusher)
{
    struct flusher_metrics sum;
    sum_metrics(flusher, &sum);
    metrics_print(out, metric_rows, ARRAY_LEN(metric_rows), &sum);
}
