/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "tests/driver/db_world.h"
#include "tests/lib/killed.h"
#include "tests/lib/test.h"

/*
 * Killed at any moment (tests/lib/killed.h).  After each time the live schema can be written at
 * once, a copy is whole or absent, and the same call succeeds and means the same.
 */

#define SAMPLE 8

static struct err err;

static int copy(struct db *db)
{
        return world.driver->hold(db, "shop", 20000, &err) < 0 ||
                               world.driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err) < 0
                       ? -1
                       : world.driver->release(db, &err);
}

static int freeze(struct db *db)
{
        return world.driver->set_writable(db, COPY_NAME, false, &err);
}

static int thaw(struct db *db)
{
        return world.driver->set_writable(db, COPY_NAME, true, &err);
}

static int drop(struct db *db)
{
        return db_drop(world.driver, db, COPY_NAME, &err);
}

struct call {
        int (*run)(struct db *db);
        int (*prepare)(struct db *db); /* from the state that the call makes to where it begins */
        bool makes, removes, read_only;
};

/* In the child: a connection of its own, as a process that comes back after a crash has. */
static int connect_and_run(void *arg)
{
        const struct call *call = arg;
        struct db *db;
        int r;

        if (world.driver->open(&world.conf, &db, &err) < 0)
                return -1;
        r = call->run(db);
        if (r < 0)
                printf("# %s\n", err.msg);
        fflush(stdout);
        world.driver->close(db);
        return r;
}

static bool sampled(void)
{
        return db_factory.costly && getenv("SITESNAP_TEST_ALL") == NULL;
}

static void kill_everywhere(const char *name, struct call *call)
{
        unsigned step = sampled() ? SAMPLE : 1, first = 1 + (unsigned)getpid() % step;
        struct db *db = world_begin("shop");
        bool ended = false;
        unsigned n;

        if (!call->makes)
                ASSERT_OK(copy(db));
        for (n = first; !ended && n < KILLED_MOST; n += step) {
                if (n > first)
                        ASSERT_OK(call->prepare(db));
                ended = killed_at(connect_and_run, call, n);
                ASSERT(world_can_write("shop", ROWS + n));
                if (world_exists(db, COPY_NAME))
                        ASSERT(world_counts(COPY_NAME).left >= ROWS);
                else
                        ASSERT(call->makes || call->removes);
                ASSERT_OK(call->run(db));
                ASSERT(world_exists(db, COPY_NAME) == !call->removes);
                if (!call->removes)
                        ASSERT(world_can_write(COPY_NAME, 10 * ROWS + n) == !call->read_only);
        }
        ASSERT(ended);
        printf("# %s: killed at %u points, from %u by %u\n", name, (n - first) / step - 1, first,
               step);
        world.driver->close(db);
}

TEST(killed_while_copying)
{
        kill_everywhere("copy", &(struct call){ copy, drop, .makes = true });
}

TEST(killed_while_made_read_only)
{
        kill_everywhere("read-only", &(struct call){ freeze, thaw, .read_only = true });
}

static int thaw_and_freeze(struct db *db)
{
        return thaw(db) < 0 ? -1 : freeze(db);
}

TEST(killed_while_made_writable)
{
        kill_everywhere("writable", &(struct call){ thaw, thaw_and_freeze });
}

TEST(killed_while_dropping)
{
        kill_everywhere("drop", &(struct call){ drop, copy, .removes = true });
}
