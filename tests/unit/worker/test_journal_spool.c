/* Journals on disk: what Redis could not take comes back once each and in order, whoever dies and whenever. */
#include "tests/unit/worker/journal_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/spool/spool.h"
#include "worker/spool/store.h"

enum { MANY = 300, SECONDS = 20 };

static char dir[64]; /* of the test's spool */

static struct spool *spool_at(struct fixture *f, const char *where, uint64_t max_bytes)
{
    struct spool *spool = spool_new(&(struct spool_spec){.dir = where, .max_bytes = max_bytes, .url = &f->url,
                                                         .keys = &f->w->keys, .worker = "w1"});
    assert_non_null(spool);
    return spool;
}

static struct spool *spool(struct fixture *f)
{
    return spool_at(f, dir, 1 << 24);
}

static struct worker_metrics *shown(struct fixture *f)
{
    static struct worker_metrics m;
    spool_show(f->w->spool, &m);
    return &m;
}

/* Waits for the spool's thread. */
#define wait_for(f, condition)                                      \
    do {                                                            \
        int64_t limit = clock_mono_ms() + SECONDS * 1000;           \
        const struct worker_metrics *m = shown(f);                  \
        while (!(condition) && clock_mono_ms() < limit) {           \
            usleep(2000);                                           \
            m = shown(f);                                           \
        }                                                           \
        (void)m;                                                    \
        if (!(condition))                                           \
            fail_msg("waited in vain for " #condition);             \
    } while (0)

static int begin(void **state)
{
    struct fixture *f;
    if (setup(state) != 0)
        return -1;
    f = *state;
    snprintf(dir, sizeof dir, "%s/spool", f->server.dir);
    f->w->spool = spool(f);
    f->journal.clock_skew_ms = clock_wall_ms() - clock_mono_ms(); /* Redis' clock is ours */
    redis_server_do(&f->server, NULL, "DEL " WRITES);
    redis_server_do(&f->server, NULL, "XADD " WRITES " 3-7 type callsession_update v 1 at 1 data {\"stream_sid\":\"MZ1\"}");
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    journal_release(&f->journal);
    f->journal.w = NULL;
    spool_free(f->w->spool);
    f->w->spool = NULL;
    return teardown(state);
}

static void redis_goes(struct fixture *f)
{
    redis_server_kill(&f->server);
    wait_until(f, !f->up);
}

static void redis_comes(struct fixture *f)
{
    redis_server_start(&f->server, NULL);
    wait_until(f, f->up);
}

/* The worker's heartbeat. */
static bool looked(struct fixture *f)
{
    journal_look(&f->journal);
    event_base_loop(f->w->base, EVLOOP_NONBLOCK);
    usleep(1000);
    return true;
}

static const char *value_of(const redisReply *entry, const char *name)
{
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1]->str;
    }
    return "";
}

/* The journal has the turns m<from> to m<to>, once each and in that order, and seq has no gap. */
static void expect_turns(struct fixture *f, int from, int to)
{
    redisReply *all = ask(f, "XRANGE " WRITES " - +");
    int next = from;
    for (size_t i = 0; i < all->elements; i++) {
        struct stream_id id;
        char message[16];
        assert_true(stream_id_parse(all->element[i]->element[0]->str, &id));
        assert_int_equal(id.lo, 7 + i);
        if (strcmp(value_of(all->element[i], "type"), "turn") != 0)
            continue;
        snprintf(message, sizeof message, "m%d", next++);
        assert_string_equal(value_of(all->element[i], "message"), message);
        assert_true(strtoll(value_of(all->element[i], "at"), NULL, 10) > 1600000000000);
    }
    assert_int_equal(next, to + 1);
    freeReplyObject(all);
}

static void expect_session(struct fixture *f, const char *name, const char *value)
{
    char command[128];
    snprintf(command, sizeof command, "HGET " SESSION " %s", name);
    redisReply *reply = ask(f, command);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_string_equal(reply->str, value);
    freeReplyObject(reply);
}

