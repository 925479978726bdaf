/* The load on a media server, and the AI provider behind it, in one process: figures.py runs it beside
 * each server in turn. It raises the number of calls step by step; each step ends with one line of
 * figures on stdout. Times are in microseconds. */
#include "tests/bench/worker/load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

struct load load;

static const double BEGINNING_S = 0.1;
enum { FAULTS_SHOWN = 5, GRACE_NS = 400000000 };

static const char usage[] =
    "usage: bench_load --provider PORT --calls FILE [options]\n"
    "Says \"listening\", then waits for a line \"PORT PID\": the media server's (GET /media), and its process, whose\n"
    "CPU and memory are read.\n"
    "  --provider PORT    where the server finds the AI; --tls CERTIFICATE,KEY for TLS there\n"
    "  --calls FILE       lines \"call_sid token\"\n"
    "  --steps A:B:S      calls carried at once: from A to B by S (100:100:1)\n"
    "  --ramp N           new calls a second while there are too few (200)\n"
    "  --churn N          calls replaced a second (0)\n"
    "  --windows N        measured in each step, a line each (1)\n"
    "  --seconds N        length of a window (5); --settle N before a step's first (1)\n"
    "  --stop-p99 US      no step after one whose p99 was above in most of its windows\n"
    "  --timed N          of the calls every Nth is timed (4; all with --real): what comes back to the others is\n"
    "                     looked through now and then, which costs the load less\n"
    "  --updates N        session.update messages before a session speaks (2)\n"
    "  --real             turns, answers, tools, barge-ins; without it every frame is echoed\n"
    "  --burst            all callers send at the same instant\n"
    "  --slower N         a frame every 20 ms times N (1): memory does not depend on it, and a core carries more\n";

void fault(const char *what, const char *detail, size_t len)
{
    if (load.faults++ < FAULTS_SHOWN)
        fprintf(stderr, "fault: %s: %.*s\n", what, (int)(len < 300 ? len : 300), detail);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"provider", 1, NULL, 'p'}, {"calls", 1, NULL, 'c'},  {"steps", 1, NULL, 'n'},   {"ramp", 1, NULL, 'r'},
        {"churn", 1, NULL, 'u'},    {"seconds", 1, NULL, 'w'}, {"settle", 1, NULL, 'e'}, {"stop-p99", 1, NULL, 'x'},
        {"updates", 1, NULL, 'd'},  {"real", 0, NULL, 'R'},   {"burst", 0, NULL, 'B'},   {"tls", 1, NULL, 't'},
        {"slower", 1, NULL, 's'},   {"windows", 1, NULL, 'W'}, {"timed", 1, NULL, 'T'},
        {NULL, 0, NULL, 0}};
    struct options *o = &load.options;
    char *comma;
    *o = (struct options){.from = 100, .to = 100, .step = 1, .ramp = 200, .windows = 1, .seconds = 5, .settle = 1, .updates = 2, .slower = 1, .timed_of = 4};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'p': o->provider_port = atoi(optarg); break;
        case 'c': o->calls_file = optarg; break;
        case 'n':
            if (sscanf(optarg, "%d:%d:%d", &o->from, &o->to, &o->step) != 3)
                o->to = o->from = atoi(optarg);
            break;
        case 'r': o->ramp = atof(optarg); break;
        case 'u': o->churn = atof(optarg); break;
        case 'W': o->windows = atoi(optarg); break;
        case 'w': o->seconds = atof(optarg); break;
        case 'e': o->settle = atof(optarg); break;
        case 'x': o->stop_p99_us = atoll(optarg); break;
        case 'd': o->updates = atoi(optarg); break;
        case 'T': o->timed_of = atoi(optarg); break;
        case 'R': o->profile = PROFILE_REAL; break;
        case 'B': o->burst = true; break;
        case 's': o->slower = atoi(optarg); break;
        case 't':
            comma = strchr(optarg, ',');
            o->certificate = optarg;
            o->key = comma ? comma + 1 : "";
            if (comma)
                *comma = '\0';
            break;
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (!o->provider_port || !o->calls_file || o->step < 1 || o->slower < 1 || o->windows < 1 || o->timed_of < 1) {
        fputs(usage, stderr);
        exit(2);
    }
}

/* ---- the server's process ---- */

static double server_cpu(void)
{
    char path[64], line[512];
    unsigned long user, kernel;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%d/stat", load.options.server_pid);
    file = load.options.server_pid ? fopen(path, "r") : NULL;
    if (!file)
        return 0;
    if (!fgets(line, sizeof line, file) ||
        sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        die("the server's process");
    fclose(file);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static long server_memory_kb(void)
{
    char path[64], line[256];
    long kb = 0;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%d/status", load.options.server_pid);
    file = load.options.server_pid ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof line, file))
        (void)!sscanf(line, "VmRSS: %ld", &kb);
    if (file)
        fclose(file);
    return kb;
}

static double own_cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* ---- the run ---- */

