/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_DBDRIVER_H
#define DBDUMP_DBDRIVER_H

/*
 * Database drivers.
 *
 * A driver copies one schema to another on the same server and can throw the copy away.  A schema
 * is whatever the engine keeps a site's tables in: a database (MariaDB), a schema (PostgreSQL), a
 * directory of database files (SQLite).
 *
 * Copies are only ever named by db_copy_name(), and drop() is only ever reached through db_drop(),
 * which refuses any other name.  A driver therefore cannot be talked into dropping a customer's
 * live schema.
 *
 * What the journal relies on, for every driver (tests/driver/db_conformance.c checks it):
 *
 *   - A copy is whole or absent after a crash, never partial: it is made under a name that says
 *     so (ending in ".partial" or the engine's like) and appears under its own.
 *   - A call is repeatable.
 *   - What a call did is on stable storage when it returns.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define DB_NAME_MAX 64 /* bytes with the NUL: the narrowest engine is MariaDB */

struct db; /* a connection; the driver's own */

/* How a copy is made.  Every way gives the same copy; they differ in time, room, what they need
 * from the server and how long writers wait. */
enum db_way {
        DB_WAY_AUTO,     /* the best that the server and the schema allow */
        DB_WAY_SNAPSHOT, /* rows, read in consistent views that were opened in the hold */
        DB_WAY_FILES,    /* the server's own files, cloned where the file system can */
        DB_WAY_DUMP,     /* through a dump; the slowest, and the one that needs least */
};

struct db_conf {
        int root_fd;             /* SQLite: the directory that holds the schemas; stays open as
                                  * long as the connection */
        uid_t owner_uid;         /* who the files of a copy belong to, when they are files */
        gid_t owner_gid;
        const char *socket_path; /* or NULL for host and port */
        const char *host;
        uint16_t port;
        const char *user;
        int secret_fd;           /* password is read from here, never logged; -1 for none */
        unsigned timeout_msec;   /* a statement, not a copy */
        const char *database;    /* PostgreSQL: the database in which the schemas lie; NULL: a
                                  * schema of ours is a database of its own */
        const char *table_prefix; /* only tables whose names begin so are the site's; NULL: all */
        const char *app_user;    /* the site's user on the server (MariaDB: name or name@host), who
                                  * loses and gets writing by set_writable(); NULL: none is held
                                  * to anything */
        enum db_way way;
        int files_fd;            /* MariaDB: a socket to who handles the server's files
                                  * (mariadb_keeper.h), which is the driver's then; 0: nobody */
        unsigned streams;        /* of a copy at most; 0: 2 */
};

struct db_progress {
        uint64_t tables_done, tables_all, rows_done, bytes_done, bytes_all;
};

/* Return -1 to stop the copy; copy() then removes what it had made. */
typedef int (*db_report)(const struct db_progress *progress, void *arg, struct err *err);

/* What a copy by the way that would be taken costs; a guess from sizes, made in milliseconds. */
struct db_forecast {
        enum db_way way;       /* never DB_WAY_AUTO */
        uint64_t copy_msec;    /* of which writers wait: */
        uint64_t stall_msec;
        uint64_t disk_bytes;   /* what the copy takes on the server's disk */
        char why[160];         /* why this way and no quicker one, for a person */
};

/* A row that two schemas do not have alike. */
enum db_change {
        DB_ROW_INSERTED, /* only in "to" */
        DB_ROW_CHANGED,
        DB_ROW_DELETED,  /* only in "from" */
};
struct db_value {
        const char *bytes; /* as text, or raw bytes of a binary column; NULL: SQL's NULL */
        size_t size;
};
struct db_row_change {
        const char *table;
        enum db_change change;
        bool whole;                  /* the table has no key that tells rows apart: a changed row
                                      * shows as one deleted and one inserted */
        size_t n_columns;
        const char *const *columns;  /* names; the key's come first */
        size_t n_key;
        const struct db_value *from, *to; /* n_columns each; NULL where there is no such row */
};
/* Return -1 to stop; what is pointed to lives until the return. */
typedef int (*db_row_report)(const struct db_row_change *row, void *arg, struct err *err);

/* Bytes of a dump, out and in.  A source returns how many bytes it gave, 0 at the end, or -1. */
typedef int (*db_sink)(const void *bytes, size_t size, void *arg, struct err *err);
typedef ssize_t (*db_source)(void *bytes, size_t size, void *arg, struct err *err);

/* Called with one name; -1 stops. */
typedef int (*db_visit)(const char *schema, void *arg, struct err *err);

enum db_feature {
        DB_COPY_CONSISTENT = 1 << 0, /* writes may go on during copy() */
        DB_COPY_IN_HOLD = 1 << 1,    /* copy() must be called between hold() and release(): it is
                                      * a reflink and takes no time, or there is no snapshot */
};

