#include "warmer/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"

enum { FULL_MAX = 256, WORDS_MAX = 16 };

struct words {
    char *at[WORDS_MAX];
    size_t count;
};

/* Compared after dots and quotation marks are gone: "Ph.D." is "phd", ד"ר is דר. */
static const char *const honorifics[] = {
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "doctor", "sir", "madam", "rabbi", "rev",
    "herr", "frau", "señor", "señora", "sr", "sra", "srta", "monsieur", "madame", "mme", "mlle", "signor", "signora",
    "דר", "מר", "גב", "גברת", "פרופ", "פרופסור", "עוד", "הרב", "רב",
    "السيد", "السيدة", "سيد", "سيدة", "الدكتور", "الدكتورة", "دكتور", "دكتورة", "د", "الأستاذ", "أستاذ", "الشيخ", NULL};
static const char *const suffixes[] = {"jr", "sr", "ii", "iii", "iv", "phd", "md", "dds", "esq", "cpa", NULL};
static const char *const placeholders[] = {"unknown", "anonymous", "none", "null", "na", "n/a", "private",
                                           "restricted", "unavailable", "caller", "test", NULL};
static const char *const cjk_suffixes[] = {"先生", "女士", "小姐", "さん", "さま", "様", "씨", "님", NULL};
/* Surnames of two characters, where three characters are not one and two. */
static const char *const cjk_surnames[] = {"欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "东方", "東方",
                                           "皇甫", "尉迟", "公孙", "慕容", "司徒", "夏侯", "令狐", "남궁", "황보",
                                           "제갈", "선우", "독고", "사공", NULL};
static const char *const vietnamese_surnames[] = {"Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh", "Hoàng",
                                                  "Vũ", "Võ", "Đặng", "Bùi", "Đỗ", NULL};
/* Not a name without the next word. */
static const char *const needs_next[] = {"abd", "abdul", "abdel", "abdal", "abu", "عبد", "أبو", "ابو", "أم", NULL};
static const char *const articles[] = {"al", "el", "ar", "as", NULL};
/* First parts of double names and what may follow; said together only if a family name is left. */
static const struct {
    const char *first;
    const char *second[8];
} double_names[] = {
    {"mary", {"ann", "anne", "jane", "beth", "kate", "lou", NULL}},
    {"jean", {"luc", "paul", "pierre", "marie", "claude", "michel", "jacques", NULL}},
    {"anna", {"maria", "lena", "lisa", NULL}},
    {"juan", {"carlos", "pablo", "josé", "jose", "manuel", NULL}},
    {"josé", {"luis", "antonio", "maría", "manuel", "carlos", NULL}},
    {"jose", {"luis", "antonio", "maria", "manuel", "carlos", NULL}},
    {"maría", {"josé", "jesús", "elena", "luisa", "teresa", NULL}},
    {"maria", {"jose", "elena", "luisa", "teresa", "clara", NULL}},
    {"בת", {"שבע", "אל", "חן", NULL}},
    {"בן", {"ציון", NULL}},
};

/* ---- characters ---- */

/* The character at text and its length in bytes; 0 at the end, or if it is not UTF-8. */
static size_t read_char(const char *text, uint32_t *cp)
{
    return *text ? utf8_read(text, cp) : 0;
}

