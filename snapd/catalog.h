/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_CATALOG_H
#define SNAPD_CATALOG_H

/*
 * The catalog: which sites there are, their versions, and every number that was ever given out.
 *
 * One SQLite file, `state.db` in the state directory, WAL and synchronous=FULL (with NORMAL 26 of
 * 60 power cuts lost acknowledged commits).  The journal (snapd/journal.h) lives in the same file,
 * so that the last mark of an operation and the catalog's new state are one commit.  Several
 * processes open it at once: snapd and each running operation.
 *
 * Words: a version's *tree* is a number of the fs driver, its *database* the name of a copy; both
 * are pointers that change when a version becomes active or is kept.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct catalog;

enum version_state {
        VERSION_ACTIVE,  /* current points at it */
        VERSION_KEPT,    /* its tree is frozen, its database read-only */
        VERSION_PRUNING, /* being removed; cannot be used any more */
};

enum version_mark { MARK_NONE, MARK_GOOD, MARK_BAD };

struct version {
        uint64_t number;
        enum version_state state;
        enum version_mark mark;
        bool pinned;
        bool mounted;     /* asked to be mounted; the active and the last good are in any case */
        uint64_t parent;  /* the version it came from; 0 for the first */
        uint64_t tree;
        char *database;   /* "" when the site has none */
        char *label, *reason, *mark_reason;
        char *verb;       /* of the operation that made it */
        uint64_t operation;
        uid_t by;
        int64_t created_usec;
        int64_t active_usec;  /* when it was last made active */
        int64_t files_bytes, freed_bytes, database_bytes; /* -1: not measured yet */
};

struct version_list {
        struct version *items; /* by number */
        size_t n;
};

/* catalog_open(dir_fd, ret_catalog, err): Open state.db in ${dir_fd}, making it when there is
 * none.  ERR_UNSUPPORTED: it was written by a newer sitesnap. */
int catalog_open(int dir_fd, struct catalog **ret_catalog, struct err *err) MUST_CHECK;
void catalog_close(struct catalog *catalog);

/* catalog_db(catalog): For the journal, and for nobody else. */
sqlite3 *catalog_db(struct catalog *catalog);

/* catalog_begin/commit/rollback(...): A write transaction; others wait for at most 10 s.
 * catalog_rollback() is fine when there is none. */
int catalog_begin(struct catalog *catalog, struct err *err) MUST_CHECK;
int catalog_commit(struct catalog *catalog, struct err *err) MUST_CHECK;
void catalog_rollback(struct catalog *catalog);

/* catalog_change(catalog): A number that differs whenever another process has committed. */
uint64_t catalog_change(struct catalog *catalog);

/* catalog_take(catalog, counter, n, ret_first, err): Give out ${n} numbers that were never given
 * out before.  Counters: "tree", "copy", and "version:SITE". */
int catalog_take(struct catalog *catalog, const char *counter, unsigned n, uint64_t *ret_first,
                 struct err *err) MUST_CHECK;

/* catalog_add_site / remove_site: The driver's name and the pool's path never change in a
 * site's life.  ERR_EXISTS, ERR_NOT_FOUND. */
int catalog_add_site(struct catalog *catalog, const char *site, const char *driver,
                     const char *pool, struct err *err) MUST_CHECK;
int catalog_remove_site(struct catalog *catalog, const char *site, struct err *err) MUST_CHECK;

struct catalog_site {
        char *name, *driver, *pool;
        uint64_t active;    /* 0: none yet */
        uint64_t last_good; /* 0: none */
        size_t versions;
};

/* catalog_site(catalog, site, ret_site, err): ERR_NOT_FOUND.  Give it to catalog_site_done(). */
int catalog_site(struct catalog *catalog, const char *site, struct catalog_site *ret_site,
                 struct err *err) MUST_CHECK;
void catalog_site_done(struct catalog_site *site);

/* catalog_sites(catalog, visit, arg, err): Call visit with the name of every site. */
typedef int (*catalog_visit)(const char *site, void *arg, struct err *err);
int catalog_sites(struct catalog *catalog, catalog_visit visit, void *arg,
                  struct err *err) MUST_CHECK;

/* catalog_versions(...): All versions of a site.  Give the list to version_list_done(). */
int catalog_versions(struct catalog *catalog, const char *site, struct version_list *ret_list,
                     struct err *err) MUST_CHECK;
void version_list_done(struct version_list *list);

/* catalog_version(...): ERR_NOT_FOUND says whether it was pruned or never existed.  Give it to
 * version_done(). */
int catalog_version(struct catalog *catalog, const char *site, uint64_t number,
                    struct version *ret_version, struct err *err) MUST_CHECK;
void version_done(struct version *version);

/* catalog_put_version(...): Insert or replace. */
int catalog_put_version(struct catalog *catalog, const char *site, const struct version *version,
                        struct err *err) MUST_CHECK;
int catalog_delete_version(struct catalog *catalog, const char *site, uint64_t number,
                           struct err *err) MUST_CHECK;

/* version_last_good(list): The kept version that was active last and is not marked bad, or NULL.
 * It is what rollback goes to and what prune never removes. */
const struct version *version_last_good(const struct version_list *list);

const char *version_state_name(enum version_state state);
const char *version_mark_name(enum version_mark mark);

#endif
