/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/mariadb_files.h"
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_hold.h"
#include "dbdump/mariadb_mark.h"

/* A lock that waits holds the tables it has already, and a transaction that wants those next is in
 * a deadlock, of which the server makes the writer the victim.  So at first nothing is waited for:
 * the lock is had at a moment at which no transaction has written, or not at all. */
#define GLANCE_USEC 3000
/* Where there is no such moment, writers queue behind us for so long at a time, and go on for so
 * long in between. */
#define TRY_MSEC   150
#define PAUSE_MSEC 100
/* For that long we try when there is no deadline. */
#define NO_DEADLINE_MSEC 10000

/* Engines whose rows we can read and write.  Others keep them elsewhere. */
static const struct {
        const char *name;
        bool in_view;
} engines[] = {
        { "InnoDB", true },  { "MyISAM", false },  { "Aria", false },
        { "MEMORY", false }, { "ARCHIVE", false }, { "CSV", false },
};

void mariadb_tables_done(struct mariadb_tables *tables)
{
        for (size_t i = 0; i < tables->n; i++) {
                free(tables->all[i].name);
                free(tables->all[i].file);
        }
        free(tables->all);
        *tables = (struct mariadb_tables){ 0 };
}

static int add_table(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct mariadb_tables *tables = arg;
        struct mariadb_table *all, *table;
        size_t i = 0;

        (void)sizes;
        if (values[1] == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the server cannot open the table '%s': %s",
                                values[0], values[4] == NULL ? "no reason given" : values[4]);
        while (i < sizeof(engines) / sizeof(engines[0]) &&
               strcasecmp(engines[i].name, values[1]) != 0)
                i++;
        if (i == sizeof(engines) / sizeof(engines[0]))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the table '%s' is of the engine %s, whose rows cannot be copied; "
                                "use InnoDB, Aria or MyISAM",
                                values[0], values[1]);
        all = reallocarray(tables->all, tables->n + 1, sizeof(*all));
        if (all == NULL)
                return err_oom(err);
        tables->all = all;
        table = &all[tables->n];
        *table = (struct mariadb_table){
                .name = strdup(values[0]),
                .in_view = engines[i].in_view,
                .kind = strcmp(values[5], "SEQUENCE") == 0           ? MARIADB_SEQUENCE
                        : strcmp(values[5], "SYSTEM VERSIONED") == 0 ? MARIADB_VERSIONED
                                                                     : MARIADB_TABLE,
                .rows = values[2] == NULL ? 0 : strtoull(values[2], NULL, 10),
                .bytes = values[3] == NULL ? 0 : strtoull(values[3], NULL, 10),
        };
        (void)snprintf(table->engine, sizeof(table->engine), "%s", engines[i].name);
        if (table->name == NULL)
                return err_oom(err);
        tables->n++;
        return 0;
}

int mariadb_tables_list(struct mariadb_conn *conn, const char *schema, const char *prefix,
                        struct mariadb_tables *ret_tables, struct err *err)
{
        struct mariadb_tables tables = { 0 };
        const char *begin = prefix == NULL ? "" : prefix;

        /* LEFT() and not LIKE: an underscore is no pattern here.  Bytes, as names are compared by
         * the server as its file system does. */
        if (mariadb_each(conn, add_table, &tables, err,
                         "SELECT TABLE_NAME, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH,"
                         " TABLE_COMMENT, TABLE_TYPE FROM information_schema.TABLES"
                         " WHERE TABLE_SCHEMA = %L AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')"
                         " AND BINARY LEFT(TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L"
                         " ORDER BY TABLE_TYPE <> 'SEQUENCE', DATA_LENGTH + INDEX_LENGTH DESC, "
                         "TABLE_NAME",
                         schema, begin, begin) < 0) {
                mariadb_tables_done(&tables);
                return -1;
        }
        *ret_tables = tables;
        return 0;
}

bool mariadb_tables_in_hold(const struct mariadb_tables *tables)
{
        for (size_t i = 0; i < tables->n; i++)
                if (!tables->all[i].in_view)
                        return true;
        return false;
}

/* The server's own watch over us.  It counts from our last word on this connection, and while rows
 * are sent from when we last took some. */
static int set_watch(struct mariadb_conn *conn, unsigned msec, struct err *err)
{
        unsigned sec = (msec + 999) / 1000;

        return mariadb_run(conn, err,
                           "SET SESSION wait_timeout=%u, lock_wait_timeout=%u, "
                           "net_write_timeout=%u",
                           sec, sec, sec);
}

/* One try, from which the writers that queue behind us are freed when it takes too long. */
static int try_lock(struct mariadb_conn *lock, struct mariadb_sql *sql, int msec, bool *ret_locked,
                    struct err *err)
{
        struct err why;

