#include "common/redis/command.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"

enum { NUMBER_MAX = 20, MARKS = 5 /* "$" or "*", and two line ends */, KEPT_MAX = 256 * 1024 };

static char *put_number(char *to, char kind, size_t number)
{
    *to++ = kind;
    if (number < 10)
        *to++ = (char)('0' + number); /* nearly each */
    else
        to = decimal_put(to, (int64_t)number);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *put_argument(char *to, const char *bytes, size_t len)
{
    to = put_number(to, '$', len);
    memcpy(to, bytes, len);
    to += len;
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

/* One that was very long is not kept for the next, which will not be. */
static bool make_room(struct redis_command *command, size_t size)
{
    char *text;
    if (size <= command->_size && command->_size <= KEPT_MAX)
        return true;
    text = malloc(size);
    if (!text)
        return false;
    free(command->text);
    command->text = text;
    command->_size = size;
    return true;
}

int redis_command_write(struct redis_command *command, int argc, const char **argv, const size_t *lens)
{
    size_t size = NUMBER_MAX + MARKS;
    char *to;
    for (int i = 0; i < argc; i++)
        size += (lens ? lens[i] : strlen(argv[i])) + NUMBER_MAX + MARKS;
    if (!make_room(command, size))
        return -1;
    to = put_number(command->text, '*', (size_t)argc);
    for (int i = 0; i < argc; i++)
        to = put_argument(to, argv[i], lens ? lens[i] : strlen(argv[i]));
    command->len = (size_t)(to - command->text);
    return 0;
}

void redis_command_release(struct redis_command *command)
{
    free(command->text);
    *command = (struct redis_command){0};
}
