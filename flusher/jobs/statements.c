#include "flusher/jobs/statements.h"

#include <string.h>

#include "jobs_sql.h"

enum whose { ALL, RECORDING, TRANSCRIPT, HOOK, LOOK };

#define COLUMNS(id, whose, name, params, ...) static const char *const columns_##id[] = {__VA_ARGS__, NULL};
JOB_STATEMENTS(COLUMNS)

static const struct {
    enum whose whose;
    int params;
    const char *const *columns;
} rows[JOB_SQL_COUNT] = {
#define ROW(id, whose, name, params, ...) [JOB_SQL_##id] = {whose, params, columns_##id},
    JOB_STATEMENTS(ROW)
};

bool jobs_want_recordings(const struct flusher_config *config)
{
    return *config->recording_store != '\0';
}

bool jobs_want_transcripts(const struct flusher_config *config)
{
    return jobs_want_recordings(config) && *config->transcription_url;
}

bool jobs_want_hooks(const struct flusher_config *config)
{
    return config->after_call_hook == 1;
}

bool jobs_want_any(const struct flusher_config *config)
{
    return jobs_want_recordings(config) || jobs_want_hooks(config);
}

static bool is_wanted(enum whose whose, const struct flusher_config *config)
{
    switch (whose) {
    case ALL:
        return true;
    case RECORDING:
        return jobs_want_recordings(config);
    case TRANSCRIPT:
        return jobs_want_transcripts(config);
    case HOOK:
        return jobs_want_hooks(config);
    case LOOK:
        break;
    }
    return false;
}

bool job_statements_load(struct job_statements *s, const struct flusher_config *config, char *error, size_t error_size)
{
    memset(s, 0, sizeof *s);
    if (statements_load(s->texts, JOB_SQL_COUNT, jobs_sql, config->sql_dir, error, error_size) != 0)
        return false;
    for (size_t i = 0; i < JOB_SQL_COUNT; i++) {
        s->place[i] = s->used_count;
        if (is_wanted(rows[i].whose, config))
            s->used[s->used_count++] = (struct pg_prepared){&s->texts[i], rows[i].params, rows[i].columns};
    }
    return true;
}

void job_statements_release(struct job_statements *s)
{
    statements_release(s->texts, JOB_SQL_COUNT);
}