/* All that memory held, in order; what came after the disk had failed, and before that was known, may be missing. */
static void expect_held_and_later(struct fixture *f)
{
    redisReply *all = ask(f, "XRANGE " WRITES " 3-8 +");
    int last = 7;
    for (size_t i = 0; i < all->elements; i++) {
        int number = atoi(value_of(all->element[i], "message") + 1);
        assert_true(number > last && (number == last + 1 || last >= 7 + JOURNAL_WAITING_MAX));
        last = number;
    }
    assert_int_equal(last, 12 + JOURNAL_WAITING_MAX);
    freeReplyObject(all);
}

static int files(void)
{
    DIR *d = opendir(dir);
    int count = 0;
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void expect_length(struct fixture *f, const char *command, long long count)
{
    redisReply *reply = ask(f, command);
    assert_int_equal(reply->integer, count);
    freeReplyObject(reply);
}

/* ---- the same worker ---- */

/* Nothing waits for long: nothing touches the disk. */
static void test_not_needed(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 27);
    journal_look(&f->journal);
    wait_until(f, f->journal.waiting == 0);
    assert_int_equal(files(), 0);
    expect_turns(f, 8, 27);
}

/* More than memory holds, in a call that goes on: everything follows, in order, without a word lost. */
static void test_beyond_the_bound(void **state)
{
    struct fixture *f = *state;
    int last = 8 + JOURNAL_WAITING_MAX + MANY;
    say_numbered(f, 8, 10);
    wait_until(f, f->journal.waiting == 0);
    redis_goes(f);
    say_numbered(f, 11, last);
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 0);
    wait_for(f, metric_get(&m->spool_written) == (uint64_t)last - 10);
    redis_comes(f);
    say_numbered(f, last + 1, last + 5); /* behind what is on disk */
    wait_until(f, looked(f) && f->journal.spool.resting);
    say_numbered(f, last + 6, last + 9); /* while that is brought back */
    wait_until(f, looked(f) && !f->journal.spool.resting && f->journal.waiting == 0 && !f->journal.spool.file);
    say_numbered(f, last + 10, last + 12);
    journal_await(&f->journal);
    wait_until(f, f->outcome == JOURNAL_KEPT);
    expect_turns(f, 8, last + 12);
    assert_int_equal(f->journal.given, f->journal.kept);
    assert_int_equal(metric_get(&f->w->metrics.journal_appended), last + 12 - 7);
    wait_for(f, metric_get(&m->spool_files) == 0 && metric_get(&m->spool_bytes) == 0);
    assert_int_equal(files(), 0);
}

/* Copied to be safe, and then taken by Redis as usual: nothing of it shows. */
static void test_copied_only(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    say_numbered(f, 8, 12);
    journal_look(&f->journal);
    assert_null(f->journal.spool.file); /* it has not waited for long */
    wait_until(f, looked(f) && f->journal.spool.file);
    wait_for(f, metric_get(&m->spool_written) == 5);
    redis_comes(f);
    wait_until(f, f->journal.waiting == 0);
    wait_until(f, looked(f) && !f->journal.spool.file);
    wait_for(f, metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 12);
    redisReply *all = ask(f, "XRANGE " WRITES " 3-8 +");
    for (size_t i = 0; i < all->elements; i++)
        assert_string_equal(value_of(all->element[i], "spooled"), "");
    freeReplyObject(all);
}

/* The call is over before Redis is back: its last words, its end and its verdict come all the same. */
static void test_ended_meanwhile(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 9);
    wait_until(f, f->journal.waiting == 0);
    redis_goes(f);
    say_numbered(f, 10, 12 + JOURNAL_WAITING_MAX);
    journal_end(&f->journal, "agent_hangup", "hangup", "{\"turns\":3}");
    journal_release(&f->journal);
    f->journal.w = NULL;
    redis_comes(f);
    wait_for(f, metric_get(&m->spool_returned) == 3 + JOURNAL_WAITING_MAX && metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 12 + JOURNAL_WAITING_MAX);
    expect_session(f, "phase", "ended");
    expect_session(f, "verdict", "hangup");
    expect_length(f, "XLEN rf:{p0}:ended", 1);
    redisReply *last = ask(f, "XREVRANGE " WRITES " + - COUNT 1");
    assert_string_equal(value_of(last->element[0], "type"), "call_end");
    assert_string_equal(value_of(last->element[0], "metrics"), "{\"turns\":3}");
    freeReplyObject(last);
}