struct db_driver {
        const char *name; /* "mariadb"; stored in the catalog, never changed */

        int (*open)(const struct db_conf *conf, struct db **ret_db, struct err *err);
        void (*close)(struct db *db); /* NULL is fine; releases a hold */

        /* enum db_feature, as they are for this schema where it lies now. */
        int (*features)(struct db *db, const char *schema, unsigned *ret_features, struct err *err);

        /* Is the server new enough, and are we allowed what the calls below need?  ERR_DENIED
         * names the missing grant; ERR_NOT_FOUND the missing schema.  Changes nothing. */
        int (*check)(struct db *db, const char *schema, struct err *err);

        /* Open a consistent view of schema and hold its writers until release(), the deadline, or
         * the end of this process, whichever is first.  The tree is captured in between, so that
         * both halves of a version show one instant.  ERR_BUSY: a writer did not let us in. */
        int (*hold)(struct db *db, const char *schema, unsigned deadline_msec, struct err *err);

        /* Writers go on; the view stays.  ERR_TIMEOUT: the deadline had passed before, so the
         * instant is lost and the operation must be taken back. */
        int (*release)(struct db *db, struct err *err);

        /* Copy what the view opened by hold() saw into to, which appears whole at the end.
         * Without a hold it is a copy of one instant all the same.  report may be NULL.
         * ERR_NO_SPACE before anything is written, where the engine can tell. */
        int (*copy)(struct db *db, const char *from, const char *to, db_report report, void *arg,
                    struct err *err);

        int (*exists)(struct db *db, const char *schema, bool *ret_exists, struct err *err);

        /* Every object and row count of the view that copy was made from is in copy and the other
         * way round, and the copy passes the engine's integrity check; ERR_CORRUPT names the
         * first that is not.  Called after copy() on the same connection. */
        int (*verify)(struct db *db, const char *schema, const char *copy, struct err *err);

        /* May the site's user write to schema?  A kept version's copy is read-only until it is
         * active. */
        int (*set_writable)(struct db *db, const char *schema, bool writable, struct err *err);

        int (*size)(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *err);

        int (*drop)(struct db *db, const char *copy, struct err *err); /* use db_drop() */

        /* Which way copy() would go now, and what it costs.  ERR_UNSUPPORTED: the way that the
         * configuration forces is not possible, with the reason. */
        int (*forecast)(struct db *db, const char *schema, struct db_forecast *ret_forecast,
                        struct err *err);

        /* The schema's objects as text: one line for each table, column, index, key, view, trigger,
         * routine, event, sequence and type, sorted.  Two schemas with the same objects give the
         * same text, whatever their names and wherever they lie.  The caller frees. */
        int (*fingerprint)(struct db *db, const char *schema, char **ret_text, struct err *err);

        /* Report every row that differs, table by table, in memory that does not grow with the
         * tables.  Tables and columns that only one side has are not compared row by row: the
         * fingerprints tell them; of common tables the common columns are compared. */
        int (*diff)(struct db *db, const char *from, const char *to, db_row_report report,
                    void *arg, struct err *err);

        /* A portable dump of one instant of the schema, and a new copy made from one.  load()
         * leaves to whole or absent and reads what it is given as data of a stranger: nothing in
         * it reaches another schema, another user or a file.  ERR_CORRUPT names what is wrong. */
        int (*dump)(struct db *db, const char *schema, db_sink sink, void *arg, struct err *err);
        int (*load)(struct db *db, const char *to, db_source source, void *arg, struct err *err);

        /* Visit every schema where ours lie whose name db_is_copy_name() takes for a copy, whoever
         * made it; what is unfinished is not visited.  Only told of, never dropped for it.  NULL:
         * the engine cannot tell. */
        int (*list)(struct db *db, db_visit visit, void *arg, struct err *err);
};

extern const struct db_driver db_driver_sqlite, db_driver_mariadb, db_driver_postgres;

/* db_driver_by_name(table, name): The entry of a NULL-terminated table, or NULL. */
const struct db_driver *db_driver_by_name(const struct db_driver *const *table, const char *name);

/* db_copy_name(base, serial, name): "snap<serial>_<base>", base cut to fit and reduced to
 * [a-z0-9_].  The serial is the catalog's and never used twice, so names are unique and none is
 * another's prefix. */
void db_copy_name(const char *base, uint64_t serial, char name[static DB_NAME_MAX]);

/* db_is_copy_name(name): Has db_copy_name() made it? */
bool db_is_copy_name(const char *name);

/* db_drop(driver, db, name, err): Drop a copy; one that is not there is dropped already.
 * ERR_INVALID: ${name} is not a copy's name. */
int db_drop(const struct db_driver *driver, struct db *db, const char *name,
            struct err *err) MUST_CHECK;

#endif
