/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbdump/sqlite_hold.h"
#include "dbdump/sqlite_mode.h"

#define PROBE_BYTES 4096 /* the block size of every file system that clones */

/* Does the file system clone from this file to a new one in the root?  Only trying tells: a +C
 * file on btrfs does not clone into a plain one, and the root may be another file system.
 * The database is written back on the way, which makes the clone in the hold quick. */
static bool probe_clone(int root_fd, const struct sqlite_dir *dir, const char *name, uid_t uid)
{
        CLEANUP(closep) int from = -1;
        CLEANUP(closep) int to = -1;
        struct file_clone_range range = { .src_length = PROBE_BYTES };
        struct stat st;
        struct err ignored;

        if (sqlite_dir_open_file(dir, name, uid, O_RDONLY, &from, &ignored) < 0)
                return false;
        if (fstat(from, &st) < 0 || st.st_size < PROBE_BYTES)
                range.src_length = 0; /* to the end of the file */
        to = openat(root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        range.src_fd = from;
        return to >= 0 && ioctl(to, FICLONERANGE, &range) == 0 && fdatasync(from) == 0;
}

/* One database that does not clone, or is not in WAL mode, decides for all. */
static void choose(int root_fd, const struct sqlite_dir *dir, uid_t uid, bool *ret_clones,
                   bool *ret_in_hold)
{
        bool clones = true, wal = true;

        for (size_t i = 0; i < dir->n; i++) {
                if (dir->entries[i].kind != SQLITE_KIND_DATABASE)
                        continue;
                wal &= dir->entries[i].wal;
                clones = clones && probe_clone(root_fd, dir, dir->entries[i].name, uid);
        }
        *ret_clones = clones;
        *ret_in_hold = !dir->read_only && (clones || !wal);
}

/* A read-only schema is seen as it is when it is writable: so a copy of it is made. */
static int list(int root_fd, const char *schema, uid_t uid, struct sqlite_dir **ret_dir,
                struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        if (sqlite_dir_open(root_fd, schema, uid, &dir, err) < 0)
                return -1;
        if (sqlite_dir_databases(dir) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no SQLite database in '%s'",
                                schema);
        if (dir->read_only && sqlite_mode_recall(dir, err) < 0)
                return -1;
        *ret_dir = STEAL(dir);
        return 0;
}

int sqlite_hold_plan(int root_fd, const char *schema, uid_t uid, bool *ret_in_hold,
                     bool *ret_clones, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        if (list(root_fd, schema, uid, &dir, err) < 0)
                return -1;
        choose(root_fd, dir, uid, ret_clones, ret_in_hold);
        return 0;
}

/* Opened, and in its transactions, when this returns. */
int sqlite_hold_start_helper(const struct sqlite_dir *dir, uid_t uid, gid_t gid, unsigned flags,
                             int64_t deadline_usec, struct sqlite_helper **ret_helper,
                             struct err *err)
{
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;
        struct sqlite_call begin = { .op = SQLITE_OP_BEGIN,
                                     .flags = flags,
                                     .number = deadline_usec };

        if (sqlite_helper_start(dir->fd, uid, gid, &helper, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(helper, SQLITE_OP_ADD, dir->entries[i].name, 0, -1, err) < 0)
                        return -1;
        if (sqlite_helper_call(helper, &begin, -1, NULL, NULL, err) < 0)
                return -1;
        *ret_helper = STEAL(helper);
        return 0;
}

/* List, lock, list again. */
static int begin_once(int root_fd, uid_t uid, gid_t gid, int64_t deadline_usec,
                      struct sqlite_hold *hold, bool *ret_same, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *before = NULL;
        unsigned flags;

        if (list(root_fd, hold->schema, uid, &before, err) < 0)
                return -1;
        choose(root_fd, before, uid, &hold->clones, &hold->in_hold);
        flags = before->read_only ? 0 : SQLITE_CALL_WRITERS;
        if (sqlite_hold_start_helper(before, uid, gid, flags, deadline_usec, &hold->helper, err) <
            0)
                return -1;
        /* What lies in the directory counts as it is now, when nobody writes. */
        if (list(root_fd, hold->schema, uid, &hold->dir, err) < 0)
                return -1;
        *ret_same = sqlite_dir_same(before, hold->dir);
        return 0;
}

int sqlite_hold_begin(int root_fd, const char *schema, uid_t uid, gid_t gid, int64_t deadline_usec,
                      struct sqlite_hold **ret_hold, struct err *err)
{
        bool same = false;

        /* A database that came or changed its mode before the locks were taken is not held yet:
         * once more, with it. */
        for (int tries = 0; tries < 3; tries++) {
                CLEANUP(sqlite_hold_endp) struct sqlite_hold *hold = calloc(1, sizeof(*hold));

                if (hold == NULL)
                        return err_oom(err);
                (void)snprintf(hold->schema, sizeof(hold->schema), "%s", schema);
                if (begin_once(root_fd, uid, gid, deadline_usec, hold, &same, err) < 0)
                        return -1;
                if (!same)
                        continue;
                hold->held = true;
                hold->noted = calloc(hold->dir->n, sizeof(hold->noted[0]));
                if (hold->noted == NULL)
                        return err_oom(err);
                *ret_hold = STEAL(hold);
                return 0;
        }
        return err_fail(err, ERR_BUSY, 0, "databases come and go in '%s'; try again", schema);
}

int sqlite_hold_check(struct sqlite_hold *hold, struct err *err)
{
        return sqlite_helper_ask(hold->helper, SQLITE_OP_HELD, NULL, 0, -1, err);
}

/* A reader keeps the site's log from being emptied, and an upgrade may come next that writes a
 * lot: when everything about the instant is noted, it is over. */
static void end_when_known(struct sqlite_hold *hold)
{
        for (size_t i = 0; i < hold->dir->n; i++)
                if (hold->dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    hold->noted[i].facts == NULL)
                        return;
        if (hold->held)
                return;
        sqlite_helper_stop(hold->helper);
        hold->helper = NULL;
}

int sqlite_hold_release(struct sqlite_hold *hold, struct err *err)
{
        if (!hold->held)
                return err_fail(err, ERR_INVALID, 0, "'%s' is not held", hold->schema);
        hold->held = false;
        if (sqlite_helper_ask(hold->helper, SQLITE_OP_RELEASE, NULL, 0, -1, err) < 0)
                return -1;
        end_when_known(hold);
        return 0;
}

/* By the parent: reading takes no lock, and closing drops none of the helper's. */
static int read_header(const struct sqlite_dir *dir, const char *name, uid_t uid,
                       struct sqlite_noted *noted, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;

        if (sqlite_dir_open_file(dir, name, uid, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || pread(fd, noted->header, SQLITE_HEADER_BYTES, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot read '%s'", name);
        noted->bytes = (uint64_t)st.st_size;
        return 0;
}

static int note_one(struct sqlite_hold *hold, size_t i, uid_t uid, bool count, struct err *err)
{
        const char *name = hold->dir->entries[i].name;
        struct sqlite_noted *noted = &hold->noted[i];

        if (noted->facts != NULL)
                return 0;
        noted->counted = count;
        if (!count && read_header(hold->dir, name, uid, noted, err) < 0)
                return -1;
        return sqlite_helper_facts(hold->helper, name, count, &noted->facts, err);
}

int sqlite_hold_note(struct sqlite_hold *hold, uid_t uid, struct err *err)
{
        for (size_t i = 0; i < hold->dir->n; i++) {
                const struct sqlite_entry *entry = &hold->dir->entries[i];

                if (entry->kind == SQLITE_KIND_DATABASE && !entry->wal && !hold->dir->read_only &&
                    note_one(hold, i, uid, false, err) < 0)
                        return -1;
        }
        return 0;
}

/* One line, for a message. */
static int shown(const char *line)
{
        size_t n = strcspn(line, "\n");

        return n > 120 ? 120 : (int)n;
}

/* Both were written in the same order: the first line that differs is the first difference. */
static int compare_facts(const char *name, const char *view, const char *copy, struct err *err)
{
        const char *a = view, *b = copy;

        while (*a != '\0' && *b != '\0') {
                size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");

                if (na != nb || memcmp(a, b, na) != 0)
                        return err_fail(err, ERR_CORRUPT, 0,
                                        "the copy of '%s' differs: '%.*s' has become '%.*s'", name,
                                        shown(a), a, shown(b), b);
                a += na + (a[na] == '\n');
                b += nb + (b[nb] == '\n');
        }
        if (*a != '\0')
                return err_fail(err, ERR_CORRUPT, 0, "the copy of '%s' differs: it lacks '%.*s'",
                                name, shown(a), a);
        if (*b != '\0')
                return err_fail(err, ERR_CORRUPT, 0, "the copy of '%s' differs: it has '%.*s' too",
                                name, shown(b), b);
        return 0;
}

static int compare_header(const struct sqlite_noted *view, const struct sqlite_dir *copy,
                          const char *name, uid_t uid, struct err *err)
{
        struct sqlite_noted now;

        if (view->counted)
                return 0;
        if (read_header(copy, name, uid, &now, err) < 0)
                return -1;
        if (now.bytes != view->bytes || memcmp(now.header, view->header, sizeof(now.header)) != 0)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the copy of '%s' differs: it has been written since", name);
        return 0;
}

/* Whatever of the view has not been asked yet is asked now, of the readers that are still on it. */
int sqlite_hold_compare(struct sqlite_hold *hold, uid_t uid, const struct sqlite_dir *copy,
                        struct sqlite_helper *helper, struct err *err)
{
        for (size_t i = 0; i < hold->dir->n; i++) {
                const struct sqlite_entry *entry = &hold->dir->entries[i];
                const struct sqlite_noted *noted = &hold->noted[i];
                CLEANUP(freep) char *facts = NULL;

                if (entry->kind != SQLITE_KIND_DATABASE)
                        continue;
                if (note_one(hold, i, uid, true, err) < 0 ||
                    sqlite_helper_facts(helper, entry->name, noted->counted, &facts, err) < 0 ||
                    compare_facts(entry->name, noted->facts, facts, err) < 0 ||
                    compare_header(noted, copy, entry->name, uid, err) < 0)
                        return -1;
        }
        end_when_known(hold);
        return 0;
}

void sqlite_hold_end(struct sqlite_hold *hold)
{
        if (hold == NULL)
                return;
        sqlite_helper_stop(hold->helper);
        for (size_t i = 0; hold->noted != NULL && i < hold->dir->n; i++)
                free(hold->noted[i].facts);
        free(hold->noted);
        sqlite_dir_close(hold->dir);
        free(hold);
}
