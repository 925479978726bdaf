/* How a call waits for a worker, or for Redis, to come back. Pure. */
#pragma once

/* Seconds before the next try, after so many vain ones: none at first, then longer each time. -1: it has been more
 * than limit in all, and the caller is to be told so. */
int patience_seconds(int vain, int limit);