/* Marks that only turn the direction of writing: nobody sees or says them. */
static bool is_direction(uint32_t cp)
{
    return cp == 0x061C || cp == 0x200E || cp == 0x200F || (cp >= 0x202A && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xFEFF;
}
static bool is_han(uint32_t cp)
{
    return (cp >= 0x3400 && cp <= 0x9FFF) || (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x3134F) ||
           cp == 0x3005;
}
static bool is_kana(uint32_t cp)
{
    return cp >= 0x3040 && cp <= 0x30FF && cp != 0x30FB;
}
static bool is_hangul(uint32_t cp)
{
    return cp >= 0xAC00 && cp <= 0xD7A3;
}
static bool is_arabic(uint32_t cp)
{
    return cp >= 0x0600 && cp <= 0x06FF;
}
static bool is_space(uint32_t cp)
{
    /* 200C and 200D join or part letters inside a word (Persian, Indic). */
    return cp <= ' ' || cp == 0xA0 || cp == 0x3000 || (cp >= 0x2000 && cp <= 0x200B) || cp == 0x202F || cp == 0x205F;
}
static bool is_comma(uint32_t cp)
{
    return cp == ',' || cp == 0x060C || cp == 0xFF0C;
}
/* Signs that stand around or inside titles, not names: . " ' and their Hebrew and curly forms. */
static bool is_mark(uint32_t cp)
{
    return cp == '.' || cp == '"' || cp == '\'' || cp == '(' || cp == ')' || cp == 0x05F3 || cp == 0x05F4 ||
           (cp >= 0x2018 && cp <= 0x201F);
}

/* A copy without what only steers its display. */
static void copy_visible(char *out, const char *text)
{
    uint32_t cp;
    size_t len;
    while (*text) {
        len = read_char(text, &cp);
        if (len == 0) {
            strcpy(out, text); /* not UTF-8: split() will say so */
            return;
        }
        if (!is_direction(cp)) {
            memcpy(out, text, len);
            out += len;
        }
        text += len;
    }
    *out = '\0';
}

static uint32_t first_char(const char *text)
{
    uint32_t cp = 0;
    read_char(text, &cp);
    return cp;
}

static size_t char_count(const char *text)
{
    uint32_t cp;
    size_t count = 0, len;
    for (; (len = read_char(text, &cp)); text += len)
        count++;
    return count;
}

static char *skip_chars(char *text, size_t n)
{
    uint32_t cp;
    while (n-- > 0)
        text += read_char(text, &cp);
    return text;
}

/* ---- words ---- */

/* Cuts the text at spaces and commas; false if it is not UTF-8. *comma is the number of words before
 * the first comma. */
static bool split(char *text, struct words *words, size_t *comma)
{
    bool inside = false;
    uint32_t cp;
    size_t len;
    words->count = 0;
    *comma = 0;
    for (; *text; text += len) {
        len = read_char(text, &cp);
        if (len == 0)
            return false;
        if (is_comma(cp) && *comma == 0)
            *comma = words->count;
        if (is_space(cp) || is_comma(cp)) {
            memset(text, 0, len);
            inside = false;
        } else if (!inside) {
            if (words->count == WORDS_MAX)
                return true;
            words->at[words->count++] = text;
            inside = true;
        }
    }
    return true;
}

static bool is_one_of(const char *word, const char *const *list)
{
    char plain[FULL_MAX];
    size_t to = 0, len;
    uint32_t cp;
    for (; (len = read_char(word, &cp)); word += len) {
        if (!is_mark(cp)) {
            memcpy(plain + to, word, len);
            to += len;
        }
    }
    plain[to] = '\0';
    for (; *list; list++) {
        bool may_be = ((plain[0] ^ **list) & ~0x20) == 0; /* but for the case of a letter */
        if (may_be && strcasecmp(plain, *list) == 0)
            return true;
    }
    return false;
}

static void drop_first(struct words *words, size_t n)
{
    words->count -= n;
    memmove(words->at, words->at + n, words->count * sizeof words->at[0]);
}

/* "Levy, Dana" is turned to Dana, and true returned; "Dana Levy, PhD" is only cut. */
static bool turn_at_comma(struct words *words, size_t comma)
{
    if (comma == 0 || comma >= words->count)
        return false;
    if (is_one_of(words->at[comma], suffixes)) {
        words->count = comma;
        return false;
    }
    drop_first(words, comma);
    return true;
}

static void trim_marks(char *word, char **begin)
{
    uint32_t cp;
    size_t len;
    char *end = word;
    while ((len = read_char(word, &cp)) && is_mark(cp))
        word += len;
    *begin = word;
    for (; (len = read_char(word, &cp)); word += len) {
        if (!is_mark(cp))
            end = word + len;
    }
    *(end > *begin ? end : *begin) = '\0';
}

/* ---- family name first ---- */

static void drop_cjk_suffix(char *word)
{
    for (const char *const *suffix = cjk_suffixes; *suffix; suffix++) {
        size_t len = strlen(word), n = strlen(*suffix);
        if (len >= n && strcmp(word + len - n, *suffix) == 0) {
            word[len - n] = '\0';
            return;
        }
    }
}

static bool has_long_surname(const char *word)
{
    for (const char *const *surname = cjk_surnames; *surname; surname++) {
        if (strncmp(word, *surname, strlen(*surname)) == 0)
            return true;
    }
    return false;
}

/* One word without spaces: the surname is its first character, or the first two. Four Han
 * characters are two and two (Japanese); kana after Han is the given name. */
static char *cjk_given_name(char *word)
{
    size_t count = char_count(word);
    bool han = is_han(first_char(word));
    uint32_t cp;
    if (count == 1)
        return han ? word + strlen(word) : word;
    for (char *at = word; han && *at; at += read_char(at, &cp)) {
        if (is_kana(first_char(at)))
            return at;
    }
    if (count >= 3 && has_long_surname(word))
        return skip_chars(word, 2);
    if (han && count == 4)
        return skip_chars(word, 2);
    return count <= 3 ? skip_chars(word, 1) : word;
}

static char *cjk_first_name(struct words *words)
{
    char *dot = strstr(words->at[0], "・");
    if (!dot)
        dot = strstr(words->at[0], "·");
    if (dot) { /* a foreign name, given name first */
        *dot = '\0';
        return words->at[0];
    }
    drop_cjk_suffix(words->at[words->count - 1]);
    if (words->count > 1 && *words->at[1])
        return words->at[1];
    if (is_kana(first_char(words->at[0])))
        return words->at[0];
    return cjk_given_name(words->at[0]);
}

/* ---- given name first ---- */

static bool is_double_name(const char *first, const char *second)
{
    for (size_t i = 0; i < ARRAY_LEN(double_names); i++) {
        if (strcasecmp(first, double_names[i].first) == 0)
            return is_one_of(second, double_names[i].second);
    }
    return false;
}

static size_t words_of_first_name(const struct words *words)
{
    if (words->count >= 2 && is_one_of(words->at[0], needs_next))
        return words->count >= 3 && is_one_of(words->at[1], articles) ? 3 : 2;
    return words->count >= 3 && is_double_name(words->at[0], words->at[1]) ? 2 : 1;
}

static bool is_initial(const char *word)
{
    size_t count = char_count(word);
    return count == 1 || (count == 2 && word[strlen(word) - 1] == '.');
}

static bool is_sayable(const char *name)
{
    return *name && !is_one_of(name, placeholders) && !strpbrk(name, "0123456789@#/\\_+*<>{}");
}

/* Whole characters only, as many as fit. */
static void put_word(char out[NAME_SIZE], const char *word)
{
    size_t to = strlen(out), len;
    uint32_t cp;
    if (to > 0 && to + 1 < NAME_SIZE)
        out[to++] = ' ';
    for (; (len = read_char(word, &cp)) && to + len < NAME_SIZE; word += len) {
        memcpy(out + to, word, len);
        to += len;
    }
    out[to] = '\0';
}

static void put_first_name(char out[NAME_SIZE], struct words *words)
{
    size_t take;
    char *word;
    if (words->count >= 2 && is_one_of(words->at[0], vietnamese_surnames))
        drop_first(words, words->count - 1);
    while (words->count >= 2 && is_initial(words->at[0]))
        drop_first(words, words->count >= 3 ? 1 : 2);
    if (words->count == 0 || is_initial(words->at[0]))
        return;
    take = words_of_first_name(words);
    for (size_t i = 0; i < take; i++) {
        trim_marks(words->at[i], &word);
        if (!is_sayable(word)) {
            out[0] = '\0';
            return;
        }
        put_word(out, word);
    }
}

void name_first(char out[NAME_SIZE], const char *full)
{
    char text[FULL_MAX];
    struct words words;
    size_t comma;
    bool titled = false, turned;
    uint32_t script;
    char *given;
    out[0] = '\0';
    if (strlen(full) >= sizeof text)
        return;
    copy_visible(text, full);
    if (!split(text, &words, &comma))
        return;
    turned = turn_at_comma(&words, comma);
    for (; words.count && is_one_of(words.at[0], honorifics); titled = true)
        drop_first(&words, 1);
    if (words.count == 0)
        return;
    script = first_char(words.at[0]);
    if (is_han(script) || is_kana(script) || is_hangul(script)) {
        given = cjk_first_name(&words);
        if (is_sayable(given))
            put_word(out, given);
    } else if (!titled || turned || words.count > 1 || is_arabic(script)) {
        /* "Dr. Cohen" has no first name in it; Arabic titles stand before first names. */
        put_first_name(out, &words);
    }
}
