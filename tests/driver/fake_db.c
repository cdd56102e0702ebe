/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "tests/driver/fake_db.h"

#define CONTENT_MAX (64 << 20)

struct db {
        int root_fd;
        uid_t uid;
        gid_t gid;
        bool held, copied;
        char schema[DB_NAME_MAX];
        char *view; /* what the schema was */
        size_t n;
};

static void hold_name(const char *schema, char name[static 80])
{
        (void)snprintf(name, 80, "%s.hold", schema);
}

/* Is it held by a process that lives, before its deadline? */
static bool is_held(int root_fd, const char *schema)
{
        CLEANUP(freep) char *text = NULL;
        struct err ignored;
        char name[80], *end;
        long pid;

        hold_name(schema, name);
        if (file_read(root_fd, name, 100, &text, NULL, &ignored) < 0)
                return false;
        pid = strtol(text, &end, 10);
        return clock_boot_usec() < strtoll(end, NULL, 10) &&
               (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static int lock_until(int fd, int64_t until_usec)
{
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (clock_boot_usec() >= until_usec)
                        return -1;
                (void)usleep(500);
        }
        return 0;
}

int fake_db_lock(int root_fd, const char *schema)
{
        for (;;) {
                CLEANUP(closep) int fd = openat(root_fd, schema, O_RDWR | O_APPEND | O_CLOEXEC);

                if (fd < 0 || flock(fd, LOCK_EX) < 0)
                        return -1;
                if (!is_held(root_fd, schema))
                        return steal_fd(&fd);
                (void)flock(fd, LOCK_UN);
                (void)usleep(1000);
        }
}

static int fake_open(const struct db_conf *conf, struct db **ret_db, struct err *err)
{
        struct db *db = calloc(1, sizeof(*db));

        if (db == NULL)
                return err_oom(err);
        db->root_fd = conf->root_fd;
        db->uid = conf->owner_uid;
        db->gid = conf->owner_gid;
        *ret_db = db;
        return 0;
}

static void forget(struct db *db)
{
        char name[80];

        hold_name(db->schema, name);
        if (db->held)
                (void)unlinkat(db->root_fd, name, 0);
        free(db->view);
        db->view = NULL;
        db->held = db->copied = false;
}

static void fake_close(struct db *db)
{
        if (db == NULL)
                return;
        forget(db);
        free(db);
}

static int open_schema(struct db *db, const char *schema, int *ret_fd, struct err *err)
{
        *ret_fd = openat(db->root_fd, schema, O_RDONLY | O_CLOEXEC);
        if (*ret_fd < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "'%s'",
                                schema);
        return 0;
}

static int fake_features(struct db *db, const char *schema, unsigned *ret_features, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (open_schema(db, schema, &fd, err) < 0)
                return -1;
        *ret_features = DB_COPY_CONSISTENT;
        return 0;
}

static int fake_check(struct db *db, const char *schema, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        return open_schema(db, schema, &fd, err);
}

/* The view is the content, read while nobody writes. */
static int look(struct db *db, const char *schema, int64_t until_usec, bool hold, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char name[80], text[100];

        forget(db);
        if (open_schema(db, schema, &fd, err) < 0)
                return -1;
        if (lock_until(fd, until_usec) < 0)
                return err_fail(err, ERR_BUSY, 0, "'%s': a writer did not let us in", schema);
        (void)snprintf(db->schema, sizeof(db->schema), "%s", schema);
        hold_name(schema, name);
        (void)snprintf(text, sizeof(text), "%d %" PRId64, getpid(), until_usec);
        if (hold && file_replace(db->root_fd, name, text, strlen(text), 0644, err) < 0)
                return -1;
        db->held = hold;
        return file_read_fd(fd, CONTENT_MAX, &db->view, &db->n, err);
}

static int fake_hold(struct db *db, const char *schema, unsigned deadline_msec, struct err *err)
{
        return look(db, schema, clock_boot_usec() + (int64_t)deadline_msec * 1000, true, err);
}

static int fake_release(struct db *db, struct err *err)
{
        char name[80];
        bool on;

        if (!db->held)
                return err_fail(err, ERR_INVALID, 0, "nothing is held");
        on = is_held(db->root_fd, db->schema);
        hold_name(db->schema, name);
        (void)unlinkat(db->root_fd, name, 0);
        db->held = false;
        return on ? 0 : err_fail(err, ERR_TIMEOUT, 0, "the deadline had passed");
}

/* Everything, the owner too, comes before the name. */
static int make(struct db *db, const char *to, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char partial[80];

        if (faccessat(db->root_fd, to, F_OK, 0) == 0 && !db_is_copy_name(to))
                return err_fail(err, ERR_EXISTS, 0, "'%s'", to);
        (void)snprintf(partial, sizeof(partial), "%s.partial", to);
        fd = openat(db->root_fd, partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "'%s'", partial);
        if (file_write_all(fd, db->view, db->n, err) < 0)
                return -1;
        if (fchown(fd, db->uid, db->gid) < 0 || fsync(fd) < 0 ||
            renameat(db->root_fd, partial, db->root_fd, to) < 0)
                return err_fail(err, ERR_IO, errno, "'%s'", to);
        return file_sync_dir(db->root_fd, err);
}

static int fake_copy(struct db *db, const char *from, const char *to, db_report report, void *arg,
                     struct err *err)
{
        bool own = db->view == NULL || db->copied || strcmp(db->schema, from) != 0;
        struct db_progress progress = { .tables_all = 1 };

        if (own && look(db, from, clock_boot_usec() + 10 * USEC_PER_SEC, false, err) < 0)
                return -1;
        progress.bytes_all = db->n;
        if ((report != NULL && report(&progress, arg, err) < 0) || make(db, to, err) < 0)
                return -1;
        /* The next copy without a hold is of another instant. */
        db->copied = !db->held;
        progress.bytes_done = db->n;
        progress.tables_done = 1;
        return report != NULL ? report(&progress, arg, err) : 0;
}

static int fake_exists(struct db *db, const char *schema, bool *ret_exists, struct err *err)
{
        (void)err;
        *ret_exists = faccessat(db->root_fd, schema, F_OK, 0) == 0;
        return 0;
}

static int fake_verify(struct db *db, const char *schema, const char *copy, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n;

        if (db->view == NULL || strcmp(db->schema, schema) != 0)
                return err_fail(err, ERR_INVALID, 0, "no copy of '%s' was made here", schema);
        if (file_read(db->root_fd, copy, CONTENT_MAX, &text, &n, err) < 0)
                return -1;
        if (n != db->n || memcmp(text, db->view, n) != 0)
                return err_fail(err, ERR_CORRUPT, 0, "'%s' differs", copy);
        return 0;
}

static int fake_set_writable(struct db *db, const char *schema, bool writable, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (open_schema(db, schema, &fd, err) < 0)
                return -1;
        /* The application can read it in between as well. */
        if ((!writable && fchmod(fd, 0640) < 0) ||
            fchown(fd, writable ? db->uid : 0, db->gid) < 0 || (writable && fchmod(fd, 0600) < 0) ||
            fsync(fd) < 0)
                return err_fail(err, ERR_IO, errno, "'%s'", schema);
        return 0;
}

static int fake_size(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;

        if (open_schema(db, schema, &fd, err) < 0)
                return -1;
        *ret_bytes = fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
        return 0;
}

static int fake_drop(struct db *db, const char *copy, struct err *err)
{
        if (unlinkat(db->root_fd, copy, 0) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "'%s'", copy);
        return file_sync_dir(db->root_fd, err);
}

const struct db_driver db_driver_fake = {
        .name = "fake",
        .open = fake_open,
        .close = fake_close,
        .features = fake_features,
        .check = fake_check,
        .hold = fake_hold,
        .release = fake_release,
        .copy = fake_copy,
        .exists = fake_exists,
        .verify = fake_verify,
        .set_writable = fake_set_writable,
        .size = fake_size,
        .drop = fake_drop,
};
