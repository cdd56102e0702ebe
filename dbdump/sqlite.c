/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/dbdriver.h"
#include "dbdump/sqlite_copy.h"
#include "dbdump/sqlite_dump.h"
#include "dbdump/sqlite_hold.h"
#include "dbdump/sqlite_mode.h"
#include "dbdump/sqlite_read.h"

/*
 * The SQLite driver.
 *
 * A schema is a directory of database files below conf.root_fd (sqlite_dir.h).  Root lists,
 * clones, names and removes; everything that reads a page is done by a helper process with the
 * tenant's ids (sqlite_helper.h, sqlite_view.h).  sqlite_hold.h is the view, sqlite_copy.h the
 * copy, sqlite_mode.h the read-only state.
 */

struct db {
        int root_fd; /* the caller's */
        uid_t uid;
        gid_t gid;
        unsigned timeout_msec;
        struct sqlite_hold *hold; /* the last view; stays for verify() */
        bool copied; /* it was released and a copy was made of it: the next copy() is another's */
};

#define TIMEOUT_MSEC 30000

#define CLONE_MSEC     20
#define BYTES_PER_MSEC 1000000

/* Nothing is opened yet but what the caller gave: a schema is looked at when it is named. */
static int sqlite_open(const struct db_conf *conf, struct db **ret_db, struct err *err)
{
        struct stat st;
        struct db *db;

        if (fstat(conf->root_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "the directory of the SQLite schemas");
        if (!S_ISDIR(st.st_mode))
                return err_fail(err, ERR_INVALID, 0,
                                "the place of the SQLite schemas is not a directory");
        if (conf->owner_uid == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "databases of root are not opened; give the site an owner");
        db = calloc(1, sizeof(*db));
        if (db == NULL)
                return err_oom(err);
        db->root_fd = conf->root_fd;
        db->uid = conf->owner_uid;
        db->gid = conf->owner_gid;
        db->timeout_msec = conf->timeout_msec == 0 ? TIMEOUT_MSEC : conf->timeout_msec;
        *ret_db = db;
        return 0;
}

/* The helper ends, and with it every lock and pinned reader. */
static void forget_hold(struct db *db)
{
        sqlite_hold_end(db->hold);
        db->hold = NULL;
        db->copied = false;
}

static void sqlite_close(struct db *db)
{
        if (db == NULL)
                return;
        forget_hold(db);
        free(db);
}

/* Asked anew each time: the application can change its journal mode, and a schema can be moved. */
static int sqlite_features(struct db *db, const char *schema, unsigned *ret_features,
                           struct err *err)
{
        bool in_hold, clones;

        if (sqlite_hold_plan(db->root_fd, schema, db->uid, &in_hold, &clones, err) < 0)
                return -1;
        *ret_features = in_hold ? DB_COPY_IN_HOLD : DB_COPY_CONSISTENT;
        return 0;
}

/* Opening each database as the site does finds everything that can be wrong with it, and rolls
 * back what a crash left hot, as the site's next request would. */
static int sqlite_check(struct db *db, const char *schema, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;

        if (sqlite_dir_open(db->root_fd, schema, db->uid, &dir, err) < 0)
                return -1;
        if (sqlite_dir_databases(dir) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no SQLite database in '%s'",
                                schema);
        return sqlite_hold_start_helper(dir, db->uid, db->gid, 0,
                                        clock_boot_usec() + (int64_t)db->timeout_msec * 1000,
                                        &helper, err);
}

/* One view at a time.  The deadline counts from here: waiting for a slow writer uses it up. */
static int sqlite_hold(struct db *db, const char *schema, unsigned deadline_msec, struct err *err)
{
        int64_t deadline_usec = clock_boot_usec() + (int64_t)deadline_msec * 1000;

        forget_hold(db);
        return sqlite_hold_begin(db->root_fd, schema, db->uid, db->gid, deadline_usec, &db->hold,
                                 err);
}

static int sqlite_release(struct db *db, struct err *err)
{
        if (db->hold == NULL)
                return err_fail(err, ERR_INVALID, 0, "nothing is held");
        if (sqlite_hold_release(db->hold, err) == 0)
                return 0;
        /* The instant is lost, and with it everything that could be said about it. */
        forget_hold(db);
        return -1;
}

/* Without a hold of the caller's there is one of our own, as short as the way of copying lets it
 * be, and without a deadline: report() may stop it. */
static int sqlite_copy(struct db *db, const char *from, const char *to, db_report report, void *arg,
                       struct err *err)
{
        struct sqlite_copy copy = { db->root_fd, db->uid, db->gid, NULL, to, report, arg };
        bool own = db->hold == NULL || db->copied || db->hold->helper == NULL ||
                   strcmp(db->hold->schema, from) != 0;
        struct err why;
        int r;

        if (own) {
                forget_hold(db);
                if (sqlite_hold_begin(db->root_fd, from, db->uid, db->gid, 0, &db->hold, err) < 0)
                        return -1;
                if (!db->hold->in_hold && sqlite_hold_release(db->hold, err) < 0)
                        return -1;
        }
        /* From here on the copy is of that one instant, however long it takes. */
        copy.hold = db->hold;
        r = sqlite_copy_make(&copy, err);
        if (own && db->hold->held && sqlite_hold_release(db->hold, &why) < 0 && r == 0) {
                *err = why;
                return -1;
        }
        db->copied = r == 0 && !db->hold->held;
        if (r < 0 && own)
                forget_hold(db);
        return r;
}

/* Only the whole name counts; "NAME.partial" is nobody's schema. */
static int sqlite_exists(struct db *db, const char *schema, bool *ret_exists, struct err *err)
{
        struct stat st;

        if (sqlite_dir_name_valid(schema, err) < 0)
                return -1;
        if (fstatat(db->root_fd, schema, &st, AT_SYMLINK_NOFOLLOW) == 0)
                *ret_exists = S_ISDIR(st.st_mode);
        else if (errno == ENOENT)
                *ret_exists = false;
        else
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", schema);
        return 0;
}

/* The facts of the view were noted or are asked of its pinned readers; those of the copy come from
 * a helper of its own, which sees what the application is going to see. */
static int sqlite_verify(struct db *db, const char *schema, const char *copy, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;

        if (db->hold == NULL || strcmp(db->hold->schema, schema) != 0)
                return err_fail(err, ERR_INVALID, 0, "no copy of '%s' was made here", schema);
        if (sqlite_dir_open(db->root_fd, copy, db->uid, &dir, err) < 0)
                return -1;
        if (sqlite_dir_databases(dir) != sqlite_dir_databases(db->hold->dir))
                return err_fail(err, ERR_CORRUPT, 0, "'%s' has %zu databases, '%s' had %zu", copy,
                                sqlite_dir_databases(dir), schema,
                                sqlite_dir_databases(db->hold->dir));
        if (sqlite_hold_start_helper(dir, db->uid, db->gid, 0, 0, &helper, err) < 0 ||
            sqlite_hold_compare(db->hold, db->uid, dir, helper, err) < 0)
                return err_wrap(err, "verifying '%s'", copy);
        /* Last, as it reads every page: that each can be read, and belongs to something. */
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(helper, SQLITE_OP_INTEGRITY, dir->entries[i].name, 0, -1,
                                      err) < 0)
                        return err_wrap(err, "verifying '%s'", copy);
        return 0;
}

