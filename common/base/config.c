#include "common/base/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/util.h>

enum { NAME_MAX_BYTES = 96, SECRET_MAX_BYTES = 16384 };

static void flag_name(char out[NAME_MAX_BYTES], const char *name)
{
    size_t i = 0;
    for (; name[i] && i < NAME_MAX_BYTES - 1; i++)
        out[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    out[i] = '\0';
}

static char **string_at(void *config, const struct config_row *row)
{
    return (char **)((char *)config + row->offset);
}

/* Never of a secret: any text is a good one. */
static void complain(const struct config_row *row, const char *value, const char *wanted)
{
    fprintf(stderr, "RINGFLEET_%s: \"%s\" is not right; wanted: %s\n", row->name, value, wanted);
}

/* True if `rule` ("a|b|c") has `word` (len bytes) as one of its alternatives. */
static bool rule_has(const char *rule, const char *word, size_t len)
{
    for (const char *at = rule; *at;) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static bool set_int(void *config, const struct config_row *row, const char *value)
{
    long long min = 0, max = 0, n;
    char *end;
    sscanf(row->rule, "%lld..%lld", &min, &max);
    errno = 0;
    n = strtoll(value, &end, 10);
    bool plain = isdigit((unsigned char)*value) || *value == '-'; /* strtoll also takes " +5" */
    if (!plain || end == value || *end || errno || n < min || n > max) {
        char wanted[96];
        snprintf(wanted, sizeof wanted, "a whole number in %s", row->rule);
        complain(row, value, wanted);
        return false;
    }
    *(int64_t *)((char *)config + row->offset) = n;
    return true;
}

/* Libevent's parser takes an address without a port, and a port with letters behind it. */
static bool check_addr(const struct config_row *row, const char *value)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;
    const char *colon = strrchr(value, ':');
    bool bracketed = colon > value && *value == '[' && colon[-1] == ']';
    if (colon && (bracketed || strchr(value, ':') == colon) && colon[1 + strspn(colon + 1, "0123456789")] == '\0' &&
        evutil_parse_sockaddr_port(value, (struct sockaddr *)&ss, &len) == 0)
        return true;
    complain(row, value, "an IP address and port, such as 0.0.0.0:8080 or [::]:8080");
    return false;
}

static bool check_url(const struct config_row *row, const char *value)
{
    const char *sep = strstr(value, "://");
    char wanted[160];
    if (!*value || (sep && sep[3] && rule_has(row->rule, value, (size_t)(sep - value))))
        return true;
    snprintf(wanted, sizeof wanted, "a URL that begins with one of %s, then ://", row->rule);
    complain(row, value, wanted);
    return false;
}

static bool check_name(const struct config_row *row, const char *value)
{
    size_t most = 0, len = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-");
    char wanted[96];
    sscanf(row->rule, "up to %zu", &most);
    if (value[len] == '\0' && len <= most && (len > 0 || (row->dflt && !*row->dflt)))
        return true;
    snprintf(wanted, sizeof wanted, "a name, %s", row->rule);
    complain(row, value, wanted);
    return false;
}

static bool complain_missing(const struct config_row *row)
{
    fprintf(stderr, "RINGFLEET_%s is not set; it is required: %s\n", row->name, row->help);
    return false;
}

static bool set_value(void *config, const struct config_row *row, const char *value)
{
    char wanted[192];
    if (!row->dflt && !*value)
        return complain_missing(row);
    switch (row->kind) {
    case CONFIG_INT:
        return set_int(config, row, value);
    case CONFIG_ADDR:
        if (!check_addr(row, value))
            return false;
        break;
    case CONFIG_URL:
        if (!check_url(row, value))
            return false;
        break;
    case CONFIG_NAME:
        if (!check_name(row, value))
            return false;
        break;
    case CONFIG_CHOICE:
        if (!rule_has(row->rule, value, strlen(value))) {
            snprintf(wanted, sizeof wanted, "one of %s", row->rule);
            complain(row, value, wanted);
            return false;
        }
        break;
    case CONFIG_STR:
    case CONFIG_SECRET:
        break;
    }
    *string_at(config, row) = strdup(value);
    return *string_at(config, row) != NULL;
}

/* Reads a secret's file into text, without the newline that editors leave at its end. Returns NULL
 * or what is wrong with the file. */
static const char *read_secret(const char *path, char text[SECRET_MAX_BYTES + 1])
{
    FILE *file = fopen(path, "re");
    const char *wrong = NULL;
    size_t len;
    if (!file)
        return strerror(errno);
    len = fread(text, 1, SECRET_MAX_BYTES, file);
    if (ferror(file))
        wrong = strerror(errno);
    else if (len == SECRET_MAX_BYTES)
        wrong = "it is longer than any secret";
    fclose(file);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    text[len] = '\0';
    return wrong || len > 0 ? wrong : "it is empty";
}

static bool set_from_file(void *config, const struct config_row *row, const char *name, const char *path)
{
    char text[SECRET_MAX_BYTES + 1];
    const char *wrong = read_secret(path, text);
    if (wrong) {
        fprintf(stderr, "%s: cannot use %s: %s\n", name, path, wrong);
        return false;
    }
    return set_value(config, row, text);
}

static bool set_from_environment(void *config, const struct config_row *row)
{
    char name[NAME_MAX_BYTES + 16];
    const char *value, *path;
    snprintf(name, sizeof name, "RINGFLEET_%s", row->name);
    value = getenv(name);
    if (!value && row->kind == CONFIG_SECRET) {
        snprintf(name, sizeof name, "RINGFLEET_%s_FILE", row->name);
        path = getenv(name);
        if (path)
            return set_from_file(config, row, name, path);
    }
    if (!value)
        value = row->dflt;
    return value ? set_value(config, row, value) : complain_missing(row);
}

static void print_help(const struct config_spec *spec)
{
    printf("usage: %s %s[--flag value]...\n\n%s\n", spec->program, spec->commands ? "[command] " : "", spec->summary);
    if (spec->commands)
        printf("\ncommands:\n%s", spec->commands);
    printf("\nsettings (flag, environment variable, default):\n");
    for (size_t i = 0; i < spec->row_count; i++) {
        const struct config_row *row = &spec->rows[i];
        char flag[NAME_MAX_BYTES];
        flag_name(flag, row->name);
        printf("  --%s\n      RINGFLEET_%s%s  [%s]  %s%s%s\n      %s\n", flag, row->name,
               row->kind == CONFIG_SECRET ? " (or ..._FILE)" : "", row->rule, row->dflt ? "default: " : "required",
               row->dflt && !*row->dflt ? "none" : "", row->dflt ? row->dflt : "", row->help);
    }
    printf("\n  --help     this text\n  --version  the version\n");
}

static const struct config_row *find_flag(const struct config_spec *spec, const char *flag, size_t len)
{
    for (size_t i = 0; i < spec->row_count; i++) {
        char name[NAME_MAX_BYTES];
        flag_name(name, spec->rows[i].name);
        if (strlen(name) == len && memcmp(name, flag, len) == 0)
            return &spec->rows[i];
    }
    return NULL;
}

/* One --flag value or --flag=value at argv[i]. Returns how many arguments it took, 0 if bad. */
static int take_flag(const struct config_spec *spec, const char **values, int argc, char **argv, int i)
{
    const char *flag = argv[i] + 2;
    size_t len = strcspn(flag, "=");
    const struct config_row *row = find_flag(spec, flag, len);
    if (!row) {
        fprintf(stderr, "%s: no such flag; %s --help lists them\n", argv[i], spec->program);
        return 0;
    }
    if (flag[len] == '=') {
        values[row - spec->rows] = flag + len + 1;
        return 1;
    }
    if (i + 1 >= argc) {
        fprintf(stderr, "%s: needs a value [%s]\n", argv[i], row->rule);
        return 0;
    }
    values[row - spec->rows] = argv[i + 1];
    return 2;
}

static enum config_result read_flags(const struct config_spec *spec, const char **values, int argc, char **argv,
                                     int *positional)
{
    int kept = 1, taken;
    for (int i = 1; i < argc; i += taken) {
        taken = 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(spec);
            return CONFIG_HELP;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", spec->program, RINGFLEET_VERSION);
            return CONFIG_HELP;
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        taken = take_flag(spec, values, argc, argv, i);
        if (taken == 0)
            return CONFIG_BAD;
    }
    *positional = kept - 1;
    return CONFIG_OK;
}

enum config_result config_load(const struct config_spec *spec, void *config, int argc, char **argv, int *positional)
{
    const char **values = calloc(spec->row_count, sizeof *values);
    enum config_result result;
    if (!values)
        return CONFIG_BAD;
    for (size_t i = 0; i < spec->row_count; i++) {
        if (spec->rows[i].kind != CONFIG_INT)
            *string_at(config, &spec->rows[i]) = NULL;
    }
    result = read_flags(spec, values, argc, argv, positional);
    for (size_t i = 0; i < spec->row_count && result != CONFIG_HELP; i++) {
        const struct config_row *row = &spec->rows[i];
        bool ok = values[i] ? set_value(config, row, values[i]) : set_from_environment(config, row);
        if (!ok)
            result = CONFIG_BAD;
    }
    free(values);
    return result;
}

void config_release(const struct config_spec *spec, void *config)
{
    for (size_t i = 0; i < spec->row_count; i++) {
        if (spec->rows[i].kind == CONFIG_INT)
            continue;
        free(*string_at(config, &spec->rows[i]));
        *string_at(config, &spec->rows[i]) = NULL;
    }
}