        if (mariadb_send(lock, sql, err) < 0)
                return -1;
        if (!mariadb_wait(lock, msec))
                mariadb_kill(lock, true);
        if (mariadb_finish(lock, &why) == 0) {
                *ret_locked = true;
                return 0;
        }
        if (why.code != ERR_BUSY) {
                *err = why;
                return -1;
        }
        *ret_locked = false;
        return 0;
}

static void name_tables(const struct mariadb_hold *hold, struct mariadb_sql *sql)
{
        for (size_t i = 0; i < hold->tables.n; i++)
                mariadb_sql_add(sql, "%s %I.%I READ", i == 0 ? "LOCK TABLES" : ",", hold->schema,
                                hold->tables.all[i].name);
}

/* With the one to count in. */
static unsigned count_views(const struct mariadb_hold *hold)
{
        return hold->n_views + (hold->views[hold->n_views] != NULL);
}

/* Every connection that reads under the lock, or none. */
static int try_all(struct mariadb_hold *hold, struct mariadb_sql *sql, int msec, bool *ret_locked,
                   struct err *err)
{
        unsigned n = 0;

        if (try_lock(hold->lock, sql, msec, ret_locked, err) < 0)
                return -1;
        while (*ret_locked && hold->in_hold && n < count_views(hold))
                if (try_lock(hold->views[n++], sql, msec, ret_locked, err) < 0)
                        return -1;
        if (*ret_locked)
                return 0;
        if (mariadb_run(hold->lock, err, "UNLOCK TABLES") < 0)
                return -1;
        while (n > 0)
                if (mariadb_run(hold->views[--n], err, "UNLOCK TABLES") < 0)
                        return -1;
        return 0;
}

/* MySQL's LOCK TABLES has no NOWAIT. */
static int lock_tables(struct mariadb_hold *hold, unsigned msec, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql glance = { 0 }, wait = { 0 };
        int64_t begin = clock_boot_usec(), until = begin + (int64_t)msec * 1000;
        int64_t glance_until = hold->lock->is_mariadb ? begin + (int64_t)msec * 500 : begin;
        bool locked = hold->tables.n == 0;

        name_tables(hold, &wait);
        name_tables(hold, &glance);
        mariadb_sql_add(&glance, " NOWAIT");
        while (!locked) {
                int64_t now = clock_boot_usec(), left = (until - now) / 1000;
                bool glancing = now < glance_until;

                if (now >= until)
                        return err_fail(err, ERR_BUSY, 0,
                                        "a transaction that writes to '%s' did not let us in",
                                        hold->schema);
                if (try_all(hold, glancing ? &glance : &wait,
                            left < TRY_MSEC ? (int)left + 1 : TRY_MSEC, &locked, err) < 0)
                        return err_wrap(err, "locking the tables of '%s'", hold->schema);
                if (!locked)
                        (void)usleep(glancing ? GLANCE_USEC : PAUSE_MSEC * 1000);
        }
        hold->held = hold->tables.n > 0;
        return 0;
}

/* The list is from before the lock: a table that came or went in between is seen now. */
static int check_tables(struct mariadb_hold *hold, const char *prefix, struct err *err)
{
        const char *begin = prefix == NULL ? "" : prefix;
        uint64_t n;

        if (mariadb_number(hold->views[0], &n, err,
                           "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %L"
                           " AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')"
                           " AND BINARY LEFT(TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L",
                           hold->schema, begin, begin) < 0)
                return -1;
        if (n != hold->tables.n)
                return err_fail(err, ERR_BUSY, 0,
                                "a table of '%s' was made or dropped just now; try again",
                                hold->schema);
        return 0;
}

static int open_views(struct mariadb_hold *hold, struct err *err)
{
        for (unsigned i = 0; i < count_views(hold) && !hold->in_hold; i++)
                if (mariadb_run(hold->views[i], err, "START TRANSACTION WITH CONSISTENT SNAPSHOT") <
                    0)
                        return err_wrap(err, "opening a view of '%s'", hold->schema);
        return 0;
}

static int set_watches(struct mariadb_hold *hold, unsigned msec, struct err *err)
{
        hold->in_hold = mariadb_tables_in_hold(&hold->tables);
        if (msec == 0)
                return 0;
        if (set_watch(hold->lock, msec, err) < 0 ||
            (hold->exporter != NULL && set_watch(hold->exporter, msec, err) < 0))
                return -1;
        for (unsigned i = 0; i < count_views(hold) && hold->in_hold; i++)
                if (set_watch(hold->views[i], msec, err) < 0)
                        return -1;
        return 0;
}

static int connect_all(const struct mariadb_login *login, struct mariadb_hold *hold,
                       struct err *err)
{
        if (mariadb_conn_open(login, &hold->lock, err) < 0)
                return -1;
        for (unsigned i = 0; i < hold->n_views; i++)
                if (mariadb_conn_open(login, &hold->views[i], err) < 0)
                        return -1;
        return 0;
}