static void turn(int wanted)
{
    int64_t now = mono_ns();
    callers_tick(now, wanted);
    sessions_tick(now);
    link_turn(&load.loop, SLOT_NS);
}

static void run_for(double seconds, int wanted)
{
    int64_t until = mono_ns() + (int64_t)(seconds * 1e9);
    while (mono_ns() < until)
        turn(wanted);
}

/* false: the server cannot carry as many. Of calls that are replaced all the time some have only begun. */
static bool reach(int wanted)
{
    int enough = wanted - (int)(load.options.churn * BEGINNING_S);
    int64_t give_up = mono_ns() + (int64_t)(1e9 * (15 + wanted / load.options.ramp));
    while (load.live < enough && load.faults == 0 && mono_ns() < give_up)
        turn(wanted);
    if (load.live < enough)
        fprintf(stderr, "only %d of %d calls are live\n", load.live, wanted);
    return load.live >= enough;
}

static void print(int calls, double seconds, double cpu, double own, uint64_t missing)
{
    const struct figures *f = &load.figures;
    const struct link_loop *loop = &load.loop;
    printf("calls %d seconds %.3f cpu %.3f own_cpu %.3f memory_kb %ld ", calls, seconds, cpu, own, server_memory_kb());
    printf("p50 %lld p99 %lld max %lld echoed %llu missing %llu faults %llu ", (long long)spread_at(&f->round_trip, 0.5),
           (long long)spread_at(&f->round_trip, 0.99), (long long)f->round_trip.max_us,
           (unsigned long long)f->frames_echoed, (unsigned long long)missing, (unsigned long long)load.faults);
    printf("up_p99 %lld down_p50 %lld down_p99 %lld late_p99 %lld greeting_p50 %lld greeting_p99 %lld greeted %llu ",
           (long long)spread_at(&f->up, 0.99), (long long)spread_at(&f->down, 0.5), (long long)spread_at(&f->down, 0.99),
           (long long)spread_at(&f->late, 0.99), (long long)spread_at(&f->greeting, 0.5),
           (long long)spread_at(&f->greeting, 0.99), (unsigned long long)f->greeted);
    printf("sent %llu back %llu appends %llu deltas %llu marks %llu upgraded %llu barged_in %llu tools %llu ended %llu ",
           (unsigned long long)f->frames_sent, (unsigned long long)f->frames_back, (unsigned long long)f->appends,
           (unsigned long long)f->deltas, (unsigned long long)f->marks, (unsigned long long)f->upgraded,
           (unsigned long long)f->barged_in, (unsigned long long)f->tools, (unsigned long long)f->ended);
    printf("reads %llu writes %llu waits %llu\n", (unsigned long long)loop->reads, (unsigned long long)loop->writes,
           (unsigned long long)loop->waits);
    fflush(stdout);
}

/* One window. false: lost frames, or too slow. */
static bool measure(int calls)
{
    const struct figures *f = &load.figures;
    double cpu, own;
    int64_t began, p99;
    uint64_t missing;
    memset(&load.figures, 0, sizeof load.figures);
    load.loop.reads = load.loop.writes = load.loop.waits = 0;
    load.measuring = true;
    cpu = server_cpu();
    own = own_cpu();
    began = mono_ns();
    run_for(load.options.seconds, calls);
    load.measuring = false;
    cpu = server_cpu() - cpu;
    own = own_cpu() - own;
    callers_window_over();
    began = mono_ns() - began;
    run_for(GRACE_NS / 1e9, calls);
    missing = load.options.churn > 0 ? 0 : callers_missing();
    print(calls, (double)began / 1e9, cpu, own, missing);
    p99 = spread_at(load.options.profile == PROFILE_ECHO ? &f->round_trip : &f->down, 0.99);
    return load.faults == 0 && missing == 0 && (load.options.stop_p99_us == 0 || p99 <= load.options.stop_p99_us);
}

/* false: it is not worth going on. A single stall of 20 ms, of whatever it is, is the p99 of the window it is in. */
static bool measure_step(int calls)
{
    int missed = 0;
    run_for(load.options.settle, calls);
    for (int i = 0; i < load.options.windows && load.faults == 0; i++)
        missed += !measure(calls);
    return load.faults == 0 && 2 * missed <= load.options.windows;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    link_loop_init(&load.loop);
    load.loop.stamps = true;
    load.loop.reads_ahead = true;
    if (load.options.certificate)
        link_serve_tls(&load.loop, load.options.certificate, load.options.key);
    callers_init();
    sessions_init();
    link_listen(&load.loop, load.options.provider_port, sessions_accept);
    printf("listening\n");
    fflush(stdout);
    if (scanf("%d %d", &load.options.server_port, &load.options.server_pid) != 2)
        return 1;
    for (int calls = load.options.from; calls <= load.options.to; calls += load.options.step) {
        if (!reach(calls) || !measure_step(calls))
            break;
    }
    load.options.churn = 0;
    callers_end_all();
    run_for(2.5, 0);
    return load.faults == 0 ? 0 : 3;
}
