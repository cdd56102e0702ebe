/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/sqlite_copy.h"

#define PIECE_BYTES (16 << 20)
#define SPACE_SPARE (4 << 20) /* for directories and the file system's own */

/* Where a copy is being made. */
struct making {
        const struct sqlite_copy *copy;
        struct sqlite_growth growth;
        bool as_files; /* not page by page */
        struct db_progress progress;
        uint64_t bytes_before; /* in the databases that are done */
};

void sqlite_copy_partial(const char *name, char partial[static SQLITE_COPY_PARTIAL_MAX])
{
        (void)snprintf(partial, SQLITE_COPY_PARTIAL_MAX, "%s.partial", name);
}

/* A clone needs next to nothing, so this is asked only where bytes are copied. */
static int check_space(const struct sqlite_copy *copy, struct err *err)
{
        uint64_t need = sqlite_dir_bytes(copy->hold->dir) + SPACE_SPARE, room;
        struct statvfs st;

        if (fstatvfs(copy->root_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot see how much space there is");
        room = (uint64_t)st.f_bavail * st.f_frsize;
        if (room >= need)
                return 0;
        return err_fail(err, ERR_NO_SPACE, 0,
                        "a copy of '%s' needs %" PRIu64 " MB and there are %" PRIu64 " MB free",
                        copy->hold->schema, (need >> 20) + 1, room >> 20);
}

int sqlite_copy_begin(struct sqlite_growth *growth, struct err *err)
{
        /* What an earlier attempt left goes first. */
        sqlite_copy_partial(growth->to, growth->partial);
        if (sqlite_dir_remove(growth->root_fd, growth->partial, err) < 0)
                return -1;
        if (mkdirat(growth->root_fd, growth->partial, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", growth->partial);
        if (safepath_open(growth->root_fd, growth->partial, O_PATH | O_DIRECTORY,
                          &growth->partial_fd, err) < 0)
                return -1;
        if (mkdirat(growth->partial_fd, SQLITE_COPY_NEW, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s/%s'", growth->partial,
                                SQLITE_COPY_NEW);
        if (safepath_open(growth->partial_fd, SQLITE_COPY_NEW, O_RDONLY | O_DIRECTORY,
                          &growth->new_fd, err) < 0)
                return -1;
        if (fchown(growth->new_fd, growth->uid, growth->gid) < 0)
                return err_fail(err, ERR_IO, errno, "cannot give '%s' to the site",
                                SQLITE_COPY_NEW);
        return 0;
}

/* Make the same file in the copy, empty. */
static int create(const struct making *making, const struct sqlite_entry *entry, const char *name,
                  int *ret_fd, struct err *err)
{
        CLEANUP(closep)
        int fd = openat(making->growth.new_fd, name,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", name);
        if (fchown(fd, making->copy->uid, making->copy->gid) < 0 || fchmod(fd, entry->mode) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", name);
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int report(struct making *making, struct err *err)
{
        return making->copy->report == NULL
                       ? 0
                       : making->copy->report(&making->progress, making->copy->arg, err);
}

/* Share the blocks where that can be, else copy them, in pieces between which somebody may stop
 * us: the one who asked, or the end of the hold. */
static int copy_bytes(struct making *making, int from, int to, const char *name, struct err *err)
{
        struct sqlite_hold *hold = making->copy->hold;
        ssize_t n;

        if (ioctl(to, FICLONE, from) == 0)
                return 0;
        while ((n = copy_file_range(from, NULL, to, NULL, PIECE_BYTES, 0)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_fail(err, ERR_IO, errno, "cannot copy '%s'", name);
                making->progress.bytes_done += (uint64_t)n;
                if ((hold->held && hold->in_hold && sqlite_hold_check(hold, err) < 0) ||
                    report(making, err) < 0)
                        return -1;
        }
        return 0;
}

/* ERR_NOT_FOUND: it came and went, as locks and logs do. */
static int copy_file(struct making *making, const struct sqlite_entry *entry, const char *name,
                     struct err *err)
{
        CLEANUP(closep) int from = -1;
        CLEANUP(closep) int to = -1;

        if (sqlite_dir_open_file(making->copy->hold->dir, name, making->copy->uid, O_RDONLY, &from,
                                 err) < 0 ||
            create(making, entry, name, &to, err) < 0)
                return -1;
        return copy_bytes(making, from, to, name, err);
}

/* Inside the hold a database's files are copied as they lie there.  In a rollback-journal mode
 * nothing is written at all.  In WAL mode the database comes first: a checkpoint that runs
 * meanwhile moves pages from the log into it, and the whole log, which only a writer could reset,
 * brings them again. */
static int copy_files(struct making *making, const struct sqlite_entry *entry, struct err *err)
{
        char log[NAME_MAX + 8];
        struct err why;

        if (copy_file(making, entry, entry->name, err) < 0)
                return -1;
        (void)snprintf(log, sizeof(log), "%s-wal", entry->name);
        if (!entry->wal || copy_file(making, entry, log, &why) == 0 || why.code == ERR_NOT_FOUND)
                return 0;
        *err = why;
        return -1;
}

static int report_pages(uint64_t done, uint64_t all, void *arg, struct err *err)
{
        struct making *making = arg;

        /* Work that has no bytes to count asks all the same. */
        if (all != 0)
                making->progress.bytes_done = making->bytes_before + done;
        return report(making, err);
}

/* The helper writes the file as the tenant; root only sees to its mode, by descriptor. */
static int copy_pages(struct making *making, const struct sqlite_entry *entry, struct err *err)
{
        struct sqlite_dir made = { .fd = making->growth.new_fd };
        struct sqlite_call call = { .op = SQLITE_OP_COPY };
        CLEANUP(closep) int fd = -1;

        (void)snprintf(call.name, sizeof(call.name), "%s", entry->name);
        if (sqlite_helper_call(making->copy->hold->helper, &call, making->growth.new_fd,
                               report_pages, making, err) < 0)
                return -1;
        if (sqlite_dir_open_file(&made, entry->name, making->copy->uid, O_RDONLY, &fd, err) < 0)
                return err_wrap(err, "the copy");
        if (fchmod(fd, entry->mode) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the mode of '%s'", entry->name);
        return 0;
}

/* In the order of their names, as the locks were taken. */
static int copy_databases(struct making *making, struct err *err)
{
        const struct sqlite_dir *dir = making->copy->hold->dir;

        making->progress.tables_all = sqlite_dir_databases(dir);
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE)
                        making->progress.bytes_all += dir->entries[i].bytes;
        for (size_t i = 0; i < dir->n; i++) {
                const struct sqlite_entry *entry = &dir->entries[i];

                if (entry->kind != SQLITE_KIND_DATABASE)
                        continue;
                if ((making->as_files ? copy_files(making, entry, err)
                                      : copy_pages(making, entry, err)) < 0)
                        return -1;
                making->bytes_before += entry->bytes;
                making->progress.bytes_done = making->bytes_before;
                making->progress.tables_done++;
                if (report(making, err) < 0)
                        return -1;
        }
        return 0;
}

/* Files that are no databases have no instant; they are taken while the writers are held where the
 * databases are. */
static int copy_rest(struct making *making, struct err *err)
{
        const struct sqlite_dir *dir = making->copy->hold->dir;

        for (size_t i = 0; i < dir->n; i++) {
                const struct sqlite_entry *entry = &dir->entries[i];
                struct err why;
                int fd;

                if (entry->kind == SQLITE_KIND_FILE &&
                    copy_file(making, entry, entry->name, &why) < 0 && why.code != ERR_NOT_FOUND) {
                        *err = why;
                        return -1;
                }
                if (entry->kind != SQLITE_KIND_DIR)
                        continue;
                if (safepath_mkdirs(making->growth.new_fd, entry->name, entry->mode,
                                    making->copy->uid, making->copy->gid, &fd, err) < 0)
                        return -1;
                (void)close(fd);
        }
        return 0;
}

/* Bring each database into one file and its own mode.  The helper writes in the copy only here
 * and never again; then everything goes to the disk. */
static int settle(const struct making *making, struct err *err)
{
        const struct sqlite_dir *dir = making->copy->hold->dir;

        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(
                            making->copy->hold->helper, SQLITE_OP_SETTLE, dir->entries[i].name,
                            (dir->entries[i].wal ? SQLITE_CALL_WAL : 0) | SQLITE_CALL_UNSYNCED,
                            making->growth.new_fd, err) < 0)
                        return err_wrap(err, "the copy");
        return 0;
}

/* The copy has no name yet, so nothing here has an order: all files, then the directory. */
static int sync_all(const struct making *making, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *made = NULL;

        if (sqlite_dir_open(making->growth.partial_fd, SQLITE_COPY_NEW, making->copy->uid, &made,
                            err) < 0)
                return -1;
        for (size_t i = 0; i < made->n; i++) {
                CLEANUP(closep) int fd = -1;

                if (made->entries[i].kind == SQLITE_KIND_DIR)
                        continue;
                if (sqlite_dir_open_file(made, made->entries[i].name, making->copy->uid, O_RDONLY,
                                         &fd, err) < 0)
                        return -1;
                if (fsync(fd) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot sync '%s'",
                                        made->entries[i].name);
        }
        if (fchmod(making->growth.new_fd, making->copy->hold->dir->mode) < 0 ||
            fsync(making->growth.new_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync '%s'", making->growth.partial);
        return 0;
}

int sqlite_copy_publish(const struct sqlite_growth *growth, struct err *err)
{
        if (renameat2(growth->partial_fd, SQLITE_COPY_NEW, growth->root_fd, growth->to,
                      RENAME_NOREPLACE) == 0) {
                /* What is left is empty; one sync does for both. */
                if (unlinkat(growth->root_fd, growth->partial, AT_REMOVEDIR) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot remove '%s'", growth->partial);
                return file_sync_dir(growth->root_fd, err);
        }
        if (errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot name the copy '%s'", growth->to);

        /* A copy that an earlier run made of another instant changes places with this one and
         * goes with the partial directory, once the change is durable. */
        if (renameat2(growth->partial_fd, SQLITE_COPY_NEW, growth->root_fd, growth->to,
                      RENAME_EXCHANGE) < 0)
                return err_fail(err, ERR_IO, errno, "cannot name the copy '%s'", growth->to);
        if (file_sync_dir(growth->root_fd, err) < 0)
                return -1;
        return sqlite_dir_remove(growth->root_fd, growth->partial, err);
}

int sqlite_copy_check_name(int root_fd, const char *to, struct err *err)
{
        struct stat st;

        if (sqlite_dir_name_valid(to, err) < 0)
                return -1;
        if (!db_is_copy_name(to) && fstatat(root_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return err_fail(err, ERR_EXISTS, 0, "'%s'", to);
        return 0;
}

static int make(struct making *making, struct err *err)
{
        struct sqlite_hold *hold = making->copy->hold;

        if (sqlite_copy_begin(&making->growth, err) < 0 || copy_databases(making, err) < 0 ||
            copy_rest(making, err) < 0)
                return -1;
        if (hold->held && hold->in_hold &&
            (sqlite_hold_note(hold, making->copy->uid, err) < 0 ||
             sqlite_hold_check(hold, err) < 0))
                return -1;
        /* The hold was still on when the last byte was read: from here on it is a copy of one
         * instant. */
        if (settle(making, err) < 0 || sync_all(making, err) < 0)
                return -1;
        return sqlite_copy_publish(&making->growth, err);
}

int sqlite_copy_make(const struct sqlite_copy *copy, struct err *err)
{
        struct making making = { .copy = copy };
        CLEANUP(sqlite_growth_donep) struct sqlite_growth *growth = &making.growth;
        struct err ignored;

        sqlite_growth_init(growth, copy->root_fd, copy->to, copy->uid, copy->gid);
        if (sqlite_copy_check_name(copy->root_fd, copy->to, err) < 0)
                return -1;
        making.as_files = copy->hold->dir->read_only || (copy->hold->held && copy->hold->in_hold);
        if (!copy->hold->clones && check_space(copy, err) < 0)
                return -1;
        if (make(&making, err) == 0)
                return 0;
        if (sqlite_dir_remove(copy->root_fd, growth->partial, &ignored) < 0)
                return err_wrap(err, "copying '%s' to '%s' (which leaves '%s')", copy->hold->schema,
                                copy->to, growth->partial);
        return err_wrap(err, "copying '%s' to '%s'", copy->hold->schema, copy->to);
}