static int sqlite_set_writable(struct db *db, const char *schema, bool writable, struct err *err)
{
        /* A view that nobody waits for must not be who "still uses it". */
        if (db->hold != NULL && !db->hold->held && strcmp(db->hold->schema, schema) == 0)
                forget_hold(db);
        return (writable ? sqlite_mode_thaw : sqlite_mode_freeze)(db->root_fd, schema, db->uid,
                                                                  db->gid, err);
}

/* What a copy by pages would take.  Clones take less, and nobody can say how much less for how
 * long. */
static int sqlite_size(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        if (sqlite_dir_open(db->root_fd, schema, db->uid, &dir, err) < 0)
                return -1;
        *ret_bytes = sqlite_dir_bytes(dir);
        return 0;
}

/* Under its own name a copy is whole: it gets the name of debris before it is taken apart. */
static int sqlite_drop(struct db *db, const char *copy, struct err *err)
{
        char partial[SQLITE_COPY_PARTIAL_MAX];

        if (sqlite_dir_name_valid(copy, err) < 0)
                return -1;
        sqlite_copy_partial(copy, partial);
        if (sqlite_dir_remove(db->root_fd, partial, err) < 0)
                return -1;
        if (renameat2(db->root_fd, copy, db->root_fd, partial, RENAME_NOREPLACE) < 0)
                return errno == ENOENT ? 0 : err_fail(err, ERR_IO, errno, "cannot drop '%s'", copy);
        if (file_sync_dir(db->root_fd, err) < 0)
                return -1;
        return sqlite_dir_remove(db->root_fd, partial, err);
}