/* The reaper was faster: the true end follows its own. */
static void test_ended_and_reaped(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    say_numbered(f, 8, 9);
    journal_end(&f->journal, "carrier_stop", "", "{}");
    redis_server_start(&f->server, NULL); /* the worker has not noticed */
    redis_server_do(&f->server, NULL, "XADD " WRITES " 4-8 type call_end by flusher");
    redis_server_do(&f->server, NULL, "HSET " SESSION " epoch 4 phase ended reason worker_lost");
    journal_release(&f->journal);
    f->journal.w = NULL;
    wait_for(f, metric_get(&m->spool_returned) == 2 && metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 9);
    expect_session(f, "reason", "carrier_stop");
    expect_session(f, "last_writes", "5-11");
}

/* Handed over with words that Redis did not take: it was no loss of a worker. */
static void test_left_meanwhile(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    say_numbered(f, 8, 9);
    journal_leave(&f->journal);
    journal_release(&f->journal);
    f->journal.w = NULL;
    redis_comes(f);
    wait_for(f, metric_get(&m->spool_returned) == 2 && metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 9);
    expect_session(f, "phase", "live");
    expect_session(f, "epoch", "4");
    expect_session(f, "handed_over", "4");
}

/* ---- another worker has the call ---- */

static void claim_for_another(struct fixture *f, const char *seq)
{
    char command[256];
    snprintf(command, sizeof command, "XADD " WRITES " 4-%s type callsession_update v 1 at %lld data "
             "{\"stream_sid\":\"MZ2\"}", seq, (long long)clock_wall_ms());
    freeReplyObject(ask(f, command));
    freeReplyObject(ask(f, "HSET " SESSION " epoch 4 worker w2 stream_sid MZ2"));
}

/* What was said before is kept; what a worker does that does not know it yet is not. */
static void test_taken_over(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    say_numbered(f, 8, 9);
    redis_server_start(&f->server, NULL);
    usleep(3000);
    claim_for_another(f, "8");
    usleep(3000);
    say(f, "of a call that moved on");
    journal_end(&f->journal, "agent_hangup", "hangup", "{}");
    wait_until(f, f->outcome == JOURNAL_FENCED);
    journal_release(&f->journal);
    f->journal.w = NULL;
    wait_for(f, metric_get(&m->spool_refused) == 1 && metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 9);
    expect_session(f, "phase", "live"); /* the other one's */
    expect_session(f, "epoch", "5");    /* which it will take back */
    redisReply *verdict = ask(f, "HGET " SESSION " verdict");
    assert_int_equal(verdict->type, REDIS_REPLY_NIL);
    freeReplyObject(verdict);
}

/* ---- the call has left Redis ---- */

static void test_purged(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    say_numbered(f, 8, 9);
    journal_end(&f->journal, "carrier_stop", "", "{}");
    redis_server_start(&f->server, NULL);
    redis_server_do(&f->server, NULL, "DEL " WRITES " " SESSION);
    journal_release(&f->journal);
    f->journal.w = NULL;
    wait_for(f, metric_get(&m->spool_buried) == 2 && metric_get(&m->spool_files) == 0);
    redisReply *letters = ask(f, "XRANGE rf:{p0}:dead - +");
    assert_int_equal(letters->elements, 2);
    assert_string_equal(value_of(letters->element[0], "call_sid"), SID);
    assert_string_equal(value_of(letters->element[0], "stream"), "writes");
    assert_string_equal(value_of(letters->element[0], "entry_id"), "3-8");
    assert_string_equal(value_of(letters->element[1], "type"), "turn");
    assert_non_null(strstr(value_of(letters->element[1], "entry"), "\"message\":\"m9\""));
    freeReplyObject(letters);
    expect_length(f, "EXISTS " SESSION, 0);
}

/* ---- killed ---- */

