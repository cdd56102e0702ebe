/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_RENDER_H
#define SNAPD_RENDER_H

/*
 * Rendered configuration: the application's own file with the database of this version written
 * into it, bind-mounted over the one in the tree, which is never edited.
 */

#include "snapd/env.h"
#include "snapd/sight.h"

/* render_all(env, view, mount_fd, err): Render every file that the site's rules name from the
 * tree in the detached mount ${mount_fd} and bind the results over them.  Reading and rewriting
 * run as the site's user without any other right.  ERR_NOT_FOUND: the tree has no such file, or
 * the file no such setting. */
int render_all(struct step_env *env, const struct view *view, int mount_fd,
               struct err *err) MUST_CHECK;

/* render_into(env, view, tree_fd, err): Write the rendered files into the tree itself, a directory
 * that only root can reach: one that is about to be given back, whose database is not the one that
 * its own files name. */
int render_into(struct step_env *env, const struct view *view, int tree_fd,
                struct err *err) MUST_CHECK;

/* render_await(env, version): Wait until interpreters have noticed what is rendered for versions/N
 * now.  The same path named another database before, while that version was live; PHP's opcache
 * looks at a file again after 2 s (opcache.revalidate_freq), and until then old code would run on
 * the new database.  No wait when nothing changed lately: at most 2.5 s otherwise. */
void render_await(struct step_env *env, uint64_t version);

#endif
