#include "common/pg/statements.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SQL_MAX_BYTES = 1 << 20 };

/* The file's text; NULL with errno (ENOENT: there is none). */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t len;
    if (!file)
        return NULL;
    text = malloc(SQL_MAX_BYTES + 1);
    if (text) {
        len = fread(text, 1, SQL_MAX_BYTES, file);
        text[len] = '\0';
        if (ferror(file) || !feof(file)) {
            errno = ferror(file) ? EIO : EFBIG;
            free(text);
            text = NULL;
        }
    }
    fclose(file);
    return text;
}

static char *bare_name(const char *file_name)
{
    const char *dot = strrchr(file_name, '.');
    return strndup(file_name, dot ? (size_t)(dot - file_name) : strlen(file_name));
}

int statements_load(struct statement *out, size_t count, const struct embedded_file *defaults, const char *sql_dir,
                    char *error, size_t error_size)
{
    struct stat dir;
    memset(out, 0, count * sizeof *out);
    if (*sql_dir && (stat(sql_dir, &dir) != 0 || !S_ISDIR(dir.st_mode))) {
        snprintf(error, error_size, "there is no directory %s", sql_dir);
        return -1;
    }
    for (size_t i = 0; i < count && defaults[i].name; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", sql_dir, defaults[i].name);
        errno = ENOENT;
        out[i].text = *sql_dir ? read_file(path) : NULL;
        out[i].overridden = out[i].text != NULL;
        if (!out[i].text && errno != ENOENT) {
            snprintf(error, error_size, "cannot read %s: %s", path, strerror(errno));
            return -1;
        }
        if (!out[i].text)
            out[i].text = strdup(defaults[i].text);
        out[i].name = bare_name(defaults[i].name);
        if (!out[i].text || !out[i].name) {
            snprintf(error, error_size, "out of memory");
            return -1;
        }
    }
    return 0;
}

void statements_release(struct statement *statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(statements[i].name);
        free(statements[i].text);
    }
    memset(statements, 0, count * sizeof *statements);
}

static bool is_stray(const struct statement *statements, size_t count, const char *file_name)
{
    size_t len = strlen(file_name);
    bool alike = false;
    if (len < 5 || strcmp(file_name + len - 4, ".sql") != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *name = statements[i].name;
        if (strlen(name) == len - 4 && strncmp(name, file_name, len - 4) == 0)
            return false;
        alike = alike || strncmp(name, file_name, strcspn(name, "_") + 1) == 0;
    }
    return alike;
}

size_t statements_strays(const struct statement *statements, size_t count, const char *sql_dir, statements_stray_fn *fn)
{
    DIR *dir = *sql_dir ? opendir(sql_dir) : NULL;
    struct dirent *file;
    size_t strays = 0;
    while (dir && (file = readdir(dir))) {
        if (!is_stray(statements, count, file->d_name))
            continue;
        fn(file->d_name);
        strays++;
    }
    if (dir)
        closedir(dir);
    return strays;
}
