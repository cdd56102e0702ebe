/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"
#include "tests/lib/killed.h"

/*
 * Killed at any moment (tests/lib/killed.h).  A child opens the pool and makes one call.  Each time
 * the pool is opened again: every other tree must be what it was, the tree of the call whole or
 * absent, and the same call must then succeed.
 */

static struct err err;

struct call {
        const char *name;
        void (*prepare)(struct world *w, fs_id id); /* optional: what the call needs */
        int (*run)(struct world *w, fs_id id, struct err *err);
        bool (*supported)(const struct world *w);
        bool makes; /* the tree id: absent before, there after; else there before */
        bool removes;
};

/* What the child does. */
struct made {
        struct world *w;
        const struct call *call;
        fs_id id;
};

static int open_and_run(void *arg)
{
        const struct made *made = arg;
        struct world *w = made->w;

        if (w->driver->open(w->pool_fd, &w->pool, &err) == 0 &&
            made->call->run(w, made->id, &err) == 0)
                return 0;
        printf("# %s: %s\n", made->call->name, err.msg);
        fflush(stdout);
        return -1;
}

static bool there(struct world *w, fs_id id)
{
        struct fs_info info;

        return w->driver->stat(w->pool, id, &info, &err) == 0;
}

static void check(struct world *w, const struct call *call, fs_id id, unsigned n,
                  const char *content, const char *kept)
{
        world_reopen(w);
        if (!call->makes && !call->removes)
                ASSERT(there(w, id));
        if (there(w, id) && content != NULL)
                expect_same(content, listing_of(w, id));
        expect_same(kept, listing_of(w, 2));
        ASSERT_OK(call->run(w, id, &err));
        ASSERT(there(w, id) == !call->removes);
        if (!call->removes && content != NULL)
                expect_same(content, listing_of(w, id));
        expect_same(kept, listing_of(w, 2));
        (void)n;
}

static void kill_everywhere(const struct call *call)
{
        char *kept, *head, *content;
        bool ended = false;
        struct world w;
        unsigned n;

        world_make(&w);
        if (call->supported != NULL && !call->supported(&w))
                test_skip("this driver has no such call");
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        put(w.head_fd, "lib/a", "after 2");
        del_tree(w.head_fd, "lib/sub");
        put_dir(w.head_fd, "lib/sub", 0755);
        head = listing(w.head_fd);
        closep(&w.head_fd);
        w.head_fd = -1;
        kept = listing_of(&w, 2);
        for (n = 1; !ended && n < KILLED_MOST; n++) {
                fs_id id = 100 * n;

                if (call->prepare != NULL)
                        call->prepare(&w, id);
                content = call->makes ? NULL : listing_of(&w, id);
                ASSERT_OK(w.driver->sync(w.pool, 1, &err));
                world_close(&w);
                ended = killed_at(open_and_run, &(struct made){ &w, call, id }, n);
                check(&w, call, id, n, content, kept);
                expect_same(head, listing_of(&w, 1));
                free(content);
                if (!call->removes)
                        ASSERT_OK(w.driver->remove(w.pool, id, &err));
        }
        ASSERT(ended);
        printf("# %s: killed at %u points\n", call->name, n - 2);
}

static int run_capture(struct world *w, fs_id id, struct err *e)
{
        return w->driver->capture(w->pool, 1, id, e);
}

TEST(killed_while_capturing)
{
        kill_everywhere(&(struct call){ "capture", NULL, run_capture, .makes = true });
}

static int run_branch(struct world *w, fs_id id, struct err *e)
{
        return w->driver->branch(w->pool, 2, id, e);
}

TEST(killed_while_branching)
{
        kill_everywhere(&(struct call){ "branch", NULL, run_branch, .makes = true });
}

static void prepare_branch(struct world *w, fs_id id)
{
        ASSERT_OK(w->driver->branch(w->pool, 2, id, &err));
}

static int run_remove(struct world *w, fs_id id, struct err *e)
{
        return w->driver->remove(w->pool, id, e);
}

TEST(killed_while_removing)
{
        kill_everywhere(&(struct call){ "remove", prepare_branch, run_remove, .removes = true });
}

