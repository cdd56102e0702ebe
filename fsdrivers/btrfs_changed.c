/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/btrfs_tree.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "fsdrivers/btrfs_changed.h"
#include "fsdrivers/btrfs_search.h"
#include "fsdrivers/list.h"
#include "fsdrivers/tree.h"

#define LOOKUP_BYTES 4096
#define FT_DIR       2 /* BTRFS_FT_DIR, which uapi headers before Linux 6.2 lack */

/* A touched inode of one side. */
struct touched {
        uint64_t ino;
        bool is_dir;
};

struct touched_list {
        struct touched *v;
        size_t n, room;
        uint64_t split;
};

struct find {
        int fd;
        uint64_t root; /* the side that is looked at */
        struct btrfs_changed *changed;
        /* The directory whose path was asked for last. */
        uint64_t dir_ino;
        char *dir_path;
};

/* Takes over ${path}, also on failure; NULL is reported as out of memory. */
static int add_path(struct find *f, char *path, bool whole, struct err *err)
{
        struct btrfs_changed *changed = f->changed;

        if (path == NULL)
                return err_oom(err);
        if (!LIST_ROOM(changed)) {
                free(path);
                return err_oom(err);
        }
        changed->v[changed->n++] = (struct btrfs_changed_path){ .path = path, .whole = whole };
        return 0;
}

/* Items in the same block as a touched one come along; an inode that was not touched itself is
 * told by its own generation. */
static int see_inode(const struct btrfs_item *item, void *arg, struct err *err)
{
        struct touched_list *list = arg;

        if (item->type != BTRFS_INODE_ITEM_KEY ||
            BTRFS_GET(item, struct btrfs_inode_item, transid) <= list->split)
                return 0;
        if (!LIST_ROOM(list))
                return err_oom(err);
        list->v[list->n++] = (struct touched){
                .ino = item->objectid,
                .is_dir = S_ISDIR(btrfs_get32(item->data, item->len,
                                              offsetof(struct btrfs_inode_item, mode))),
        };
        return 0;
}

static void touched_done(struct touched_list *list)
{
        free(list->v);
}

