/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "fsdrivers/treelinks.h"

/* 0 on file systems that do not keep it: then the inode number has to do. */
static int64_t birth_of(const struct statx *stx)
{
        if ((stx->stx_mask & STATX_BTIME) == 0)
                return 0;
        return stx->stx_btime.tv_sec * 1000000000 + stx->stx_btime.tv_nsec;
}

/* The slot of an inode, or the free one where it belongs: there is always one (half are). */
static struct treelink *slot_of(struct treelink *slots, size_t room, uint64_t ino,
                                int64_t birth_nsec)
{
        size_t at = (size_t)(ino * 0x9e3779b97f4a7c15ULL) & (room - 1);

        while (slots[at].path != NULL &&
               (slots[at].ino != ino || slots[at].birth_nsec != birth_nsec))
                at = (at + 1) & (room - 1);
        return &slots[at];
}

/* At most half full, so that the search for a slot ends soon. */
static int grow(struct treelinks *links, struct err *err)
{
        size_t room = links->room == 0 ? 64 : links->room * 2;
        struct treelink *slots = calloc(room, sizeof(*slots));

        if (slots == NULL)
                return err_oom(err);
        for (size_t i = 0; i < links->room; i++)
                if (links->slots[i].path != NULL)
                        *slot_of(slots, room, links->slots[i].ino, links->slots[i].birth_nsec) =
                                links->slots[i];
        free(links->slots);
        links->slots = slots;
        links->room = room;
        return 0;
}

struct treelink *treelinks_find(const struct treelinks *links, const struct statx *stx)
{
        struct treelink *slot;

        if (links->n == 0)
                return NULL;
        slot = slot_of(links->slots, links->room, stx->stx_ino, birth_of(stx));
        return slot->path == NULL ? NULL : slot;
}

int treelinks_add(struct treelinks *links, const struct statx *stx, const char *path,
                  struct err *err)
{
        struct treelink *slot;
        char *kept;

        if (links->n * 2 >= links->room && grow(links, err) < 0)
                return -1;
        kept = strdup(path);
        if (kept == NULL)
                return err_oom(err);
        slot = slot_of(links->slots, links->room, stx->stx_ino, birth_of(stx));
        *slot = (struct treelink){ .path = kept,
                                   .ino = stx->stx_ino,
                                   .birth_nsec = birth_of(stx),
                                   .names = stx->stx_nlink,
                                   .seen = 1 };
        links->n++;
        return 0;
}

void treelinks_done(struct treelinks *links)
{
        for (size_t i = 0; i < links->room; i++)
                free(links->slots[i].path);
        free(links->slots);
        memset(links, 0, sizeof(*links));
}