static bool any_by_file(const struct mariadb_tables *tables)
{
        for (size_t i = 0; i < tables->n; i++)
                if (tables->all[i].by_file)
                        return true;
        return false;
}

/* Which tables go as files; for them there is one more view, and who exports them. */
static int choose_files(const struct mariadb_login *login, struct mariadb_hold *hold,
                        struct mariadb_files *files, struct err *err)
{
        struct db_forecast unused;

        if (files == NULL)
                return 0;
        if (mariadb_files_choose(files, hold->lock, hold->schema, &hold->tables, &unused, err) < 0)
                return -1;
        if (!any_by_file(&hold->tables))
                return 0;
        return mariadb_files_settle(login, err) < 0 ||
                               mariadb_conn_open(login, &hold->exporter, err) < 0
                       ? -1
                       : mariadb_conn_open(login, &hold->views[hold->n_views], err);
}

static int take_files(struct mariadb_hold *hold, struct mariadb_files *files, struct err *err)
{
        return hold->exporter == NULL ? 0 : mariadb_files_take(files, hold, err);
}

static inline void hold_endp(struct mariadb_hold **hold)
{
        mariadb_hold_end(*hold);
}

int mariadb_hold_begin_files(const struct mariadb_login *login, const char *schema,
                             const char *prefix, unsigned n_views, unsigned deadline_msec,
                             struct mariadb_files *files, struct mariadb_hold **ret_hold,
                             struct err *err)
{
        CLEANUP(hold_endp) struct mariadb_hold *hold = calloc(1, sizeof(*hold));

        if (hold == NULL)
                return err_oom(err);
        hold->n_views = n_views;
        if (deadline_msec != 0)
                hold->deadline_usec = clock_boot_usec() + (int64_t)deadline_msec * 1000;
        if (strlen(schema) >= sizeof(hold->schema))
                return err_fail(err, ERR_INVALID, 0, "'%.80s...' is too long for a name", schema);
        (void)snprintf(hold->schema, sizeof(hold->schema), "%s", schema);

        /* All that takes time comes before the lock. */
        if (connect_all(login, hold, err) < 0 || mariadb_mark_need(hold->lock, schema, err) < 0 ||
            mariadb_tables_list(hold->lock, schema, prefix, &hold->tables, err) < 0 ||
            mariadb_fingerprint(hold->lock, schema, prefix, &hold->objects, err) < 0 ||
            choose_files(login, hold, files, err) < 0 ||
            set_watches(hold, deadline_msec, err) < 0 ||
            lock_tables(hold, deadline_msec != 0 ? deadline_msec : NO_DEADLINE_MSEC, err) < 0 ||
            open_views(hold, err) < 0 || take_files(hold, files, err) < 0 ||
            check_tables(hold, prefix, err) < 0)
                return -1;
        *ret_hold = STEAL(hold);
        return 0;
}

int mariadb_hold_begin(const struct mariadb_login *login, const char *schema, const char *prefix,
                       unsigned n_views, unsigned deadline_msec, struct mariadb_hold **ret_hold,
                       struct err *err)
{
        return mariadb_hold_begin_files(login, schema, prefix, n_views, deadline_msec, NULL,
                                        ret_hold, err);
}

/* The server closes the connection when the deadline is over; nobody else says anything there. */
int mariadb_hold_check(struct mariadb_hold *hold, struct err *err)
{
        if (!hold->held || (hold->deadline_usec != 0 && clock_boot_usec() > hold->deadline_usec) ||
            mariadb_wait(hold->lock, 0))
                return err_fail(err, ERR_TIMEOUT, 0, "the deadline of the hold on '%s' has passed",
                                hold->schema);
        return 0;
}

int mariadb_hold_release(struct mariadb_hold *hold, struct err *err)
{
        int r = hold->tables.n == 0 ? 0 : mariadb_hold_check(hold, err);
        struct err why;

        /* Closing is what lets go for certain, whatever is answered. */
        if (r == 0 && hold->tables.n > 0 && mariadb_run(hold->lock, &why, "UNLOCK TABLES") < 0)
                r = err_fail(err, ERR_TIMEOUT, 0, "the deadline of the hold on '%s' has passed: %s",
                             hold->schema, why.msg);
        mariadb_disconnect(hold->lock);
        hold->lock = NULL;
        hold->held = false;
        for (unsigned i = 0; i < count_views(hold) && hold->in_hold; i++) {
                mariadb_disconnect(hold->views[i]);
                hold->views[i] = NULL;
        }
        return r;
}

void mariadb_hold_end(struct mariadb_hold *hold)
{
        if (hold == NULL)
                return;
        mariadb_disconnect(hold->lock);
        mariadb_disconnect(hold->exporter);
        for (unsigned i = 0; i <= hold->n_views; i++)
                mariadb_disconnect(hold->views[i]);
        mariadb_tables_done(&hold->tables);
        free(hold->objects);
        free(hold);
}
