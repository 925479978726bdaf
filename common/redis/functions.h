/* The Redis functions (the folder of that name) by their full names, which end in a digest of their text:
 * programs of two versions work beside each other on one Redis, each with the functions it was built with. */
#pragma once
#include "functions_version.h"

#define FUNCTIONS_LIBRARY "ringfleet_" FUNCTIONS_VERSION
#define REDIS_FUNCTION(name) name "_" FUNCTIONS_VERSION
