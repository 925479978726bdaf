/* Where log lines go: stderr. A program that serves must not stop because whoever reads its log has: a
 * pipe or socket that is full takes no line, and nobody waits for it. What the kernel holds for the
 * reader (64 KB for a pipe) is the queue, so that a program that is killed loses no line it has written. */
#pragma once
#include "common/base/base.h"

/* From now on no line waits for the reader. Before, and in commands, which have nobody to keep waiting, it does. */
void log_sink_never_wait(void);

/* Of any thread. A line is written whole and after those before it, or (false) not at all. len is at most
 * LOG_LINE_MAX. */
enum { LOG_LINE_MAX = 4096 };
bool log_sink_write(const char *line, size_t len);
