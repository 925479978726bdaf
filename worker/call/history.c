#include "worker/call/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(struct history *h)
{
    int room = h->room ? h->room * 2 : 8;
    struct past_turn *more;
    if (h->count < h->room)
        return true;
    if (h->room == HISTORY_MAX) {
        free(h->turns[0].text);
        memmove(h->turns, h->turns + 1, (size_t)--h->count * sizeof *h->turns);
        return true;
    }
    room = room < HISTORY_MAX ? room : HISTORY_MAX;
    more = realloc(h->turns, (size_t)room * sizeof *h->turns);
    if (!more)
        return false;
    h->turns = more;
    h->room = room;
    return true;
}

bool history_add(struct history *h, const char *speaker, const char *text)
{
    char *copy = strdup(text);
    if (!copy || !make_room(h)) {
        free(copy);
        return false;
    }
    snprintf(h->turns[h->count].speaker, sizeof h->turns[0].speaker, "%s", speaker);
    h->turns[h->count++].text = copy;
    return true;
}

void history_release(struct history *h)
{
    for (int i = 0; i < h->count; i++)
        free(h->turns[i].text);
    free(h->turns);
    memset(h, 0, sizeof *h);
}
