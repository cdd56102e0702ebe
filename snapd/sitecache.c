/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/sitecache.h"

#define SUFFIX ".conf"

/* What tells that a file is not the one that was read. */
struct stamp {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec mtime, ctime;
};

struct entry {
        char name[SITE_NAME_MAX];
        struct stamp stamp;
        struct site *site; /* NULL: it has mistakes */
};

struct sitecache {
        const struct dirs *dirs;
        struct stamp users; /* /etc/passwd */
        struct entry *entries;
        size_t n, room;
};

/* False when there is no such file.  Directory descriptors and symlinks make no stamp. */
static bool stamp_take(int dir_fd, const char *path, struct stamp *ret_stamp)
{
        struct stat st;

        if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        memset(ret_stamp, 0, sizeof(*ret_stamp));
        ret_stamp->dev = st.st_dev;
        ret_stamp->ino = st.st_ino;
        ret_stamp->size = st.st_size;
        ret_stamp->mtime = st.st_mtim;
        ret_stamp->ctime = st.st_ctim;
        return true;
}

/* Two changes within one tick of the file system's clock look like one.  So a file that has
 * changed just now is read, and read again when it is asked for later. */
static bool stamp_settled(const struct stamp *stamp)
{
        return clock_wall_usec() / USEC_PER_SEC - stamp->ctime.tv_sec >= 2;
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
        return memcmp(a, b, sizeof(*a)) == 0;
}

int sitecache_open(const struct dirs *dirs, struct sitecache **ret_cache, struct err *err)
{
        struct sitecache *cache = calloc(1, sizeof(*cache));

        if (cache == NULL)
                return err_oom(err);
        cache->dirs = dirs;
        *ret_cache = cache;
        return 0;
}

static void entries_drop(struct sitecache *cache)
{
        for (size_t i = 0; i < cache->n; i++)
                site_free(cache->entries[i].site);
        cache->n = 0;
}

void sitecache_close(struct sitecache *cache)
{
        if (cache == NULL)
                return;
        entries_drop(cache);
        free(cache->entries);
        free(cache);
}

/* The place of a name: where it is, or where it would be. */
static size_t entry_place(const struct sitecache *cache, const char *name, bool *ret_found)
{
        size_t low = 0, high = cache->n;

        *ret_found = false;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                int order = strcmp(cache->entries[mid].name, name);

                if (order == 0) {
                        *ret_found = true;
                        return mid;
                }
                if (order < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static void entry_remove(struct sitecache *cache, size_t at)
{
        site_free(cache->entries[at].site);
        memmove(&cache->entries[at], &cache->entries[at + 1],
                (cache->n - at - 1) * sizeof(cache->entries[0]));
        cache->n--;
}

static struct entry *entry_insert(struct sitecache *cache, size_t at, const char *name)
{
        if (cache->n == cache->room) {
                size_t room = cache->room == 0 ? 16 : cache->room * 2;
                struct entry *more = reallocarray(cache->entries, room, sizeof(*more));

                if (more == NULL)
                        return NULL;
                cache->entries = more;
                cache->room = room;
        }
        memmove(&cache->entries[at + 1], &cache->entries[at],
                (cache->n - at) * sizeof(cache->entries[0]));
        cache->n++;
        cache->entries[at] = (struct entry){ 0 };
        (void)snprintf(cache->entries[at].name, sizeof(cache->entries[at].name), "%s", name);
        return &cache->entries[at];
}

static void users_check(struct sitecache *cache)
{
        struct stamp now = { 0 };

        (void)stamp_take(AT_FDCWD, "/etc/passwd", &now);
        if (!stamp_same(&now, &cache->users))
                entries_drop(cache);
        cache->users = now;
}

const struct site *sitecache_site(struct sitecache *cache, const char *name, bool *ret_configured)
{
        struct err ignored = { 0 }; /* `check` says what is wrong with a file */
        char path[SITE_NAME_MAX + 32];
        struct stamp stamp;
        struct entry *entry;
        bool found, exists;
        size_t at;

        users_check(cache);
        exists = site_name_valid(name, &ignored) == 0;
        (void)snprintf(path, sizeof(path), "sites.d/%s" SUFFIX, exists ? name : "");
        exists = exists && stamp_take(cache->dirs->conf_fd, path, &stamp);
        if (ret_configured != NULL)
                *ret_configured = exists;

        at = entry_place(cache, name, &found);
        if (!exists) {
                if (found)
                        entry_remove(cache, at);
                return NULL;
        }
        if (found && stamp_same(&stamp, &cache->entries[at].stamp) && stamp_settled(&stamp))
                return cache->entries[at].site;

        entry = found ? &cache->entries[at] : entry_insert(cache, at, name);
        if (entry == NULL)
                return NULL;
        site_free(STEAL(entry->site));
        entry->stamp = stamp;
        if (site_load(cache->dirs->conf_fd, name, NULL, &entry->site, &ignored) < 0)
                entry->site = NULL;
        return entry->site;
}

static int is_conf(const struct dirent *entry)
{
        char name[SITE_NAME_MAX];
        struct err ignored;
        size_t n = strlen(entry->d_name), suffix = sizeof(SUFFIX) - 1;

        if (n <= suffix || n - suffix >= sizeof(name) ||
            strcmp(entry->d_name + n - suffix, SUFFIX) != 0)
                return 0;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(n - suffix), entry->d_name);
        return site_name_valid(name, &ignored) == 0;
}

int sitecache_names(struct sitecache *cache, sitecache_visit visit, void *arg, struct err *err)
{
        struct dirent **found = NULL;
        int n = scandirat(cache->dirs->conf_fd, "sites.d", &found, is_conf, alphasort);
        int r = 0;

        if (n < 0)
                return errno == ENOENT ? 0
                                       : err_fail(err, ERR_IO, errno, "cannot read '%s/sites.d'",
                                                  cache->dirs->conf);
        for (int i = 0; i < n; i++) {
                found[i]->d_name[strlen(found[i]->d_name) - (sizeof(SUFFIX) - 1)] = '\0';
                if (r == 0)
                        r = visit(found[i]->d_name, arg, err);
                free(found[i]);
        }
        free(found);
        return r;
}
