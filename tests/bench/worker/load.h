/* The load on a media server: callers on the carrier's side, sessions on the AI's, in one loop. */
#pragma once
#include "tests/bench/worker/link.h"
#include "tests/bench/worker/stamp.h"

/* Ticks of 20 ms: the turn of each member comes at its own place in them. options.slower stretches them. */
enum { FRAME_NS = 20000000, SLOTS = 200, SLOT_NS = FRAME_NS / SLOTS };

enum profile { PROFILE_ECHO, PROFILE_REAL };

struct options {
    int server_port, provider_port;
    int server_pid;          /* whose CPU and memory are read; 0: nobody's */
    enum profile profile;
    bool burst;              /* all callers send at the same instant */
    int timed_of;            /* one call of so many is timed */
    int slower;              /* a tick takes so many times as long: for calls beyond what a core carries */
    int from, to, step;      /* calls carried at once */
    double ramp;             /* new calls a second, while they are fewer than they should be */
    double churn;            /* calls replaced a second */
    int windows;             /* of a step */
    double seconds, settle;  /* of a window, and of waiting before the first */
    int64_t stop_p99_us;     /* no further step after one most of whose windows were slower; 0: all steps */
    int updates;             /* session.update messages before a session speaks */
    const char *calls_file;  /* lines "call_sid token" */
    const char *certificate, *key;
};

/* What happened in the window, and what must not have happened at all. */
struct figures {
    struct spread round_trip; /* echo: from the caller and back, without the time in the session */
    struct spread up, down;   /* real: each way */
    struct spread late;       /* our own sends, behind their time */
    struct spread greeting;   /* start to the first audio */
    uint64_t frames_sent, frames_echoed, frames_back, appends, deltas, marks;
    uint64_t greeted, upgraded, barged_in, tools, ended;
};

struct load {
    struct link_loop loop;
    struct options options;
    struct figures figures;
    uint64_t faults; /* ours to complain about; the first ones are printed */
    bool measuring;
    int live; /* callers that hear the AI */
};

extern struct load load;

/* The server did what the vendor would not take. */
void fault(const char *what, const char *detail, size_t len);

/* ---- callers ---- */

void callers_init(void);
/* Calls that are to be carried from now on; the oldest are ended, or new ones begin. */
void callers_tick(int64_t now_ns, int wanted);
int callers_count(void); /* that were begun and not ended */
bool callers_out(void);  /* there are no more names in the file */
void callers_end_all(void);
/* The window is over; later, callers_missing: frames sent before that, whose echo has not come. */
void callers_window_over(void);
uint64_t callers_missing(void);

/* ---- sessions ---- */

void sessions_init(void);
void sessions_accept(struct link_loop *loop, int fd);
void sessions_tick(int64_t now_ns);