/* The path of a directory, f->dir_path; NULL when it is gone by now. */
static int dir_path(struct find *f, uint64_t ino, struct err *err)
{
        if (f->dir_path != NULL && f->dir_ino == ino)
                return 0;
        free(STEAL(f->dir_path));
        f->dir_ino = ino;
        if (btrfs_inode_path(f->fd, f->root, ino, &f->dir_path, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        return 0;
}

/* A name of a touched inode. */
static int add_name(struct find *f, uint64_t dir, const unsigned char *name, size_t n,
                    struct err *err)
{
        CLEANUP(freep) char *text = strndup((const char *)name, n);

        if (text == NULL)
                return err_oom(err);
        if (dir_path(f, dir, err) < 0)
                return -1;
        return f->dir_path == NULL ? 0 : add_path(f, tree_join(f->dir_path, text), false, err);
}

/* The names of one inode in one directory, or with the extended kind those whose hash is the
 * same; both are packed one behind the other. */
static int see_ref(const struct btrfs_item *item, void *arg, struct err *err)
{
        bool extended = item->type == BTRFS_INODE_EXTREF_KEY;
        size_t header =
                extended ? sizeof(struct btrfs_inode_extref) : sizeof(struct btrfs_inode_ref);
        size_t at = 0;

        if (item->type != BTRFS_INODE_REF_KEY && !extended)
                return 0;
        while (at + header <= item->len) {
                const unsigned char *ref = item->data + at;
                size_t left = item->len - at;
                uint64_t dir = extended ? btrfs_get64(ref, left, 0) : item->offset;
                size_t n = btrfs_get16(ref, left, header - sizeof(uint16_t));

                if (header + n > left)
                        break;
                if (add_name(arg, dir, ref + header, n, err) < 0)
                        return -1;
                at += header + n;
        }
        return 0;
}

/* The directory entries of one side, in the order of their index.  A directory gives no index
 * twice, except after a mount: then entries that are not the same have other names or inodes. */
struct entry {
        uint64_t index, ino;
        bool is_dir;
        char *name;
};

struct entries {
        struct entry *v;
        size_t n, room;
};

static void entries_done(struct entries *entries)
{
        for (size_t i = 0; i < entries->n; i++)
                free(entries->v[i].name);
        free(entries->v);
}

/* DIR_INDEX has each entry once, where DIR_ITEM packs those whose names have the same hash. */
static int see_entry(const struct btrfs_item *item, void *arg, struct err *err)
{
        struct entries *entries = arg;
        size_t header = sizeof(struct btrfs_dir_item), n;

        if (item->type != BTRFS_DIR_INDEX_KEY || item->len < header)
                return 0;
        n = btrfs_get16(item->data, item->len, offsetof(struct btrfs_dir_item, name_len));
        if (header + n > item->len)
                return 0;
        if (!LIST_ROOM(entries))
                return err_oom(err);
        entries->v[entries->n] = (struct entry){
                .index = item->offset,
                .ino = BTRFS_GET(item, struct btrfs_dir_item, location),
                .is_dir = item->data[offsetof(struct btrfs_dir_item, type)] == FT_DIR,
                .name = strndup((const char *)item->data + header, n),
        };
        if (entries->v[entries->n].name == NULL)
                return err_oom(err);
        entries->n++;
        return 0;
}

/* Of either side, by the number of the directory: it is the same in both when it was there
 * before they split. */
static int list_entries(int fd, uint64_t root, uint64_t dir, struct entries *entries,
                        struct err *err)
{
        const struct btrfs_range range = { .tree = root,
                                           .min_objectid = dir,
                                           .max_objectid = dir,
                                           .min_type = BTRFS_DIR_INDEX_KEY,
                                           .max_type = BTRFS_DIR_INDEX_KEY,
                                           .max_offset = UINT64_MAX };

        return btrfs_search(fd, &range, see_entry, entries, err);
}

static int add_entry(struct find *f, const struct entry *entry, struct err *err)
{
        return add_path(f, tree_join(f->dir_path, entry->name), entry->is_dir, err);
}

/* A touched directory: the names that are not the same entry on both sides. */
static int compare_dir(struct find *f, uint64_t other_root, uint64_t dir, struct err *err)
{
        CLEANUP(entries_done) struct entries here = { .n = 0 };
        CLEANUP(entries_done) struct entries there = { .n = 0 };
        size_t i = 0, j = 0;

        if (dir_path(f, dir, err) < 0)
                return -1;
        if (f->dir_path == NULL)
                return 0;
        if (list_entries(f->fd, f->root, dir, &here, err) < 0 ||
            list_entries(f->fd, other_root, dir, &there, err) < 0)
                return -1;
        while (i < here.n || j < there.n) {
                const struct entry *a = i < here.n ? &here.v[i] : NULL;
                const struct entry *b = j < there.n ? &there.v[j] : NULL;
                bool same = a != NULL && b != NULL && a->index == b->index && a->ino == b->ino &&
                            strcmp(a->name, b->name) == 0;
                bool take_a = a != NULL && (b == NULL || a->index <= b->index);
                bool take_b = b != NULL && (a == NULL || b->index <= a->index);

                if (!same &&
                    ((take_a && add_entry(f, a, err) < 0) || (take_b && add_entry(f, b, err) < 0)))
                        return -1;
                i += take_a;
                j += take_b;
        }
        return 0;
}

/* Everything that was touched on the side of f. The other side is asked again from its own point
 * of view, so that what was touched there only is found as well. */
static int find_on_side(struct find *f, uint64_t other_root, uint64_t split, struct err *err)
{
        CLEANUP(touched_done) struct touched_list list = { .split = split };
        struct btrfs_range range = { .tree = f->root,
                                     .min_objectid = BTRFS_FIRST_FREE_OBJECTID,
                                     .max_objectid = BTRFS_LAST_FREE_OBJECTID,
                                     .max_type = UINT8_MAX,
                                     .max_offset = UINT64_MAX,
                                     .min_transid = split + 1 };

        if (btrfs_search(f->fd, &range, see_inode, &list, err) < 0)
                return -1;
        range = (struct btrfs_range){ .tree = f->root,
                                      .min_type = BTRFS_INODE_REF_KEY,
                                      .max_type = BTRFS_INODE_EXTREF_KEY,
                                      .max_offset = UINT64_MAX,
                                      .buffer_bytes = LOOKUP_BYTES };
        for (size_t i = 0; i < list.n; i++) {
                uint64_t ino = list.v[i].ino;

                range.min_objectid = range.max_objectid = ino;
                /* The root directory is its own parent, as "..". */
                if ((ino == BTRFS_FIRST_FREE_OBJECTID
                             ? add_path(f, strdup(""), false, err)
                             : btrfs_search(f->fd, &range, see_ref, f, err)) < 0)
                        return -1;
                if (list.v[i].is_dir && compare_dir(f, other_root, ino, err) < 0)
                        return -1;
        }
        return 0;
}

/* By component, so that what is below a directory comes right behind it: '/' is before every
 * other byte. */
static int path_order(const void *a, const void *b)
{
        const struct btrfs_changed_path *one = a, *two = b;
        const unsigned char *p = (const unsigned char *)one->path;
        const unsigned char *q = (const unsigned char *)two->path;

        while (*p != '\0' && *p == *q) {
                p++;
                q++;
        }
        if (*p == *q)
                return 0;
        if (*p == '\0' || *q == '\0')
                return *p == '\0' ? -1 : 1;
        if (*p == '/' || *q == '/')
                return *p == '/' ? -1 : 1;
        return *p < *q ? -1 : 1;
}

/* One entry for each path; whole wins, since it says more. */
static void sort_unique(struct btrfs_changed *changed)
{
        size_t kept = 0;

        if (changed->n == 0)
                return;
        qsort(changed->v, changed->n, sizeof(*changed->v), path_order);
        for (size_t i = 1; i < changed->n; i++) {
                struct btrfs_changed_path *last = &changed->v[kept];

                if (strcmp(last->path, changed->v[i].path) != 0) {
                        changed->v[++kept] = changed->v[i];
                        continue;
                }
                last->whole = last->whole || changed->v[i].whole;
                free(changed->v[i].path);
        }
        changed->n = kept + 1;
}

int btrfs_changed_find(int fd, uint64_t from_root, uint64_t to_root, uint64_t split,
                       struct btrfs_changed *changed, struct err *err)
{
        struct find from = { .fd = fd, .root = from_root, .changed = changed };
        struct find to = { .fd = fd, .root = to_root, .changed = changed };
        int result;

        result = find_on_side(&from, to_root, split, err);
        if (result == 0)
                result = find_on_side(&to, from_root, split, err);
        free(from.dir_path);
        free(to.dir_path);
        sort_unique(changed);
        return result;
}

void btrfs_changed_done(struct btrfs_changed *changed)
{
        for (size_t i = 0; i < changed->n; i++)
                free(changed->v[i].path);
        free(changed->v);
}
