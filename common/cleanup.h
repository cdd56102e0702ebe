/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

/*
 * Release by scope, for memory and descriptors only.  What others can see (mounts, trees,
 * schemas, files with a name) is undone by a step of the journal, never by leaving a scope.
 *
 *   CLEANUP(closep) int fd = -1;
 *   ...
 *   *ret_fd = steal_fd(&fd);
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(f) __attribute__((cleanup(f)))

/* DEFINE_CLEANUP(type, done): Make done##p for CLEANUP() from a destructor that takes a
 * pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, done)                                                                 \
        static inline void done##p(type *p)                                                        \
        {                                                                                          \
                done(*p);                                                                          \
        }                                                                                          \
        struct cleanup_needs_a_semicolon

static inline void freep(void *p)
{
        free(*(void **)p);
}

/* closep() keeps errno: a failure path closes before it reports. */
static inline void closep(int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

static inline void closedirp(DIR **dir)
{
        if (*dir != NULL)
                (void)closedir(*dir);
}

static inline void fclosep(FILE **file)
{
        if (*file != NULL)
                (void)fclose(*file);
}

static inline int steal_fd(int *fd)
{
        int taken = *fd;

        *fd = -1;
        return taken;
}

/* STEAL(p): The value of ${p}, which is NULL afterwards. */
#define STEAL(p)                                                                                   \
        (__extension__({                                                                           \
                __typeof__(p) stolen_ = (p);                                                       \
                (p) = NULL;                                                                        \
                stolen_;                                                                           \
        }))

#endif
