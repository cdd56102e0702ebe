/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "dbdump/mariadb_copy.h"
#include "dbdump/mariadb_files.h"
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_grants.h"
#include "dbdump/mariadb_keys.h"
#include "dbdump/mariadb_mark.h"
#include "dbdump/mariadb_objects.h"
#include "dbdump/mariadb_stream.h"

#define SPACE_SPARE (16 << 20) /* an InnoDB table without rows, and the log */

int mariadb_copy_report(struct mariadb_copy *copy, struct err *err)
{
        struct mariadb_hold *hold = copy->hold;

        if (hold->held && hold->deadline_usec != 0 && mariadb_tables_in_hold(&hold->tables) &&
            mariadb_hold_check(hold, err) < 0)
                return -1;
        return copy->report == NULL ? 0 : copy->report(&copy->progress, copy->arg, err);
}

/* Only where the server's directory is to be seen from here, which is where it says it is and has
 * this very schema in it. */
static int check_space(const struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(freep) char *directory = NULL;
        uint64_t need = copy->progress.bytes_all + SPACE_SPARE, room;
        struct statvfs vfs;
        struct stat st;

        if (copy->login->socket_path == NULL)
                return 0;
        if (mariadb_text(copy->control, &directory, err, "SELECT @@datadir") < 0)
                return -1;
        if (directory == NULL || stat(directory, &st) < 0 || statvfs(directory, &vfs) < 0)
                return 0;
        room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
        if (room >= need)
                return 0;
        return err_fail(err, ERR_NO_SPACE, 0,
                        "a copy of '%s' needs %" PRIu64 " MB and the database server's disk has "
                        "%" PRIu64 " MB free",
                        copy->hold->schema, (need >> 20) + 1, room >> 20);
}

/* A schema of our own name, and nobody's else. */
static int check_target(const struct mariadb_copy *copy, struct err *err)
{
        bool there, whole;

        if (db_is_copy_name(copy->to))
                return 0;
        if (mariadb_mark_schema(copy->control, copy->to, &there, &whole, err) < 0)
                return -1;
        return err_fail(err, there ? ERR_EXISTS : ERR_INVALID, 0,
                        "'%s' is not a copy of ours and is not made into one", copy->to);
}

struct defaults {
        char charset[128], collation[128];
};

static int take_defaults(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct defaults *defaults = arg;

        (void)sizes;
        (void)err;
        (void)snprintf(defaults->charset, sizeof(defaults->charset), "%s", values[0]);
        (void)snprintf(defaults->collation, sizeof(defaults->collation), "%s", values[1]);
        return 0;
}

static int make_schema(const struct mariadb_copy *copy, struct err *err)
{
        struct defaults defaults = { 0 };

        if (mariadb_each(copy->control, take_defaults, &defaults, err,
                         "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME"
                         " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %L",
                         copy->hold->schema) < 0)
                return -1;
        if (defaults.charset[0] == '\0')
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no database '%s'",
                                copy->hold->schema);
        if (mariadb_mark_set(copy->control, copy->to, err) < 0 ||
            mariadb_mark_remove(copy->control, copy->to, err) < 0 ||
            mariadb_mark_set(copy->control, copy->to, err) < 0)
                return -1;
        return mariadb_run(copy->control, err, "CREATE DATABASE %I CHARACTER SET %s COLLATE %s",
                           copy->to, defaults.charset, defaults.collation);
}

/* Counters that the rows do not explain: rows were deleted, or it was set.  Taken from now and not
 * from the instant, a counter is only ever too high. */
static int set_counters(const struct mariadb_copy *copy, struct err *err)
{
        for (size_t i = 0; i < copy->hold->tables.n; i++) {
                const struct mariadb_table *table = &copy->hold->tables.all[i];
                uint64_t wanted, is;

                if (table->kind == MARIADB_SEQUENCE)
                        continue;
                if (mariadb_number(copy->control, &wanted, err,
                                   "SELECT AUTO_INCREMENT FROM information_schema.TABLES"
                                   " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L",
                                   copy->hold->schema, table->name) < 0)
                        return -1;
                if (wanted <= 1)
                        continue;
                if (mariadb_number(copy->control, &is, err,
                                   "SELECT AUTO_INCREMENT FROM information_schema.TABLES"
                                   " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L",
                                   copy->to, table->name) < 0)
                        return -1;
                if (is < wanted &&
                    mariadb_run(copy->control, err, "ALTER TABLE %I.%I AUTO_INCREMENT=%U", copy->to,
                                table->name, wanted) < 0)
                        return err_wrap(err, "the counter of '%s'", table->name);
        }
        return 0;
}

static int check_unchanged(const struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(freep) char *objects = NULL;
        char line[200];

        if (mariadb_fingerprint(copy->control, copy->hold->schema, copy->prefix, &objects, err) < 0)
                return -1;
        if (!mariadb_fingerprint_differs(copy->hold->objects, objects, line, sizeof(line)))
                return 0;
        return err_fail(err, ERR_BUSY, 0, "'%s' was changed while it was copied: '%s'; try again",
                        copy->hold->schema, line);
}

/* First, so that what the server does not take is streamed with the others. */
static int put_files(struct mariadb_copy *copy, struct err *err)
{
        return copy->hold->views[copy->hold->n_views] == NULL
                       ? 0
                       : mariadb_files_put(copy->files, copy, err);
}

static int fill_schema(struct mariadb_copy *copy, struct err *err)
{
        return mariadb_keys_check(copy->control, copy->hold->schema, copy->prefix, err) < 0 ||
                               make_schema(copy, err) < 0 || put_files(copy, err) < 0 ||
                               mariadb_stream_tables(copy, err) < 0 ||
                               set_counters(copy, err) < 0 ||
                               (copy->app_user != NULL &&
                                mariadb_grants_set(copy->control, copy->to, copy->app_user, true,
                                                   err) < 0) ||
                               mariadb_objects_copy(copy->control, copy->hold->schema, copy->to,
                                                    copy->prefix, err) < 0 ||
                               check_unchanged(copy, err) < 0
                       ? -1
                       : mariadb_mark_clear(copy->control, copy->to, err);
}

int mariadb_copy_make(struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *second = NULL;
        struct err ignored;

        copy->progress = (struct db_progress){ .tables_all = copy->hold->tables.n };
        for (size_t i = 0; i < copy->hold->tables.n; i++)
                copy->progress.bytes_all += copy->hold->tables.all[i].bytes;
        if (check_target(copy, err) < 0 || check_space(copy, err) < 0 ||
            mariadb_copy_report(copy, err) < 0)
                return -1;
        if (fill_schema(copy, err) == 0)
                return 0;
        /* The mark stands when this fails too, so whatever is left is nobody's copy. */
        if (mariadb_conn_open(copy->login, &second, &ignored) < 0 ||
            mariadb_mark_remove(second, copy->to, &ignored) < 0)
                return -1;
        return -1;
}
