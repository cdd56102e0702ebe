/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_NOTICE_OP_H
#define SNAPD_NOTICE_OP_H

/*
 * The notices of operations: which verb tells what, and with which facts.
 *
 * Telling is never part of an operation: it comes after what is served has changed, and what cannot
 * be told now is only logged; the daemon looks for such operations and tells it then.
 */

#include "snapd/dirs.h"
#include "snapd/journal.h"
#include "snapd/notice.h"
#include "snapd/site.h"

/* notice_site(notice, site): What the site's file says of its releases; borrowed.  NULL: nothing is
 * known. */
void notice_site(struct notice *notice, const struct site *site);

/* notice_op_started(dirs, catalog, id, err): Tell that it begins, where its verb is one that does
 * so; to be called before it has a plan. */
int notice_op_started(const struct dirs *dirs, struct catalog *catalog, op_id id,
                      struct err *err) MUST_CHECK;

/* notice_op_ended(dirs, catalog, id, err): Tell how it ended, or that it is held; once, however
 * often it is called.  Nothing when it goes on. */
int notice_op_ended(const struct dirs *dirs, struct catalog *catalog, op_id id,
                    struct err *err) MUST_CHECK;

/* notice_op_catch_up(outbox, catalog, dirs, err): The same for the last operations of a day. */
int notice_op_catch_up(struct outbox *outbox, struct catalog *catalog, const struct dirs *dirs,
                       struct err *err) MUST_CHECK;

struct notice_space {
        uint64_t free_bytes, all_bytes;
        uint64_t wanted_bytes; /* what the site's policy wants free; 0: 5 % of all */
};

/* notice_space(dirs, site, space, err): Tell when too little is free, and not again before a
 * quarter more than that was free. */
int notice_space(const struct dirs *dirs, const char *site, const struct notice_space *space,
                 struct err *err) MUST_CHECK;

#endif
