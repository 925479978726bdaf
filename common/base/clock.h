/* The two clocks. Wall time is for what people and other machines read; monotonic time for
 * deadlines and durations. */
#pragma once
#include <stdint.h>

int64_t clock_wall_ms(void); /* ms since 1970-01-01 UTC */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