/* Runs in a child that ends by SIGKILL; its parent's threads and connections are not its own. */
static void in_a_killed_child(struct fixture *f, void (*fn)(struct fixture *f), int after_us)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        f->w->spool = spool(f);
        fn(f);
        raise(SIGKILL);
    }
    if (after_us > 0) {
        usleep((useconds_t)after_us);
        kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void spool_many(struct fixture *f)
{
    say_numbered(f, 8, 7 + JOURNAL_WAITING_MAX + MANY);
    wait_for(f, metric_get(&m->spool_written) == JOURNAL_WAITING_MAX + MANY);
}

static void rest_in_place(struct fixture *f)
{
    (void)f;
    pause();
}

/* The test's own spool would bring back what the child leaves. */
static void without_spool(struct fixture *f)
{
    spool_free(f->w->spool);
    f->w->spool = NULL;
}

static void test_killed_with_a_full_spool(void **state)
{
    struct fixture *f = *state;
    redis_goes(f);
    without_spool(f);
    in_a_killed_child(f, spool_many, 0);
    assert_int_equal(files(), 1);
    redis_server_start(&f->server, NULL);
    f->w->spool = spool(f);
    wait_for(f, metric_get(&m->spool_returned) == JOURNAL_WAITING_MAX + MANY && metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 7 + JOURNAL_WAITING_MAX + MANY);
    expect_session(f, "phase", "live"); /* its end is the reaper's */
    assert_int_equal(files(), 0);
}

/* Again and again, at any moment of the way back. */
static void test_killed_while_bringing_back(void **state)
{
    struct fixture *f = *state;
    int killed = 0;
    srand(11);
    redis_goes(f);
    without_spool(f);
    in_a_killed_child(f, spool_many, 0);
    redis_server_start(&f->server, NULL);
    for (; killed < 60 && files() > 0; killed++)
        in_a_killed_child(f, rest_in_place, 1000 + rand() % 12000);
    f->w->spool = spool(f);
    wait_for(f, files() == 0);
    assert_true(killed > 1);
    expect_turns(f, 8, 7 + JOURNAL_WAITING_MAX + MANY);
}

/* A live worker's file is nobody else's, also on a volume that two share. */
static void test_two_workers_on_one_volume(void **state)
{
    struct fixture *f = *state;
    struct spool *own = f->w->spool, *other;
    redis_goes(f);
    say_numbered(f, 8, 9 + JOURNAL_WAITING_MAX);
    wait_for(f, metric_get(&m->spool_written) == 2 + JOURNAL_WAITING_MAX);
    redis_server_start(&f->server, NULL);
    other = spool(f);
    spool_free(other); /* has looked by then */
    assert_int_equal(files(), 1);
    expect_turns(f, 8, 7);
    f->w->spool = own;
}

/* ---- disks ---- */

static void test_no_directory(void **state)
{
    struct fixture *f = *state;
    spool_free(f->w->spool);
    f->w->spool = spool_at(f, "/dev/null/spool", 1 << 24);
    redis_goes(f);
    wait_until(f, looked(f) && spool_usable(f->w->spool));
    say_numbered(f, 8, 8 + JOURNAL_WAITING_MAX);
    wait_for(f, metric_get(&m->spool_failed) > 0);
    say_numbered(f, 9 + JOURNAL_WAITING_MAX, 12 + JOURNAL_WAITING_MAX);
    assert_int_equal(f->journal.waiting, JOURNAL_WAITING_MAX); /* the call lives, with what memory holds */
    redis_comes(f);
    wait_until(f, looked(f) && f->journal.waiting == 0 && f->journal.spool.beyond == 0);
    expect_turns(f, 8, 7 + JOURNAL_WAITING_MAX);
}

/* A disk that is full takes whole records, and none behind one that it did not take. When there is room again the rest
 * follows. */
static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    redis_goes(f);
    small = (struct rlimit){20000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    say_numbered(f, 8, 8 + JOURNAL_WAITING_MAX);
    wait_for(f, metric_get(&m->spool_failed) > 0);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(metric_get(&shown(f)->spool_written) > 50);
    wait_until(f, spool_usable(f->w->spool));
    say_numbered(f, 9 + JOURNAL_WAITING_MAX, 12 + JOURNAL_WAITING_MAX);
    journal_release(&f->journal);
    f->journal.w = NULL;
    redis_comes(f);
    wait_for(f, metric_get(&m->spool_files) == 0);
    assert_int_equal(metric_get(&shown(f)->spool_damaged), 0);
    expect_held_and_later(f);
}

/* The disk fails, and the call was ended for its worker meanwhile: what is on disk under its first id, and goes on under
 * another since it was taken back, comes once. */
static void test_disk_full_and_reaped(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, small;
    uint64_t written;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    redis_goes(f);
    say_numbered(f, 8, 207);
    small = (struct rlimit){20000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    wait_until(f, looked(f) && f->journal.spool.file);
    wait_for(f, metric_get(&m->spool_failed) > 0);
    setrlimit(RLIMIT_FSIZE, &before);
    written = metric_get(&shown(f)->spool_written);
    assert_true(written > 50 && written < 200);
    redis_server_start(&f->server, NULL); /* the worker has not noticed */
    redis_server_do(&f->server, NULL, "XADD " WRITES " 4-8 type call_end by flusher");
    redis_server_do(&f->server, NULL, "HSET " SESSION " epoch 4 phase ended reason worker_lost");
    wait_until(f, metric_get(&f->w->metrics.journal_reclaimed) == 1);
    redis_goes(f);
    wait_until(f, spool_usable(f->w->spool));
    wait_for(f, looked(f) && metric_get(&m->spool_written) >= written + (uint64_t)f->journal.waiting);
    journal_release(&f->journal);
    f->journal.w = NULL;
    redis_comes(f);
    wait_for(f, metric_get(&m->spool_files) == 0);
    expect_turns(f, 8, 207);
}

static void test_bound_in_bytes(void **state)
{
    struct fixture *f = *state;
    spool_free(f->w->spool);
    f->w->spool = spool_at(f, dir, JOURNAL_WAITING_MAX * 240);
    redis_goes(f);
    say_numbered(f, 8, 8 + 2 * JOURNAL_WAITING_MAX);
    assert_true(metric_get(&shown(f)->spool_full) > 0);
    assert_true(metric_get(&f->w->metrics.journal_refused) > 0);
    assert_true(metric_get(&shown(f)->spool_bytes) <= JOURNAL_WAITING_MAX * 240);
}

/* A bit that flipped costs its entry; the file stays for people. */
static void test_damaged(void **state)
{
    struct fixture *f = *state;
    char path[SPOOL_PATH_SIZE] = "";
    struct stat st;
    uint8_t byte;
    redis_goes(f);
    without_spool(f);
    in_a_killed_child(f, spool_many, 0);
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    }
    closedir(d);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
    redis_server_start(&f->server, NULL);
    f->w->spool = spool(f);
    wait_for(f, metric_get(&m->spool_damaged) == 1 && metric_get(&m->spool_files) == 0);
    assert_int_equal(metric_get(&shown(f)->spool_returned), JOURNAL_WAITING_MAX + MANY - 1);
    assert_int_equal(files(), 1);
    strcat(path, ".damaged");
    assert_int_equal(stat(path, &st), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_not_needed, begin, end),
        cmocka_unit_test_setup_teardown(test_beyond_the_bound, begin, end),
        cmocka_unit_test_setup_teardown(test_copied_only, begin, end),
        cmocka_unit_test_setup_teardown(test_ended_meanwhile, begin, end),
        cmocka_unit_test_setup_teardown(test_ended_and_reaped, begin, end),
        cmocka_unit_test_setup_teardown(test_left_meanwhile, begin, end),
        cmocka_unit_test_setup_teardown(test_taken_over, begin, end),
        cmocka_unit_test_setup_teardown(test_purged, begin, end),
        cmocka_unit_test_setup_teardown(test_killed_with_a_full_spool, begin, end),
        cmocka_unit_test_setup_teardown(test_killed_while_bringing_back, begin, end),
        cmocka_unit_test_setup_teardown(test_two_workers_on_one_volume, begin, end),
        cmocka_unit_test_setup_teardown(test_no_directory, begin, end),
        cmocka_unit_test_setup_teardown(test_disk_full, begin, end),
        cmocka_unit_test_setup_teardown(test_disk_full_and_reaped, begin, end),
        cmocka_unit_test_setup_teardown(test_bound_in_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_damaged, begin, end),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
