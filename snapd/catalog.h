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

#include "common/cleanup.h"
#include "common/error.h"
#include "snapd/progress.h"

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
        bool leaving;    /* kept, but its tree is still a head and its database writable: requests
                          * that began in it may go on */
        bool mounted;    /* asked to be mounted; the active and the last good are in any case */
        uint64_t parent; /* the version it came from; 0 for the first */
        uint64_t tree;
        char *database; /* "" when the site has none */
        char *label, *reason, *mark_reason;
        char *verb; /* of the operation that made it */
        uint64_t operation;
        uid_t by;
        int64_t created_usec;
        int64_t active_usec;                              /* when it was last made active */
        int64_t files_bytes, freed_bytes, database_bytes; /* -1: not measured yet */
        /* Not a part of the catalog; whoever shows it may set it. */
        bool on_probation;
        bool staged; /* active, but visitors get another one until its upgrade has ended well */
        bool served; /* that other one */
        int schema_changed; /* did it change the schema of the one before?  1, 0; -1: not known.
                             * Read only: catalog_put_fingerprint() writes it */
};

struct version_list {
        struct version *items; /* by number */
        size_t n;
};

/* catalog_open(dir_fd, ret_catalog, err): Open state.db in ${dir_fd}, making it (root's, 0600)
 * when there is none and bringing an older one up to date.  ${dir_fd} stays the caller's.
 * ERR_UNSUPPORTED: it was written by a newer sitesnap.  ERR_CORRUPT: it is not a catalog. */
int catalog_open(int dir_fd, struct catalog **ret_catalog, struct err *err) MUST_CHECK;
void catalog_close(struct catalog *catalog);
DEFINE_CLEANUP(struct catalog *, catalog_close);

/* catalog_ready(catalog, err): Do now what else makes the first commit take longer than the next
 * ones (sql_file_sync()): for a process that waits for work. */
int catalog_ready(struct catalog *catalog, struct err *err) MUST_CHECK;

/* catalog_db(catalog), catalog_progress(catalog): For the journal, and for nobody else. */
sqlite3 *catalog_db(struct catalog *catalog);
struct progress_file *catalog_progress(struct catalog *catalog);

/* catalog_begin/commit/rollback(...): A write transaction; others wait for at most 10 s, then it
 * is ERR_BUSY.  Every function here and in the journal may be called within one or alone.  After
 * a failed commit there is no transaction any more; nothing of it is visible, but after ERR_IO a
 * crash may still bring it back, so ask the catalog again before acting on either.  A commit
 * wakes snapd (snapd/wake.h).  catalog_rollback() is fine when there is none. */
int catalog_begin(struct catalog *catalog, struct err *err) MUST_CHECK;

/* catalog_begin_lazily(catalog, err): The same, but what it commits a killed process leaves and a
 * power cut may take: it is on stable storage with the next commit that is not lazy, of any process
 * (a write-ahead log is synced as a whole; SQLite, PRAGMA synchronous). */
int catalog_begin_lazily(struct catalog *catalog, struct err *err) MUST_CHECK;
int catalog_commit(struct catalog *catalog, struct err *err) MUST_CHECK;
void catalog_rollback(struct catalog *catalog);

/* catalog_enter(catalog, ret_own, err), catalog_leave(catalog, own, result, err): A bracket for a
 * function that may be called within a transaction or alone: enter begins one when there is none;
 * leave ends that one, by commit when ${result} is 0, and returns what the function returns. */
int catalog_enter(struct catalog *catalog, bool *ret_own, struct err *err) MUST_CHECK;
int catalog_leave(struct catalog *catalog, bool own, int result, struct err *err) MUST_CHECK;

/* catalog_change(catalog): A number that differs whenever another process has committed; 0 when
 * it cannot be read. */
uint64_t catalog_change(struct catalog *catalog);

/* catalog_take(catalog, counter, n, ret_first, err): Give out ${n} (at least 1) numbers that were
 * never given out before, beginning at 1.  Counters: "tree", "copy", and "version:SITE"; they
 * outlive their site. */
int catalog_take(struct catalog *catalog, const char *counter, unsigned n, uint64_t *ret_first,
                 struct err *err) MUST_CHECK;

/* catalog_add_site / remove_site: The driver's name and the pool's path never change in a
 * site's life.  A site takes its versions' rows with it; its operations are remembered.
 * ERR_EXISTS, ERR_NOT_FOUND. */
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

/* catalog_sites(catalog, visit, arg, err): Call visit with the name of every site, by name, until
 * it returns -1, which is then the result.  visit may call the catalog. */
typedef int (*catalog_visit)(const char *site, void *arg, struct err *err);
int catalog_sites(struct catalog *catalog, catalog_visit visit, void *arg,
                  struct err *err) MUST_CHECK;

/* catalog_versions(...): All versions of a site, by number.  ERR_NOT_FOUND: there is no such site.
 * Give the list to version_list_done(). */
int catalog_versions(struct catalog *catalog, const char *site, struct version_list *ret_list,
                     struct err *err) MUST_CHECK;
void version_list_done(struct version_list *list);

/* catalog_version(...): ERR_NOT_FOUND says whether it was pruned or never existed.  Give it to
 * version_done(). */
int catalog_version(struct catalog *catalog, const char *site, uint64_t number,
                    struct version *ret_version, struct err *err) MUST_CHECK;
void version_done(struct version *version);

/* catalog_put_version(...): Insert or replace; texts that are NULL are stored as "".  ERR_EXISTS:
 * the site has another active version (make that one kept first, in the same transaction).
 * catalog_delete_version(): no error when it has gone already. */
int catalog_put_version(struct catalog *catalog, const char *site, const struct version *version,
                        struct err *err) MUST_CHECK;
int catalog_delete_version(struct catalog *catalog, const char *site, uint64_t number,
                           struct err *err) MUST_CHECK;

/* catalog_put_fingerprint(catalog, site, number, text, changed, err): Remember what the database of
 * a version is made of; ${changed}: is that another than its parent's (1, 0; -1 leaves what is
 * known of it).  catalog_fingerprint(): ERR_NOT_FOUND when it is not known; the caller frees. */
int catalog_put_fingerprint(struct catalog *catalog, const char *site, uint64_t number,
                            const char *text, int changed, struct err *err) MUST_CHECK;
int catalog_fingerprint(struct catalog *catalog, const char *site, uint64_t number, char **ret_text,
                        struct err *err) MUST_CHECK;

/* version_last_good(list): The kept version that was active last and is not marked bad, or NULL.
 * It is what rollback goes to and what prune never removes. */
const struct version *version_last_good(const struct version_list *list);

/* The names of the schema and of the API; NULL for no such state. */
const char *version_state_name(enum version_state state);
const char *version_mark_name(enum version_mark mark);

#endif
