/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SITECACHE_H
#define SNAPD_SITECACHE_H

/*
 * The sites' configurations, read once and again when a file has changed.
 *
 * Every request asks whose site it is about.  A file that was replaced, edited or removed counts
 * from the next question on; so does a change of the user database, since owners are names.
 */

#include <stdbool.h>

#include "common/error.h"
#include "snapd/dirs.h"
#include "snapd/site.h"

struct sitecache;

/* sitecache_open(dirs, ret_cache, err): Nothing is read yet. */
int sitecache_open(const struct dirs *dirs, struct sitecache **ret_cache, struct err *err)
        MUST_CHECK;
void sitecache_close(struct sitecache *cache);

/* sitecache_site(cache, name, ret_configured): The configuration of a site as it is now, or NULL
 * when there is none or it has mistakes; ${ret_configured} (may be NULL) tells which.  It lives
 * until the next call. */
const struct site *sitecache_site(struct sitecache *cache, const char *name,
                                  bool *ret_configured);

/* sitecache_names(cache, visit, arg, err): Call visit with the name of every file in sites.d, in
 * order.  visit may call sitecache_site(). */
typedef int (*sitecache_visit)(const char *name, void *arg, struct err *err);
int sitecache_names(struct sitecache *cache, sitecache_visit visit, void *arg,
                    struct err *err) MUST_CHECK;

#endif
