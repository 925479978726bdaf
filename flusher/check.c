#include "flusher/check.h"

#include <stdio.h>
#include <string.h>

#include "common/redis/shards.h"
#include "flusher/database.h"
#include "flusher/health.h"
#include "flusher/jobs/note.h"
#include "flusher/jobs/statements.h"
#include "flusher/jobs/store.h"
#include "flusher/sql.h"
#include "flusher/turn_copy.h"

enum { REDIS_TIMEOUT_MS = 5000 };

static bool say(bool ok, const char *what, const char *detail)
{
    printf("%s  %s%s%s\n", ok ? "ok   " : "FAILS", what, *detail ? ": " : "", detail);
    return ok;
}

static void say_stray(const char *file_name)
{
    say(false, file_name, "there is no such statement, so it is never read");
}

/* -- Redis -------------------------------------------------------------------------------------- */

static bool check_shard(struct redis_shards *shards, struct redis_shard *shard, const struct flusher_config *config)
{
    struct redis_refusal why = {.text = ""};
    struct health health = {.sentence = ""};
    char what[64] = "Redis";
    bool connected = redis_shard_connect(shards, shard, &why);
    bool ok = connected && health_look(shard->redis, &health);
    if (!shard->alone)
        snprintf(what, sizeof what, "Redis, %d of %d partitions", shard->count, (int)config->partitions);
    return say(ok, what, connected ? health.sentence : why.text);
}

/* Each server that has a part of the fleet. */
static bool check_shards(struct redis_shards *shards, const struct flusher_config *config)
{
    struct redis_refusal why = {.text = "out of memory"};
    bool ok = shards && redis_shards_find(shards, &why);
    if (!ok)
        return say(false, "Redis", why.text);
    for (int i = 0; i < redis_shards_count(shards); i++)
        ok = check_shard(shards, redis_shards_at(shards, i), config) && ok;
    if (!redis_shards_complete(shards))
        ok = say(false, "Redis", "no node of the cluster has the slots of some partitions");
    return ok;
}

static bool check_redis(const struct flusher_config *config)
{
    const struct key_space keys = {config->key_prefix, (int)config->partitions};
    struct redis_url url;
    const struct redis_sync_spec spec = {&url, &keys, "flusher-check", REDIS_TIMEOUT_MS, true, false, 0};
    struct redis_shards *shards;
    char wrong[256];
    bool ok;
    if (redis_url_parse(config->redis_url, &url, wrong, sizeof wrong) != 0)
        return say(false, "Redis", wrong);
    shards = redis_shards_new(&spec);
    ok = check_shards(shards, config);
    redis_shards_free(shards);
    redis_url_release(&url);
    return ok;
}

/* -- statements --------------------------------------------------------------------------------- */

/* Prepares one; NULL with the server's words in why, its line of the text and its hint included. */
static PGresult *describe(PGconn *conn, const struct statement *statement, char *why, size_t size)
{
    const Oid *types;
    int given = sql_parameters(statement->name, &types);
    const char *error;
    PGresult *result = PQprepare(conn, statement->name, statement->text, given, types);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQdescribePrepared(conn, statement->name);
    }
    if (PQresultStatus(result) == PGRES_COMMAND_OK)
        return result;
    error = PQresultErrorMessage(result);
    snprintf(why, size, "%.*s%s", (int)strlen(error) - (*error != '\0'), error, /* without its last newline */
             pg_shared_session_advice(PQresultErrorField(result, PG_DIAG_SQLSTATE)));
    PQclear(result);
    return NULL;
}

static bool say_statement(bool ok, const struct statement *statement, const char *why)
{
    char what[160];
    snprintf(what, sizeof what, "%s.sql%s", statement->name, statement->overridden ? " (your own)" : "");
    return say(ok, what, ok ? "" : why);
}

/* It need not use all that it is given, but can have no more. */
static bool check_statement(PGconn *conn, const struct statement *statement)
{
    char why[1024] = "";
    const Oid *types;
    int given = sql_parameters(statement->name, &types);
    PGresult *description = describe(conn, statement, why, sizeof why);
    int params = PQnparams(description);
    bool ok = description != NULL;
    if (ok && given > 0 && params > given) {
        snprintf(why, sizeof why, "it takes %d parameters instead of %d", params, given);
        ok = false;
    }
    ok = ok && prepared_permitted(conn, statement, params, why, sizeof why);
    PQclear(description);
    return say_statement(ok, statement, why);
}

