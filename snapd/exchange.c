/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/exchange.h"

int exchange_open(const char *path, int *ret_dir_fd, const char **ret_name, struct err *err)
{
        CLEANUP(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const char *slash = strrchr(path, '/');
        char parent[1024];

        if (path[0] != '/' || path[1] == '\0' || safepath_valid(path + 1, err) < 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a plain absolute path", path);
        if (root_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '/'");
        (void)snprintf(parent, sizeof(parent), "%.*s", slash == path ? 0 : (int)(slash - path - 1),
                       path + 1);
        if (safepath_open_mounted(root_fd, parent, O_PATH | O_DIRECTORY, ret_dir_fd, err) < 0)
                return -1;
        *ret_name = slash + 1;
        return 0;
}

static bool is_directory(struct place place)
{
        struct stat st;

        return fstatat(place.dir_fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISDIR(st.st_mode);
}

bool exchange_is_link(struct place place, const char *link)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(place.dir_fd, place.name, target, sizeof(target) - 1);

        if (n < 0)
                return false;
        target[n] = '\0';
        return strcmp(target, link) == 0;
}

bool exchange_is_stub(struct place place)
{
        struct stat st;

        return fstatat(place.dir_fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISDIR(st.st_mode) && st.st_uid == 0 && (st.st_mode & 07777) == 0555;
}

/* Is what stands for the directory at the place? */
static bool is_stand_in(struct place place, const char *link)
{
        return link == NULL ? exchange_is_stub(place) : exchange_is_link(place, link);
}

static int put_stand_in(struct place place, const char *link, struct err *err)
{
        /* An empty slot, or what an interrupted try had put there. */
        if (unlinkat(place.dir_fd, place.name, AT_REMOVEDIR) < 0 && errno == ENOTDIR &&
            is_stand_in(place, link))
                (void)unlinkat(place.dir_fd, place.name, 0);
        if ((link == NULL ? mkdirat(place.dir_fd, place.name, 0555)
                          : symlinkat(link, place.dir_fd, place.name)) < 0)
                return err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                                "cannot make a place at '%s'", place.name);
        if (link == NULL && fchmodat(place.dir_fd, place.name, 0555, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the mode of '%s'", place.name);
        return 0;
}

static void drop_stand_in(struct place place, const char *link)
{
        if (is_stand_in(place, link))
                (void)unlinkat(place.dir_fd, place.name, link == NULL ? AT_REMOVEDIR : 0);
}

/* The directory itself, not what stands for it. */
static bool is_original(struct place place, const char *link)
{
        return is_directory(place) && !is_stand_in(place, link);
}

static int sync_both(struct place a, struct place b, struct err *err)
{
        return file_sync_dir(a.dir_fd, err) < 0 ? -1 : file_sync_dir(b.dir_fd, err);
}

static int swap(struct place a, struct place b, struct err *err)
{
        if (renameat2(a.dir_fd, a.name, b.dir_fd, b.name, RENAME_EXCHANGE) == 0)
                return sync_both(a, b, err);
        if (errno == EXDEV)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is not on the file system (or btrfs subvolume) of the site's "
                                "home, so that it cannot be taken over without a copy",
                                a.name);
        if (errno == EBUSY)
                return err_fail(err, ERR_BUSY, 0, "something is mounted on '%s'", a.name);
        return err_fail(err, ERR_IO, errno, "cannot exchange '%s'", a.name);
}

/*
 * A link that leads to the place it changes places with would lead to itself afterwards, and who
 * has read it before meets a loop.  So for that moment it is a relative one, WAY, which leads to
 * the directory from either place:
 *
 *   FROM -> WAY                  WAY beside FROM -> TO (the directory)
 *   TO   -> WAY  (afterwards)    WAY beside TO   -> FROM (the directory by then)
 */
#define WAY      ".sitesnap-way"
#define WAY_TEMP ".sitesnap-way.partial"

#define READERS_MSEC 50 /* whoever has read the link has gone where it leads by then */

static int put_link(struct place place, const char *target, struct err *err)
{
        if (exchange_is_link(place, target))
                return 0;
        (void)unlinkat(place.dir_fd, WAY_TEMP, 0);
        if (symlinkat(target, place.dir_fd, WAY_TEMP) < 0 ||
            renameat(place.dir_fd, WAY_TEMP, place.dir_fd, place.name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a link at '%s'", place.name);
        return 0;
}

static int swap_with_way(struct place from, struct place to, const char *link, const char *back,
                         struct err *err)
{
        if (put_link((struct place){ from.dir_fd, WAY }, link, err) < 0 ||
            put_link((struct place){ to.dir_fd, WAY }, back, err) < 0 ||
            put_link(from, WAY, err) < 0)
                return -1;
        return swap(from, to, err);
}

/* Also what a try that was interrupted has left. */
static void drop_way(struct place from, struct place to)
{
        const struct timespec readers = { .tv_nsec = READERS_MSEC * 1000000L };
        const struct place left[] = { { from.dir_fd, WAY }, { to.dir_fd, WAY }, to };

        if (!exchange_is_link(to, WAY))
                return;
        (void)nanosleep(&readers, NULL);
        for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
                (void)unlinkat(left[i].dir_fd, left[i].name, 0);
}

int exchange_out(struct place from, struct place to, const char *link, struct err *err)
{
        if (is_stand_in(from, link) && is_original(to, link))
                return sync_both(from, to, err);
        if (!is_original(from, link))
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' is not there, or not a directory",
                                from.name);
        if (put_stand_in(to, link, err) < 0)
                return -1;
        if (swap(from, to, err) == 0)
                return 0;
        drop_stand_in(to, link);
        return -1;
}

/* The directory is at ${to}, and ${from} has what stands for it, if anything. */
static int bring_back(struct place from, struct place to, const char *link, const char *back,
                      struct err *err)
{
        if (is_stand_in(from, link) || (back != NULL && exchange_is_link(from, WAY))) {
                if ((back == NULL ? swap(from, to, err)
                                  : swap_with_way(from, to, link, back, err)) < 0)
                        return -1;
                drop_stand_in(to, link);
                drop_way(from, to);
                return file_sync_dir(to.dir_fd, err);
        }
        if (renameat2(to.dir_fd, to.name, from.dir_fd, from.name, RENAME_NOREPLACE) < 0)
                return err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                                "cannot give '%s' back", from.name);
        return sync_both(from, to, err);
}

int exchange_in(struct place from, struct place to, const char *link, const char *back,
                struct err *err)
{
        if (is_original(to, link))
                return is_original(from, link) ? sync_both(from, to, err)
                                               : bring_back(from, to, link, back, err);
        /* Not begun, or taken back already but for what stood for it. */
        drop_stand_in(to, link);
        drop_way(from, to);
        if (!is_original(from, link))
                return err_fail(err, ERR_NOT_FOUND, 0, "neither '%s' nor '%s' is a directory",
                                from.name, to.name);
        return sync_both(from, to, err);
}
