/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_OVERLAY_INTERNAL_H
#define FSDRIVERS_OVERLAY_INTERNAL_H

/*
 * The overlayfs driver.  A pool looks like this:
 *
 *   trees/7        what tree 7 is: head or frozen, its parent, the names of its layers
 *   layers/NAME/   one directory tree each; never changed any more once a frozen tree lists it
 *   work/NAME/     the work directory of a layer that is an upper
 *
 * A tree is a list of layers, topmost first.  The first layer of a head is its own, the upper of
 * its mount.  A head with one layer is a plain directory and mounted as such.
 *
 * Names are made from the numbers, so a call that runs twice finds what it did: "7" for the first
 * layer of head 7 however it came about, "7-8" for its upper after it was captured as 8, "7-s" for
 * one that stubs needed, "NAME.flat" for a whole stack below NAME made one plain directory, "A_B"
 * for what was merged from layer A down to layer B.
 *
 * The record is what makes a tree be there.  So a layer is complete and durable before a record
 * names it, and what no record names is debris: "NAME.partial" (being made) and ".dead-NAME"
 * (being deleted) can never be named.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "fsdrivers/fsdriver.h"
#include "fsdrivers/tree.h"

#define OVERLAY_EMPTY_LAYER ".empty"

/* The kernel takes 500 lowers; one is for the empty layer, one becomes the next upper. */
#define OVERLAY_LAYERS_MAX 498

/* Cold lookups grow by 0.85 us a layer, so tidy() keeps stacks at this. */
#define OVERLAY_LAYERS_GOOD 24

#define OVERLAY_NAME_MAX 200

/* Between the first and the last layer in the name of a merged one. */
#define OVERLAY_MERGED '_'

struct fs_pool {
        int dir_fd; /* also what is locked, see overlay_lock() */
        int trees_fd, layers_fd, work_fd;
};

struct overlay_tree {
        struct fs_info info;
        char **layers; /* topmost first */
        size_t n_layers;
        uint64_t total_bytes; /* of a frozen tree once it was measured, else 0 */
};

/* overlay_tree_done(tree): Free what ${tree} holds; a zeroed one is fine. */
void overlay_tree_done(struct overlay_tree *tree);

/* overlay_tree_read(pool, id, ret_tree, err): ERR_NOT_FOUND: no such tree; ERR_CORRUPT: its record
 * cannot be read. */
int overlay_tree_read(struct fs_pool *pool, fs_id id, struct overlay_tree *ret_tree,
                      struct err *err) MUST_CHECK;

/* overlay_tree_write(pool, tree, err): After it, ${tree} is what is recorded, durably. */
int overlay_tree_write(struct fs_pool *pool, const struct overlay_tree *tree,
                       struct err *err) MUST_CHECK;

/* overlay_tree_prepare(pool, tree, synced, err): Write what is to be recorded to a temporary name,
 * durably with ${synced}.  Once it is, with all that the record names, overlay_trees_commit(pool,
 * ids, n, err) makes ${n} of them the records, in this order, durably: one flush for all that a
 * call makes and one for the records, where overlay_tree_write() would take two for each. */
int overlay_tree_prepare(struct fs_pool *pool, const struct overlay_tree *tree, bool synced,
                         struct err *err) MUST_CHECK;
int overlay_trees_commit(struct fs_pool *pool, const fs_id *ids, size_t n,
                         struct err *err) MUST_CHECK;

/* overlay_tree_drop(pool, id, err): Durably no record of the tree. */
int overlay_tree_drop(struct fs_pool *pool, fs_id id, struct err *err) MUST_CHECK;

/* overlay_tree_stack(tree, first, rest, n, err): Make the layers of ${tree}: ${first} (if
 * not NULL), then ${n} of ${rest}. */
int overlay_tree_stack(struct overlay_tree *tree, const char *first, char *const *rest, size_t n,
                       struct err *err) MUST_CHECK;

struct overlay_trees {
        struct overlay_tree *all; /* by number */
        size_t n;
};

/* overlay_trees_read(pool, ret_trees, err): The records of all trees.  ERR_CORRUPT: one cannot be
 * read, so it is not known which layers are in use. */
int overlay_trees_read(struct fs_pool *pool, struct overlay_trees *ret_trees,
                       struct err *err) MUST_CHECK;
/* overlay_trees_done(trees): Free them; zeroed ones are fine. */
void overlay_trees_done(struct overlay_trees *trees);

/* overlay_trees_count(trees, layer): How many trees list this layer. */
size_t overlay_trees_count(const struct overlay_trees *trees, const char *layer);

/* overlay_lock(pool, err), overlay_unlock(pool): One change of records at a time on this machine;
 * waits.  The kernel lets go of it when the process dies. */
int overlay_lock(struct fs_pool *pool, struct err *err) MUST_CHECK;
void overlay_unlock(struct fs_pool *pool);

/* Layers (overlay_layer.c). */

/* overlay_layer_make(pool, name, like, err): Make the empty layer ${name} and its work directory
 * anew, with owner, mode, times and attributes of the root of layer ${like}; NULL: root's, 0755. */
int overlay_layer_make(struct fs_pool *pool, const char *name, const char *like,
                       struct err *err) MUST_CHECK;

/* overlay_layer_open(pool, name, ret_fd, err): Its root, for reading. */
int overlay_layer_open(struct fs_pool *pool, const char *name, int *ret_fd,
                       struct err *err) MUST_CHECK;

/* overlay_layer_sync(pool, name, err): Everything in the file system of the layer is on stable
 * storage. */
int overlay_layer_sync(struct fs_pool *pool, const char *name, struct err *err) MUST_CHECK;

