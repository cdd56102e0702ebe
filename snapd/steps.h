/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_STEPS_H
#define SNAPD_STEPS_H

/*
 * The kinds of steps, by file.  What each takes is said above its definition; what each leaves is
 * its `describe`.
 */

#include "snapd/step.h"

/* steps_site.c: the home, the catalog's row, the administrator's command after a switch */
extern const struct step_kind step_site_dirs, step_site_register, step_site_unregister,
        step_site_after;

/* steps_adopt.c: taking a directory over and giving it back */
extern const struct step_kind step_share_out, step_share_in, step_share_link, step_share_unlink,
        step_docroot_take, step_docroot_give, step_docroot_clear, step_fs_import, step_fs_stubs;

/* steps_tree.c: walks of whole trees */
extern const struct step_kind step_fs_survey, step_fs_flatten;

/* steps_fs.c: trees */
extern const struct step_kind step_fs_capture, step_fs_branch, step_fs_remove;

/* steps_mount.c: what is shown at versions/N, and which of them is current */
extern const struct step_kind step_fs_mount, step_fs_unmount, step_fs_seal, step_fs_cover,
        step_fs_drain, step_fs_retire, step_fs_switch;

/* steps_db.c: database copies */
extern const struct step_kind step_db_hold, step_db_release, step_db_copy, step_db_verify,
        step_db_writable, step_db_drop, step_db_leave;

/* steps_front.c: what visitors are given while a temporary rollback lasts */
extern const struct step_kind step_front_set;

/* steps_schema.c: what a version's database is made of */
extern const struct step_kind step_schema_note;

/* steps_hook.c: the site's own command */
extern const struct step_kind step_hook_run;

/* steps_probe.c: the site's probes */
extern const struct step_kind step_probe_run;

/* steps_bundle_write.c, steps_bundle.c: a version to a file, and from one */
extern const struct step_kind step_bundle_write, step_bundle_unpack, step_bundle_tree,
        step_bundle_load, step_bundle_clear;

/* steps_catalog.c: the new state of the versions */
extern const struct step_kind step_catalog_commit;

#endif
