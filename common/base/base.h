/* What every file of the project may use: attributes and two macros. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RF_NODISCARD __attribute__((warn_unused_result))
#define RF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
