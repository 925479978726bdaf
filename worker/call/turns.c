#include "worker/call/turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void use_few(struct turns *t)
{
    if (t->open != t->_few)
        free(t->open);
    t->open = t->_few;
    t->_room = TURNS_FEW;
}

static bool make_room(struct turns *t)
{
    struct turn *all;
    if (t->count < t->_room)
        return true;
    if (!t->open) {
        use_few(t);
        return true;
    }
    all = t->_room < TURNS_MAX ? malloc(TURNS_MAX * sizeof *all) : NULL;
    if (!all)
        return false;
    memcpy(all, t->open, (size_t)t->count * sizeof *all);
    t->open = all;
    t->_room = TURNS_MAX;
    return true;
}

static void drop(struct turns *t, int i)
{
    t->count--;
    memmove(&t->open[i], &t->open[i + 1], (size_t)(t->count - i) * sizeof t->open[0]);
    if (t->count == 0)
        use_few(t);
}

struct turn *turns_find(struct turns *t, const char *item)
{
    for (int i = 0; i < t->count; i++) {
        if (strcmp(t->open[i].item, item) == 0)
            return &t->open[i];
    }
    return NULL;
}

struct turn *turns_open(struct turns *t, bool caller, const char *item, int64_t now_ms)
{
    struct turn *turn = turns_find(t, item);
    if (turn)
        return turn;
    if (!make_room(t)) {
        free(t->open[0].text);
        drop(t, 0);
    }
    turn = &t->open[t->count++];
    *turn = (struct turn){.caller = caller, .started_ms = now_ms, .ended_ms = now_ms};
    snprintf(turn->item, sizeof turn->item, "%s", item);
    return turn;
}

bool turns_close_oldest_if_full(struct turns *t)
{
    if (t->count < TURNS_MAX)
        return false;
    t->open[0].complete = true;
    return true;
}

/* Cuts to at most len bytes without splitting a UTF-8 character. */
static size_t whole_characters(const char *text, size_t len)
{
    while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
        len--;
    return len;
}

void turn_replace(struct turn *turn, const char *text)
{
    size_t len = strlen(text);
    free(turn->text);
    turn->text = strndup(text, len > TURN_TEXT_MAX ? whole_characters(text, TURN_TEXT_MAX) : len);
}

void turn_append(struct turn *turn, const char *text)
{
    size_t have = turn->text ? strlen(turn->text) : 0, more = strlen(text);
    char *longer;
    if (have + more > TURN_TEXT_MAX)
        return;
    longer = realloc(turn->text, have + more + 1);
    if (!longer)
        return;
    memcpy(longer + have, text, more + 1);
    turn->text = longer;
}

/* Characters of three bytes and more, but for punctuation (E2): Chinese, Japanese, Thai have no spaces. */
static bool follows_spaceless(const char *text, size_t at)
{
    size_t lead = at;
    if (at == 0 || ((unsigned char)text[at] & 0xC0) == 0x80)
        return false;
    while (lead > 0 && ((unsigned char)text[--lead] & 0xC0) == 0x80)
        ;
    return (unsigned char)text[lead] >= 0xE0 && (unsigned char)text[lead] != 0xE2;
}

/* The end of the last whole word up to `at`. */
static size_t last_word(const char *text, size_t at)
{
    while (at > 0 && text[at] != ' ' && !follows_spaceless(text, at))
        at--;
    return at;
}

void turn_cut(struct turn *turn, int64_t heard_ms, int64_t sent_ms)
{
    size_t len = turn->text ? strlen(turn->text) : 0, keep;
    if (len == 0 || heard_ms >= sent_ms || sent_ms <= 0)
        return;
    keep = whole_characters(turn->text, (size_t)((double)len * (double)heard_ms / (double)sent_ms));
    turn->text[last_word(turn->text, keep)] = '\0';
}

static bool may_leave(const struct turns *t, bool all, int64_t now_ms)
{
    const struct turn *head = &t->open[0];
    if (all || head->complete)
        return true;
    return (head->caller || head->interrupted) && t->count > 1 && t->open[1].complete && now_ms - head->ended_ms > TURN_WAIT_MS;
}

static bool has_words(const char *text)
{
    return text && text[strspn(text, " \t\r\n")] != '\0';
}

bool turns_take(struct turns *t, bool all, int64_t now_ms, struct turn *out)
{
    while (t->count > 0 && may_leave(t, all, now_ms)) {
        *out = t->open[0];
        drop(t, 0);
        if (has_words(out->text))
            return true;
        free(out->text);
    }
    return false;
}

bool turns_waiting(const struct turns *t)
{
    return t->count > 1 && !t->open[0].complete && t->open[1].complete;
}

void turns_release(struct turns *t)
{
    for (int i = 0; i < t->count; i++)
        free(t->open[i].text);
    t->count = 0;
    use_few(t);
}
