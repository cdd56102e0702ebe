/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_CMD_H
#define SNAPCTL_CMD_H

/*
 * The functions behind the commands.  Each returns the exit status, or -1 with ${err} filled.
 */

#include "snapctl/ctl.h"

/* Looking: at a site's versions, one version, all there is. */
int cmd_list(struct ctl *ctl, struct err *err);
int cmd_show(struct ctl *ctl, struct err *err);
int cmd_status(struct ctl *ctl, struct err *err);

/* Questions: 0 yes, EXIT_NO no. */
int cmd_check(struct ctl *ctl, struct err *err);
int cmd_pending(struct ctl *ctl, struct err *err);

/* Operations on a site, followed to their end. */
int cmd_upgrade(struct ctl *ctl, struct err *err);
int cmd_activate(struct ctl *ctl, struct err *err);
int cmd_rollback(struct ctl *ctl, struct err *err);
int cmd_forward(struct ctl *ctl, struct err *err);
int cmd_mount(struct ctl *ctl, struct err *err);
int cmd_umount(struct ctl *ctl, struct err *err);
int cmd_prune(struct ctl *ctl, struct err *err);
int cmd_export(struct ctl *ctl, struct err *err);
int cmd_import(struct ctl *ctl, struct err *err);

/* What is said of a version, and what differs between two. */
int cmd_pin(struct ctl *ctl, struct err *err);
int cmd_unpin(struct ctl *ctl, struct err *err);
int cmd_mark(struct ctl *ctl, struct err *err);
int cmd_diff(struct ctl *ctl, struct err *err);

/* What databases are made of. */
int cmd_lost_writes(struct ctl *ctl, struct err *err);
int cmd_schema(struct ctl *ctl, struct err *err);
int cmd_schema_diff(struct ctl *ctl, struct err *err);

/* Sites. */
int cmd_site_add(struct ctl *ctl, struct err *err);
int cmd_site_remove(struct ctl *ctl, struct err *err);
int cmd_site_list(struct ctl *ctl, struct err *err);
int cmd_site_show(struct ctl *ctl, struct err *err);
int cmd_site_probe(struct ctl *ctl, struct err *err);
int cmd_site_check(struct ctl *ctl, struct err *err);
int cmd_link(struct ctl *ctl, struct err *err);
int cmd_unlink(struct ctl *ctl, struct err *err);
int cmd_probe(struct ctl *ctl, struct err *err);
int cmd_web_config(struct ctl *ctl, struct err *err);

/* Operations that were begun before. */
int cmd_ops_list(struct ctl *ctl, struct err *err);
int cmd_ops_show(struct ctl *ctl, struct err *err);
int cmd_ops_follow(struct ctl *ctl, struct err *err);
int cmd_ops_abort(struct ctl *ctl, struct err *err);
int cmd_ops_resume(struct ctl *ctl, struct err *err);

/* Notices. */
int cmd_notice_list(struct ctl *ctl, struct err *err);
int cmd_notice_test(struct ctl *ctl, struct err *err);
int cmd_notice_send(struct ctl *ctl, struct err *err);
int cmd_notice_retry(struct ctl *ctl, struct err *err);
int cmd_notice_check(struct ctl *ctl, struct err *err);

/* Without a daemon. */
int cmd_version(struct ctl *ctl, struct err *err);
int cmd_help(struct ctl *ctl, struct err *err);
int cmd_complete(struct ctl *ctl, struct err *err);

#endif
