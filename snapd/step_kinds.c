/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "snapd/step.h"
#include "snapd/steps.h"

/* Every kind there is.  Names are on disk; a kind is never removed from here while a journal may
 * hold it. */
static const struct step_kind *const kinds[] = {
        &step_site_dirs,    &step_site_register, &step_site_unregister, &step_site_after,
        &step_share_out,    &step_share_in,      &step_share_link,      &step_share_unlink,
        &step_docroot_take, &step_docroot_give,  &step_fs_import,       &step_fs_flatten,
        &step_fs_capture,   &step_fs_branch,     &step_fs_remove,       &step_fs_survey,
        &step_fs_mount,     &step_fs_unmount,    &step_fs_seal,         &step_fs_cover,
        &step_fs_drain,     &step_fs_retire,     &step_fs_switch,       &step_db_hold,
        &step_db_release,   &step_db_copy,       &step_db_verify,       &step_db_writable,
        &step_db_drop,      &step_hook_run,      &step_probe_run,       &step_catalog_commit,
        &step_fs_stubs,     &step_docroot_clear, &step_db_leave,        &step_front_set,
        &step_schema_note,  &step_bundle_write,  &step_bundle_unpack,   &step_bundle_tree,
        &step_bundle_load,  &step_bundle_clear,
};

const struct step_kind *step_kind_by_name(const char *name)
{
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i]->name, name) == 0)
                        return kinds[i];
        return NULL;
}
