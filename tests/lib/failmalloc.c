/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD: after the first 20,000 allocations, one of $FAILMALLOC fails, in an order that is
 * the same in each run.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define FREE_OF_FAILURE 20000

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *old, size_t size);

static int fails(void)
{
        static uint64_t random = 88172645463325252U, calls, rate;

        if (calls++ == 0 && getenv("FAILMALLOC") != NULL)
                rate = strtoul(getenv("FAILMALLOC"), NULL, 10);
        if (rate == 0 || calls < FREE_OF_FAILURE)
                return 0;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (random % rate != 0)
                return 0;
        errno = ENOMEM;
        return 1;
}

/* The real ones.  dlsym() itself may ask for zeroed memory, before it can be asked for calloc. */
static void *real(const char *name)
{
        return dlsym(RTLD_NEXT, name);
}

void *malloc(size_t size)
{
        static void *(*next)(size_t);

        if (next == NULL)
                next = (void *(*)(size_t))real("malloc");
        return fails() ? NULL : next(size);
}

void *calloc(size_t n, size_t size)
{
        static void *(*next)(size_t, size_t);
        static char first[4096];
        static int asking;

        if (next == NULL && asking)
                return n * size <= sizeof(first) ? first : NULL;
        if (next == NULL) {
                asking = 1;
                next = (void *(*)(size_t, size_t))real("calloc");
        }
        return fails() ? NULL : next(n, size);
}

void *realloc(void *old, size_t size)
{
        static void *(*next)(void *, size_t);

        if (next == NULL)
                next = (void *(*)(void *, size_t))real("realloc");
        return fails() ? NULL : next(old, size);
}
