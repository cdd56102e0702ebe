/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/driver/fs_conformance.h"
#include "tests/driver/overlay_debris.h"

/* Head 1 was captured as 2: its layers are "1-2" and "1".  What is planted is what a crash leaves
 * at each point of capturing it as 3, of branching 4, of removing, merging and writing records. */
void overlay_plant(struct world *world)
{
        int fd = world->pool_fd;

        put(fd, "trees/3",
            "{\"format\":1,\"kind\":\"frozen\",\"parent\":1,"
            "\"layers\":[\"1-2\",\"1\"]}");
        put(fd, "trees/1.partial", "{\"format\":1,\"ki");
        put_dir(fd, "layers/1-3", 0755);
        put_dir(fd, "work/1-3", 0700);
        put_dir(fd, "layers/4", 0755);
        put_dir(fd, "layers/1-2_1.partial", 0700);
        put_dir(fd, "layers/1-2_1.partial/half", 0755);
        put(fd, "layers/1-2_1.partial/half/file", "h");
        put_dir(fd, "layers/.dead-1-9", 0700);
        put_dir(fd, "layers/.dead-1-9/still", 0000);
        put_dir(fd, "layers/1-2.flat", 0755);
        put(fd, "layers/1-2.flat/x", "x");
        put_dir(fd, "work/9", 0700);
        put_dir(fd, "work/9/work", 0000);
}

void overlay_expect_clean(struct world *world)
{
        static const char *const gone[] = {
                "trees/3",          "trees/1.partial", "layers/1-3",
                "work/1-3",         "layers/4",        "layers/1-2_1.partial",
                "layers/.dead-1-9", "layers/1-2.flat", "work/9"
        };

        for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
                if (has(world->pool_fd, gone[i]))
                        test_fail(__FILE__, __LINE__, "'%s' is still there", gone[i]);
        ASSERT(has(world->pool_fd, "layers/1") && has(world->pool_fd, "layers/1-2"));
        ASSERT(has(world->pool_fd, "work/1-2"));
}