/* -- what is done after calls -------------------------------------------------------------------- */

static bool check_job_statement(PGconn *conn, const struct pg_prepared *wanted)
{
    char why[1024] = "";
    PGresult *description = describe(conn, wanted->statement, why, sizeof why);
    bool ok = description && prepared_fits(wanted, description, why, sizeof why) &&
              prepared_permitted(conn, wanted->statement, wanted->params, why, sizeof why);
    PQclear(description);
    return say_statement(ok, wanted->statement, why);
}

static bool check_jobs(PGconn *conn, const struct flusher_config *config)
{
    struct job_statements statements;
    struct note note = note_wanted(config);
    struct store store;
    struct db_error error = {0};
    char why[512] = "";
    bool ok = job_statements_load(&statements, config, why, sizeof why);
    if (!ok)
        say(false, "RINGFLEET_SQL_DIR", why);
    for (size_t i = 0; i < statements.used_count; i++)
        ok = check_job_statement(conn, &statements.used[i]) && ok;
    ok = statements_strays(statements.texts, statements.used_count ? JOB_SQL_COUNT : 0, config->sql_dir, say_stray) == 0 && ok;
    job_statements_release(&statements);
    if (ok && !note_prepare(&note, conn, config, &error))
        ok = say(false, "job_note.sql", error.message);
    if (*config->recording_store && !store_open(&store, config, why, sizeof why))
        ok = say(false, "RINGFLEET_RECORDING_STORE", why);
    return ok;
}

/* No rows of it, and not to be kept. */
static bool check_copy(PGconn *conn)
{
    struct turn_copy copy = {0};
    struct db_error error = {0};
    bool ok;
    ok = db_run(conn, "begin", &error) && turn_copy_begin(&copy, conn, &error);
    if (ok) {
        turn_copy_fill(&copy, NULL, 0, NULL);
        ok = turn_copy_end(&copy, &error);
    }
    ok = db_run(conn, "rollback", ok ? &error : &(struct db_error){0}) && ok;
    turn_copy_release(&copy);
    return say(ok, "copy_turn.sql", ok ? "" : error.message);
}

/* -- Postgres ----------------------------------------------------------------------------------- */

static bool check_statements(PGconn *conn, const struct flusher_config *config)
{
    struct sql sql = {0};
    char why[512];
    bool ok = sql_load(&sql, config->sql_dir, why, sizeof why);
    if (!ok)
        say(false, "RINGFLEET_SQL_DIR", why);
    if (ok) {
        for (size_t i = 0; i < sql.count; i++)
            ok = check_statement(conn, &sql.statements[i]) && ok;
        if (!sql_named(&sql, "apply_turn")->overridden)
            ok = check_copy(conn) && ok;
        ok = statements_strays(sql.statements, sql.count, config->sql_dir, say_stray) == 0 && ok;
    }
    sql_release(&sql);
    return ok;
}

/* Only where the database was asked can a migration be what is missing. */
static bool check_schema(PGconn *conn, const struct flusher_config *config)
{
    bool ok = check_statements(conn, config);
    if (jobs_want_any(config))
        ok = check_jobs(conn, config) && ok;
    if (!ok)
        printf("not everything fits. What is missing: flusher migrate makes the default schema, flusher migrate --to 1 what a "
               "schema of your own needs besides (flusher/sql/README.md)\n");
    return ok;
}

static bool check_postgres(const struct flusher_config *config)
{
    struct db_error error = {0};
    PGconn *conn = db_connect(config->database_url, "", &error);
    bool ok = conn && db_writable(conn, &error);
    say(ok, "Postgres", ok ? "" : error.message);
    ok = conn && check_schema(conn, config) && ok;
    PQfinish(conn);
    return ok;
}

int check(const struct flusher_config *config)
{
    bool redis = check_redis(config), postgres = check_postgres(config);
    return redis && postgres ? 0 : 1;
}
