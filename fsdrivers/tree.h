/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREE_H
#define FSDRIVERS_TREE_H

/*
 * Directory trees by descriptor: what copying, comparing and removing have in common.
 *
 * A tenant makes trees of any depth and of names with any byte but '/' and NUL.  So nothing here
 * recurses, holds a descriptor per level or trusts PATH_MAX: a walk keeps the relative paths of
 * the directories it still has to visit (struct tree_todo) and opens each of them beneath the
 * root when its turn comes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/error.h"

/* Deeper trees are refused: opening a directory costs its depth, so a tenant could make a walk
 * quadratic. */
#define TREE_DEPTH_MAX 2000

/* tree_open(root_fd, path, ret_fd, err): Open the directory ${path} beneath ${root_fd} for
 * reading; "" is the root itself, the length is not limited.  ERR_NOT_FOUND; ERR_REFUSED: a
 * component is not a directory (any more), or on another mount. */
int tree_open(int root_fd, const char *path, int *ret_fd, struct err *err) MUST_CHECK;

/* tree_open_parent(root_fd, path, ret_fd, ret_name, err): Open the directory that holds the last
 * component; ${ret_name} points into ${path}. */
int tree_open_parent(int root_fd, const char *path, int *ret_fd, const char **ret_name,
                     struct err *err) MUST_CHECK;

/* tree_open_file(dir_fd, name, ret_fd, ret_stat, err): Open the regular file ${name} for reading
 * and leave its access time alone.  Nothing but a regular file is ever opened, so no device sees
 * it and no FIFO blocks.  ERR_NOT_FOUND: there is no regular file of that name (any more);
 * ERR_BUSY: a process holds a lease on it. */
int tree_open_file(int dir_fd, const char *name, int *ret_fd, struct stat *ret_stat,
                   struct err *err) MUST_CHECK;

/* tree_readlink(dir_fd, name, ret_target, err): What a symlink says; the caller frees.
 * ERR_NOT_FOUND: it is no symlink (any more). */
int tree_readlink(int dir_fd, const char *name, char **ret_target, struct err *err) MUST_CHECK;

/* tree_each(dir_fd, visit, arg, err): Call ${visit} for each name in a directory but "." and "..",
 * in the order the file system has them; a return of -1 stops and is passed on.  The access time
 * stays.  Entries may be removed meanwhile. */
typedef int (*tree_visit)(const char *name, void *arg, struct err *err);
int tree_each(int dir_fd, tree_visit visit, void *arg, struct err *err) MUST_CHECK;

/* tree_join(path, name): "path/name", or "name" when ${path} is ""; NULL is out of memory. */
char *tree_join(const char *path, const char *name);

/* tree_depth(path): How many components ${path} has; 0 for "". */
size_t tree_depth(const char *path);

/* Directories still to visit, last in first out.  Zeroed is empty. */
struct tree_todo {
        struct tree_todo_item {
                char *path;
                int mark; /* the walk's own */
        } * v;
        size_t n, room;
};

/* tree_todo_push(todo, path, mark, err): Take over ${path}, also on failure; NULL is reported as
 * out of memory, so that tree_join() needs no check of its own.  ERR_REFUSED: too deep. */
int tree_todo_push(struct tree_todo *todo, char *path, int mark, struct err *err) MUST_CHECK;

/* tree_todo_pop(todo, ret_mark): The path pushed last, the caller's to free; NULL when empty. */
char *tree_todo_pop(struct tree_todo *todo, int *ret_mark);
void tree_todo_done(struct tree_todo *todo);

/* tree_remove(dir_fd, name, err): Remove ${name} and everything in it; nothing there is success.
 * For places that only root can write.  Stops with ERR_BUSY at a mount or a nested subvolume. */
int tree_remove(int dir_fd, const char *name, struct err *err) MUST_CHECK;

/* tree_stub(root_fd, path, err): Make ${path} a directory to mount on: one that is there stays as
 * it is; a file or symlink gives way to an empty one, root's and 0555.  Missing parents get the
 * owner of ${root_fd} and 0755.  ERR_INVALID: not a relative path; ERR_REFUSED: a parent is a
 * symlink or a file. */
int tree_stub(int root_fd, const char *path, struct err *err) MUST_CHECK;

#endif
