/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_LIST_H
#define FSDRIVERS_LIST_H

/*
 * Arrays that grow: any struct with the members
 *
 *   struct thing *v;     the elements
 *   size_t n, room;      how many there are, and for how many there is memory
 *
 * Zeroed is empty; the owner frees v.
 */

#include <stdbool.h>
#include <stdlib.h>

static inline void *list_grow(void *v, size_t n, size_t *room, size_t size)
{
        size_t more = *room == 0 ? 32 : *room * 2;
        void *grown;

        if (n < *room)
                return v;
        grown = reallocarray(v, more, size);
        if (grown != NULL)
                *room = more;
        return grown;
}

/* LIST_ROOM(list): Room for one more element; false is out of memory, and the list is as it was. */
#define LIST_ROOM(list)                                                                            \
        (__extension__({                                                                           \
                __typeof__((list)->v) grown_ =                                                     \
                        list_grow((list)->v, (list)->n, &(list)->room, sizeof(*(list)->v));        \
                if (grown_ != NULL)                                                                \
                        (list)->v = grown_;                                                        \
                grown_ != NULL;                                                                    \
        }))

#endif
