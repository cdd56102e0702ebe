/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_TENANT_H
#define DBDUMP_POSTGRES_TENANT_H

/*
 * Statements with expressions of a tenant in them (defaults, checks, generated columns, indexes,
 * views) are run with the tenant's rights and no others.
 *
 * SET ROLE is no fence: what runs behind it can RESET ROLE.  A function that is SECURITY DEFINER is
 * none either: before version 18 a deferred trigger that it has queued fires at the commit with the
 * session's rights.  The server's own fence is the "security-restricted operation" in which it
 * refreshes a materialized view, as the view's owner: SET ROLE, deferred triggers and temporary
 * tables are refused there, and settings do not outlive it.  So the statements are the body of a
 * function that a materialized view of the tenant's calls, which is refreshed and dropped in one
 * transaction.  What it says goes into a table of ours: that view is the tenant's, who could have
 * put another in its place by now, or statistics on it whose expressions we would evaluate.
 */

#include "dbdump/postgres_link.h"

struct postgres_tenant {
        const char *work;     /* a schema in which the owner may make something; quoted */
        const char *owner;    /* a role */
        const char *path;     /* what bare names mean, as SET search_path takes it; "": nothing */
        unsigned worker;      /* who runs at the same time has another number */
        const char *snapshot; /* an exported one to read in; NULL: now */
};

/* postgres_tenant_sql(link, tenant, names, statements, n, ret_sql, err): The text of a transaction
 * that runs the statements in any order that works.  Its rows are in one column: the rows that were
 * written, then two rows for each statement that named what is not there: its number (from 1) and
 * why; those have changed nothing.  Any other failure names ${names} and ends the transaction.  The
 * caller frees. */
int postgres_tenant_sql(struct postgres_link *link, const struct postgres_tenant *tenant,
                        const char *const *names, const char *const *statements, size_t n,
                        char **ret_sql, struct err *err) MUST_CHECK;

#endif