/* Clones take milliseconds whatever the size.  Bytes go at a gigabyte a second at best, which is
 * what is said: writers of a database that is copied in the hold wait for no less. */
static int sqlite_forecast(struct db *db, const char *schema, struct db_forecast *ret_forecast,
                           struct err *err)
{
        struct db_forecast forecast = { .way = DB_WAY_FILES };
        bool in_hold, clones;
        uint64_t bytes;

        if (sqlite_hold_plan(db->root_fd, schema, db->uid, &in_hold, &clones, err) < 0 ||
            sqlite_size(db, schema, &bytes, err) < 0)
                return -1;
        forecast.copy_msec = clones ? CLONE_MSEC : bytes / BYTES_PER_MSEC + CLONE_MSEC;
        forecast.stall_msec = in_hold ? forecast.copy_msec : CLONE_MSEC;
        forecast.disk_bytes = clones ? 0 : bytes;
        if (!clones && !in_hold)
                forecast.way = DB_WAY_SNAPSHOT;
        (void)snprintf(forecast.why, sizeof(forecast.why), "%s",
                       clones    ? "the file system clones the files, which takes no room at first"
                       : in_hold ? "the database is not in WAL mode, so writers wait for the copy"
                                 : "pages are read in an instant of their own while writers go on");
        *ret_forecast = forecast;
        return 0;
}

static int sqlite_fingerprint(struct db *db, const char *schema, char **ret_text, struct err *err)
{
        const struct sqlite_where where = { db->root_fd, db->uid, db->gid };

        return sqlite_read_fingerprint(&where, schema, ret_text, err);
}

static int sqlite_diff(struct db *db, const char *from, const char *to, db_row_report report,
                       void *arg, struct err *err)
{
        const struct sqlite_where where = { db->root_fd, db->uid, db->gid };

        return sqlite_read_diff(&where, from, to, report, arg, err);
}

/* Writers wait for it: a schema that is in use is copied first, and the copy is dumped. */
static int sqlite_dump(struct db *db, const char *schema, db_sink sink, void *arg, struct err *err)
{
        CLEANUP(sqlite_hold_endp) struct sqlite_hold *hold = NULL;

        return sqlite_hold_begin(db->root_fd, schema, db->uid, db->gid, 0, &hold, err) < 0
                       ? -1
                       : sqlite_dump_write(hold, db->uid, sink, arg, err);
}

static int sqlite_load(struct db *db, const char *to, db_source source, void *arg, struct err *err)
{
        const struct sqlite_load load = { db->root_fd, db->uid, db->gid, to, source, arg };

        return sqlite_dump_load(&load, err);
}

static int sqlite_list(struct db *db, db_visit visit, void *arg, struct err *err)
{
        CLEANUP(closep) int fd = openat(db->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (dir == NULL)
                return err_fail(err, ERR_IO, errno, "the directory of the SQLite schemas");
        (void)steal_fd(&fd);
        while ((entry = readdir(dir)) != NULL)
                if (db_is_copy_name(entry->d_name) && visit(entry->d_name, arg, err) < 0)
                        return -1;
        return 0;
}

const struct db_driver db_driver_sqlite = {
        .name = "sqlite",
        .open = sqlite_open,
        .close = sqlite_close,
        .features = sqlite_features,
        .check = sqlite_check,
        .hold = sqlite_hold,
        .release = sqlite_release,
        .copy = sqlite_copy,
        .exists = sqlite_exists,
        .verify = sqlite_verify,
        .set_writable = sqlite_set_writable,
        .size = sqlite_size,
        .drop = sqlite_drop,
        .forecast = sqlite_forecast,
        .fingerprint = sqlite_fingerprint,
        .diff = sqlite_diff,
        .dump = sqlite_dump,
        .load = sqlite_load,
        .list = sqlite_list,
};
