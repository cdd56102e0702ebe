/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_HOLD_H
#define DBDUMP_MARIADB_HOLD_H

/*
 * One instant of a schema, and its writers held.
 *
 * LOCK TABLES ... READ of the schema's base tables on one connection lets no transaction that
 * wrote stay open and no new one write; other schemas are not touched.  Under it every view
 * begins its transaction WITH CONSISTENT SNAPSHOT, so that all see the same rows, for as long as
 * they live.  Between the first and the last view nothing can be written, so no server-wide lock
 * is needed.
 *
 * The lock ends with its connection: when we are killed, at once; when we are stopped, when the
 * server has not heard from us for the deadline (wait_timeout, which counts whole seconds: at most
 * one more than asked).
 *
 * A table of an engine without transactions (MyISAM, Aria, MEMORY) has no view; it must be read
 * before the release.  In a schema with such tables the views are connections with the same lock:
 * who came later, to wait for a table, lets nobody read it who has no lock already.
 */

#include "dbdump/mariadb_conn.h"

#define MARIADB_STREAMS_MAX 8

enum mariadb_table_kind {
        MARIADB_TABLE,
        MARIADB_SEQUENCE,
        MARIADB_VERSIONED, /* WITH SYSTEM VERSIONING */
};

/* Behind the name of a table of the site's that is read.  It changes nothing for a table, and a
 * view has no indexes to name: the server refuses one that has been put in a table's place since we
 * looked, before any function of a stranger's runs with our rights. */
#define MARIADB_NO_VIEW " USE INDEX FOR GROUP BY ()"

/* A base table as the lists of the server tell of it. */
struct mariadb_table {
        char *name;
        char engine[64];
        enum mariadb_table_kind kind;
        bool in_view;         /* of an engine with consistent snapshots */
        uint64_t rows, bytes; /* guesses of the server; indexes too */
        bool keys_later;      /* its plain keys are made when it has its rows */
        uint64_t copied;      /* rows that were streamed */
        bool by_file;         /* goes as a file (mariadb_files.h), and then: */
        char *file;           /* its name in the server's directory, or NULL */
        uint32_t slot;        /* where it was taken to */
};

struct mariadb_tables {
        struct mariadb_table *all;
        size_t n;
};

struct mariadb_hold {
        char schema[DB_NAME_MAX * 4];
        struct mariadb_conn *lock;
        struct mariadb_conn *views[MARIADB_STREAMS_MAX + 1];
        unsigned n_views;              /* to stream from; behind them is one more, to count in,
                                        * where files were taken */
        struct mariadb_conn *exporter; /* while files are taken */
        int64_t deadline_usec;         /* 0: none */
        bool held;
        bool in_hold;                 /* the views end with the hold */
        struct mariadb_tables tables; /* sequences, then by size, largest first */
        char *objects;                /* the fingerprint from before the lock */
};

/* mariadb_tables_list(conn, schema, prefix, ret_tables, err): The base tables whose names begin
 * with ${prefix} (NULL: all).  ERR_UNSUPPORTED names a table of an engine whose rows are not here.
 * The caller frees with mariadb_tables_done(). */
int mariadb_tables_list(struct mariadb_conn *conn, const char *schema, const char *prefix,
                        struct mariadb_tables *ret_tables, struct err *err) MUST_CHECK;
void mariadb_tables_done(struct mariadb_tables *tables);

/* mariadb_tables_in_hold(tables): Is there one with rows that no view shows? */
bool mariadb_tables_in_hold(const struct mariadb_tables *tables);

/* mariadb_hold_begin(login, schema, prefix, n_views, deadline_msec, ret_hold, err): ERR_BUSY: a
 * writer did not let us in before the deadline; none was made to wait longer than a fifth of a
 * second at a time meanwhile. */
int mariadb_hold_begin(const struct mariadb_login *login, const char *schema, const char *prefix,
                       unsigned n_views, unsigned deadline_msec, struct mariadb_hold **ret_hold,
                       struct err *err) MUST_CHECK;

/* mariadb_hold_begin_files(...): The same, and files are taken where that is the way. */
struct mariadb_files;
int mariadb_hold_begin_files(const struct mariadb_login *login, const char *schema,
                             const char *prefix, unsigned n_views, unsigned deadline_msec,
                             struct mariadb_files *files, struct mariadb_hold **ret_hold,
                             struct err *err) MUST_CHECK;

/* mariadb_hold_check(hold, err): ERR_TIMEOUT: writers are not held any more. */
int mariadb_hold_check(struct mariadb_hold *hold, struct err *err) MUST_CHECK;

/* mariadb_hold_release(hold, err): Writers go on, the views stay. */
int mariadb_hold_release(struct mariadb_hold *hold, struct err *err) MUST_CHECK;

/* mariadb_hold_end(hold): Close every connection and free. */
void mariadb_hold_end(struct mariadb_hold *hold);

#endif
