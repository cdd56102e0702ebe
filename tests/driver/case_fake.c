/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fake_fs.h"
#include "tests/driver/fs_conformance.h"

static void plant(struct world *world)
{
        put_dir(world->pool_fd, "trees/3", 0700);
        put(world->pool_fd, "trees/3/half", "h");
        put(world->pool_fd, "info/3.partial", "froz");
}

static void expect_clean(struct world *world)
{
        ASSERT(!has(world->pool_fd, "trees/3"));
}

const struct fs_case fs_case = {
        .driver = &fs_driver_fake,
        .fs_type = "ext4",
        .mbytes = 400,
        .plant = plant,
        .expect_clean = expect_clean,
        .copies = true,
};

static struct err err;
static unsigned countdown;

static int fail_once(const char *call, unsigned part, struct err *e)
{
        return --countdown == 0 ? err_fail(e, ERR_IO, 0, "%s, part %u", call, part) : 0;
}

/* What the crash matrix relies on. */
TEST(injected_faults_leave_old_or_new)
{
        struct world w;
        unsigned n = 0;
        int ret;

        world_make(&w);
        world_import(&w, 1);
        do {
                fs_id id = 10 + ++n;

                countdown = n;
                fake_fs_fault(fail_once);
                ret = w.driver->capture(w.pool, 1, id, &err);
                fake_fs_fault(NULL);
                if (ret < 0)
                        ASSERT(err.code == ERR_IO && strstr(err.msg, "capture, part") != NULL);
                world_reopen(&w);
                ASSERT_OK(w.driver->capture(w.pool, 1, id, &err));
                expect_same(listing_of(&w, 1), listing_of(&w, id));
                ASSERT_OK(w.driver->remove(w.pool, id, &err));
        } while (ret < 0);
        ASSERT_EQ(n, 5);
}