/* overlay_layer_sync_empty(pool, name, err): A layer with nothing in it yet and its work directory
 * are on stable storage; what others write to the file system is not waited for. */
int overlay_layer_sync_empty(struct fs_pool *pool, const char *name, struct err *err) MUST_CHECK;

/* overlay_layer_bytes(pool, name, ret_bytes, err): What du says of a layer. */
int overlay_layer_bytes(struct fs_pool *pool, const char *name, uint64_t *ret_bytes,
                        struct err *err) MUST_CHECK;

/* overlay_layers_sweep(pool, partial, err): Delete the layers that no tree lists and nobody has
 * mounted, and with ${partial} those that are not finished. */
int overlay_layers_sweep(struct fs_pool *pool, bool partial, struct err *err) MUST_CHECK;

/* overlay_copy_dir(src_fd, dst_fd, err): Owner, mode, attributes and ACLs of a directory;
 * overlay_copy_times() its times, which entries made in it change. */
int overlay_copy_dir(int src_fd, int dst_fd, struct err *err) MUST_CHECK;
int overlay_copy_times(int src_fd, int dst_fd, struct err *err) MUST_CHECK;

/* overlay_copy_entry(src_dir_fd, dst_dir_fd, name, st, err): A new file, link, FIFO or node like
 * another; the content by reflink where both ends can. */
int overlay_copy_entry(int src_dir_fd, int dst_dir_fd, const char *name, const struct stat *st,
                       struct err *err) MUST_CHECK;

/* The view through a stack without mounting it (overlay_stack.c). */

struct overlay_stack {
        int *fds; /* roots of the layers */
        size_t n;
};

/* overlay_stack_open(pool, layers, n, ret_stack, err): Open the roots of ${n} layers, topmost
 * first. */
int overlay_stack_open(struct fs_pool *pool, char *const *layers, size_t n,
                       struct overlay_stack *ret_stack, struct err *err) MUST_CHECK;
/* overlay_stack_done(stack): Close them; a zeroed stack is fine. */
void overlay_stack_done(struct overlay_stack *stack);

/* A directory as the stack shows it: the directories that are merged in it, topmost first. */
struct overlay_dir {
        struct overlay_part {
                size_t layer; /* index in the stack */
                int fd;
        } *parts;
        size_t n; /* 0: no directory is seen there */
};

/* overlay_dir_root(stack, ret_dir, err): The root; overlay_dir_child(): a directory in one that is
 * open; overlay_dir_open(): by its path from the root.  Give each to overlay_dir_done(). */
int overlay_dir_root(const struct overlay_stack *stack, struct overlay_dir *ret_dir,
                     struct err *err) MUST_CHECK;
/* overlay_dir_child(dir, name, ret_child, err): See overlay_dir_root(). */
int overlay_dir_child(const struct overlay_dir *dir, const char *name,
                      struct overlay_dir *ret_child, struct err *err) MUST_CHECK;
/* overlay_dir_open(stack, path, ret_dir, err): See overlay_dir_root(). */
int overlay_dir_open(const struct overlay_stack *stack, const char *path,
                     struct overlay_dir *ret_dir, struct err *err) MUST_CHECK;
/* overlay_dir_done(dir): Close its parts; a zeroed one is fine. */
void overlay_dir_done(struct overlay_dir *dir);

/* overlay_is_whiteout(st): Does it say that a name below is gone? */
bool overlay_is_whiteout(const struct stat *st);

/* overlay_dir_look(dir, from, name, ret_part, ret_st, err): Is ${name} seen in the directory when
 * only the parts from index ${from} on are looked at?  1 and where, or 0. */
int overlay_dir_look(const struct overlay_dir *dir, size_t from, const char *name,
                     size_t *ret_part, struct stat *ret_st, struct err *err) MUST_CHECK;

/* overlay_dir_each(dir, n_parts, visit, arg, err): Visit each name in the first ${n_parts} parts
 * once, with what is topmost there; that may be a whiteout. */
typedef int (*overlay_visit)(const struct overlay_dir *dir, size_t part, const char *name,
                             const struct stat *st, void *arg, struct err *err);
int overlay_dir_each(const struct overlay_dir *dir, size_t n_parts, overlay_visit visit, void *arg,
                     struct err *err) MUST_CHECK;

/* Operations in files of their own. */

/* overlay_merge(pool, layers, n, n_merged, shared, out, err): Make layer ${out} from the first
 * ${n_merged} of ${n} layers, as seen with the others below.  Files are hard links, but copies
 * where ${shared} says so of their layer (NULL: none). */
int overlay_merge(struct fs_pool *pool, char *const *layers, size_t n, size_t n_merged,
                  const bool *shared, const char *out, struct err *err) MUST_CHECK;

/* overlay_probe(): The driver's probe(), see fsdriver.h. */
int overlay_probe(int dir_fd, struct err *err) MUST_CHECK;

/* overlay_stubs(): The driver's stubs(), see fsdriver.h. */
int overlay_stubs(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                  struct err *err) MUST_CHECK;

/* overlay_sizes(): The driver's sizes(), see fsdriver.h. */
int overlay_sizes(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes,
                  struct err *err) MUST_CHECK;

/* overlay_diff(): The driver's diff(), see fsdriver.h. */
int overlay_diff(struct fs_pool *pool, fs_id from, fs_id to, fs_change_visit visit, void *arg,
                 struct err *err) MUST_CHECK;

/* overlay_flatten(): The driver's flatten(), see fsdriver.h. */
int overlay_flatten(struct fs_pool *pool, fs_id head, struct err *err) MUST_CHECK;

/* overlay_tidy(): The driver's tidy(), see fsdriver.h. */
int overlay_tidy(struct fs_pool *pool, struct err *err) MUST_CHECK;

#endif
