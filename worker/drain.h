/* The end of a loop's calls: they finish by themselves until RINGFLEET_DRAIN_SECONDS have passed. Then
 * each is handed to another worker, between two turns if such a moment comes in time. */
#pragma once
#include "worker/worker.h"

struct drain;

/* NULL, with a log line, when out of memory: the calls then end by themselves only. */
RF_NODISCARD struct drain *drain_begin(struct worker *w);
void drain_free(struct drain *d);