static int run_import(struct world *w, fs_id id, struct err *e)
{
        CLEANUP(closep) int fd = openat(w->root_fd, "site-1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return w->driver->import(w->pool, fd, id, e);
}

TEST(killed_while_importing)
{
        kill_everywhere(&(struct call){ "import", NULL, run_import, .makes = true });
}

/* Something to flatten: a head on a frozen tree, with changes of its own. */
static void prepare_flatten(struct world *w, fs_id id)
{
        CLEANUP(closep) int fd = -1;

        ASSERT_OK(w->driver->branch(w->pool, 2, id, &err));
        fd = world_mount(w, id, false);
        put(fd, "lib/a", "flattened");
        del(fd, "lib/b");
}

static bool can_flatten(const struct world *w)
{
        return w->driver->flatten != NULL;
}

static int run_flatten(struct world *w, fs_id id, struct err *e)
{
        return w->driver->flatten(w->pool, id, e);
}

TEST(killed_while_flattening)
{
        kill_everywhere(&(struct call){ "flatten", prepare_flatten, run_flatten, can_flatten });
}

/* Layers that are to be merged: three captures of a head, of which only the last stays. */
static void prepare_tidy(struct world *w, fs_id id)
{
        ASSERT_OK(w->driver->branch(w->pool, 2, id, &err));
        for (fs_id next = id + 1; next <= id + 3; next++) {
                CLEANUP(closep) int fd = world_mount(w, id, false);
                char text[24];

                (void)snprintf(text, sizeof(text), "%d", (int)next);
                put(fd, "lib/a", text);
                put(fd, text, text);
                ASSERT_OK(w->driver->capture(w->pool, id, next, &err));
        }
        for (fs_id next = id + 1; next <= id + 3; next++)
                ASSERT_OK(w->driver->remove(w->pool, next, &err));
}

static bool can_tidy(const struct world *w)
{
        return w->driver->tidy != NULL;
}

static int run_tidy(struct world *w, fs_id id, struct err *e)
{
        (void)id;
        return w->driver->tidy(w->pool, e);
}

TEST(killed_while_tidying)
{
        kill_everywhere(&(struct call){ "tidy", prepare_tidy, run_tidy, can_tidy });
}

/* A world that is on the disk, with changes in the head that are not. */
static char *before_crash(struct world *w)
{
        world_make(w);
        world_start(w, 1);
        world_capture(w, 1, 2);
        put(w->head_fd, "lib/only-in-memory", "so far");
        del(w->head_fd, "lib/b");
        return listing(w->head_fd);
}

TEST(captured_tree_survives_a_crash)
{
        struct world w;
        char *head = before_crash(&w);

        ASSERT_OK(w.driver->capture(w.pool, 1, 3, &err));
        world_crash(&w);
        expect_same(head, listing_of(&w, 3));
        expect_same(head, listing_of(&w, 1));
        (void)listing_of(&w, 2);
}

TEST(branch_survives_a_crash)
{
        struct world w;
        char *two;

        (void)before_crash(&w);
        two = listing_of(&w, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_crash(&w);
        expect_same(two, listing_of(&w, 3));
        world_use(&w, 3);
        put(w.head_fd, "new", "n");
        expect_same(two, listing_of(&w, 2));
}

TEST(removed_tree_stays_removed_after_a_crash)
{
        struct world w;

        (void)before_crash(&w);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        world_crash(&w);
        ASSERT(!there(&w, 3) && there(&w, 2) && there(&w, 1));
}

TEST(sync_keeps_a_head_through_a_crash)
{
        struct world w;
        char *head = before_crash(&w);

        ASSERT_OK(w.driver->sync(w.pool, 1, &err));
        world_crash(&w);
        expect_same(head, listing_of(&w, 1));
}

TEST(flattened_head_survives_a_crash)
{
        struct world w;
        char *head = before_crash(&w);

        if (w.driver->flatten == NULL)
                test_skip("this driver has no such call");
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->sync(w.pool, 1, &err));
        ASSERT_OK(w.driver->flatten(w.pool, 1, &err));
        world_crash(&w);
        expect_same(head, listing_of(&w, 1));
        (void)listing_of(&w, 2);
}

TEST(stubs_survive_a_crash)
{
        static const char *const paths[] = { "uploads", "lib/a", "index.php" };
        struct world w;

        world_make(&w);
        world_import(&w, 1);
        ASSERT_OK(w.driver->sync(w.pool, 1, &err));
        ASSERT_OK(w.driver->stubs(w.pool, 1, paths, 3, &err));
        world_crash(&w);
        world_use(&w, 1);
        for (size_t i = 0; i < 3; i++)
                ASSERT(is_dir(w.head_fd, paths[i]));
}
