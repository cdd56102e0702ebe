/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SERVED_H
#define SNAPD_SERVED_H

/*
 * What is shown at HOME/versions/N.
 *
 * A *view* says which tree with which database is to be seen there and whether it can be written.
 * served_show() makes it so: the tree, the shared directories, the database directory and the
 * rendered configuration are put together out of sight and shown in one step.  What was shown is
 * remembered in run/served/SITE/N together with the identity of the mount, so that after a crash
 * or a reboot one knows whether the place shows what it should; the memory dies with the mounts.
 */

#include <stdbool.h>

#include "fsdrivers/mount.h"
#include "snapd/env.h"
#include "snapd/sight.h"

/* served_show(env, view, err): After it, versions/N shows ${view}; at no moment a part of it.
 * Showing what is shown already does nothing.  What was there goes aside with whoever is in it
 * (snapd/aside.h).  ERR_NOT_FOUND names what is missing. */
int served_show(struct step_env *env, const struct view *view, struct err *err) MUST_CHECK;

/* served_stubs(env, head, database, err): Make the directories in ${head} onto which shared ones
 * are bound; served_show() does it for what it shows. */
int served_stubs(struct step_env *env, fs_id head, const char *database,
                 struct err *err) MUST_CHECK;

/* served_shows(env, view): Does versions/N show exactly this? */
bool served_shows(struct step_env *env, const struct view *view);

/* served_used(env, version, look, ret_used, err): Is a process in what versions/N shows, or in what
 * it showed before?  Then ${err} says which one, although the call succeeds. */
int served_used(struct step_env *env, uint64_t version, enum mount_look look, bool *ret_used,
                struct err *err) MUST_CHECK;

/* served_unlay(env, view, err): Where ${view}, a live one, is shown, what was there before comes
 * back. */
int served_unlay(struct step_env *env, const struct view *view, struct err *err) MUST_CHECK;

/* served_tidy(env): What went aside is unmounted where nobody is in it any more, for all versions;
 * it waits a moment for the last ones. */
void served_tidy(struct step_env *env);

/* served_hide(env, version, err): Unmount everything at versions/N and remove the directory.
 * ERR_BUSY: a process is in it; all is as it was. */
int served_hide(struct step_env *env, uint64_t version, struct err *err) MUST_CHECK;

/* served_cover(env, view, by, err): Show a second sight of what versions/BY shows, which is
 * ${view}, at versions/N and make what was there read-only once nobody writes to it. */
int served_cover(struct step_env *env, const struct view *view, uint64_t by,
                 struct err *err) MUST_CHECK;

/* served_versions_fd(env, ret_fd, err): HOME/versions; the caller closes it. */
int served_versions_fd(struct step_env *env, int *ret_fd, struct err *err) MUST_CHECK;

/* served_current(env, ret_version, err): The version that `current` points at; 0 when there is no
 * such link. */
int served_current(struct step_env *env, uint64_t *ret_version, struct err *err) MUST_CHECK;

#endif
