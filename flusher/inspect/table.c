#include "flusher/inspect/table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/utf8.h"

enum { CELL_SIZE = 512, COLUMNS_MAX = 10, GAP = 2 };

const char *table_time(char out[TIME_TEXT_SIZE], int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    size_t len = strftime(out, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    snprintf(out + len, TIME_TEXT_SIZE - len, ".%03dZ", (int)(ms % 1000));
    return out;
}

/* 350 ms, 12.3 s, 4 min 5 s, 3 h 20 min, 2 d 4 h. */
static void age_text(char out[CELL_SIZE], int64_t ms)
{
    int64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(out, CELL_SIZE, "%lld ms", (long long)ms);
    else if (s < 60)
        snprintf(out, CELL_SIZE, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(out, CELL_SIZE, "%lld min %lld s", (long long)s / 60, (long long)s % 60);
    else if (s < 86400)
        snprintf(out, CELL_SIZE, "%lld h %lld min", (long long)s / 3600, (long long)s % 3600 / 60);
    else
        snprintf(out, CELL_SIZE, "%lld d %lld h", (long long)s / 86400, (long long)s % 86400 / 3600);
}

/* One line of printable text: what a caller or a model said must not move the cursor of whoever reads it. */
static void plain_text(char out[CELL_SIZE], const char *text)
{
    size_t n = 0, len;
    for (; *text && n < CELL_SIZE - 8; text += len ? len : 1) {
        uint32_t c = 0;
        len = utf8_read(text, &c);
        if (len == 0 || c < 0x20 || (c >= 0x7F && c < 0xA0)) {
            out[n++] = len == 0 ? '?' : ' ';
            continue;
        }
        memcpy(out + n, text, len);
        n += len;
    }
    snprintf(out + n, CELL_SIZE - n, "%s", *text ? "..." : "");
}

static void cell_text(char out[CELL_SIZE], const json_t *value, const struct column *column)
{
    char time[TIME_TEXT_SIZE];
    if (json_is_integer(value) && column->kind == CELL_AGE)
        age_text(out, json_integer_value(value));
    else if (json_is_integer(value) && column->kind == CELL_TIME)
        snprintf(out, CELL_SIZE, "%s", table_time(time, json_integer_value(value)));
    else if (json_is_integer(value))
        snprintf(out, CELL_SIZE, "%lld", (long long)json_integer_value(value));
    else if (json_is_string(value) && *json_string_value(value))
        plain_text(out, json_string_value(value));
    else
        snprintf(out, CELL_SIZE, "-");
}

static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text += utf8_length(text) ? utf8_length(text) : 1)
        width++;
    return width;
}

/* The last column is not filled up. */
static void print_cell(const char *text, int width, bool last)
{
    printf("%s%*s", text, last ? 0 : width - width_of(text) + GAP, last ? "\n" : "");
}

static void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
}

void table_print(const struct column *columns, size_t count, const json_t *rows, bool as_json)
{
    int widths[COLUMNS_MAX];
    char text[CELL_SIZE];
    const json_t *row;
    size_t i;
    if (as_json) {
        print_json(rows);
        return;
    }
    for (size_t c = 0; c < count; c++)
        widths[c] = width_of(columns[c].title);
    json_array_foreach(rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            cell_text(text, json_object_get(row, columns[c].key), &columns[c]);
            widths[c] = width_of(text) > widths[c] ? width_of(text) : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++)
        print_cell(columns[c].title, widths[c], c + 1 == count);
    json_array_foreach(rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            cell_text(text, json_object_get(row, columns[c].key), &columns[c]);
            print_cell(text, widths[c], c + 1 == count);
        }
    }
}

void table_print_line(size_t count, const char *const *cells)
{
    char text[CELL_SIZE];
    for (size_t i = 0; i < count; i++) {
        plain_text(text, cells[i]);
        print_cell(text, width_of(text), i + 1 == count);
    }
}

void table_print_object(const json_t *object, bool as_json)
{
    static const struct column plain = {"", "", CELL_TEXT};
    char text[CELL_SIZE];
    int width = 0;
    const char *key;
    json_t *value;
    if (as_json) {
        print_json(object);
        return;
    }
    json_object_foreach((json_t *)object, key, value)
        width = width_of(key) > width ? width_of(key) : width;
    json_object_foreach((json_t *)object, key, value) {
        cell_text(text, value, &plain);
        printf("  ");
        print_cell(key, width, false);
        print_cell(text, 0, true);
    }
}
