#include "warmer/withheld.h"

#include <string.h>
#include <strings.h>

static bool is_spelt_by(const char *number, const char *word)
{
    static const char keys[] = "22233344455566677778889999"; /* of a to z */
    if (*number++ != '+')
        return false;
    while (*word && *number == keys[*word - 'a']) {
        number++;
        word++;
    }
    return *word == '\0' && *number == '\0';
}

const char *withheld_or(const char *number)
{
    static const char *const words[] = {"anonymous", "restricted", "unavailable", "blocked", "unknown", "private"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(number, words[i]) == 0 || is_spelt_by(number, words[i]))
            return words[0];
    }
    return *number ? number : words[0];
}
