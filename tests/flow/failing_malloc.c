/* Preloaded into a program under test: while the file that TEST_MALLOC_DIR holds under the program's name says so, one
 * of so many allocations fails, drawn from a seed; a test switches it on and off while the program runs. The file is
 * three longs: one in how many (0: none), the seed, and how many have failed.
 *
 * Only what the program itself asks for, and what the libraries ask for that TEST_MALLOC_ALSO names. Not all of them
 * live through it, whoever uses them: libevent's HTTP server (2.1), hiredis' callbacks (0.14) and jansson's reader
 * (2.14, where it was built with assertions) end the process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { RANGES_MAX = 8 };

struct control {
    volatile long one_in, seed, failed;
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static struct control *control;
static struct range {
    const char *from, *to;
} ranges[RANGES_MAX]; /* of code */
static int range_count;
static __thread unsigned long drawn;

static int is_asked_for(const char *path)
{
    const char *also = getenv("TEST_MALLOC_ALSO"), *name = strrchr(path, '/');
    char stem[64], words[256];
    if (*path == '\0')
        return 1; /* the program */
    snprintf(stem, sizeof stem, " %.*s ", name ? (int)strcspn(name + 1, ".") : 0, name ? name + 1 : "");
    snprintf(words, sizeof words, " %s ", also ? also : "");
    return stem[1] != ' ' && strstr(words, stem);
}

static int note_code(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; is_asked_for(info->dlpi_name) && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        const char *from = (const char *)(info->dlpi_addr + part->p_vaddr);
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) && range_count < RANGES_MAX)
            ranges[range_count++] = (struct range){from, from + part->p_memsz};
    }
    return 0;
}

__attribute__((constructor)) static void find_control(void)
{
    const char *directory = getenv("TEST_MALLOC_DIR");
    char path[4096];
    int fd;
    void *page;
    snprintf(path, sizeof path, "%s/%s", directory ? directory : "", program_invocation_short_name);
    dl_iterate_phdr(note_code, NULL);
    fd = open(path, O_RDWR | O_CLOEXEC);
    page = fd >= 0 ? mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page != MAP_FAILED)
        control = page;
}

static int may_fail(const char *caller)
{
    for (int i = 0; i < range_count; i++) {
        if (caller >= ranges[i].from && caller < ranges[i].to)
            return 1;
    }
    return 0;
}

/* xorshift: each thread has a row of its own, so that it does not matter who of them comes first. */
static int fails(const char *caller)
{
    long one_in = control ? control->one_in : 0;
    if (one_in <= 0 || !may_fail(caller))
        return 0;
    if (drawn == 0)
        drawn = (unsigned long)control->seed * 0x9E3779B97F4A7C15u | 1;
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    if (drawn % (unsigned long)one_in != 0)
        return 0;
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
