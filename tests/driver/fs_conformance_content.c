/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

/* What trees hold: every change a site can make is in the next capture, and in no earlier one. */

static struct err err;

/* Changes of every kind, different in each round. */
static void churn(int fd, unsigned round)
{
        char name[40], text[40];

        (void)snprintf(text, sizeof(text), "round %u", round);
        (void)snprintf(name, sizeof(name), "lib/new-%u", round);
        put(fd, "index.php", text);
        put(fd, name, text);
        if (round > 0) {
                (void)snprintf(name, sizeof(name), "lib/new-%u", round - 1);
                del(fd, name);
        }
        switch (round % 6) {
        case 0: /* a directory goes and another of that name comes */
                del_tree(fd, "lib/sub");
                put_dir(fd, "lib/sub", 0750);
                put(fd, "lib/sub/only-new", text);
                break;
        case 1: /* a file becomes a directory */
                del(fd, "lib/b");
                put_dir(fd, "lib/b", 0755);
                put(fd, "lib/b/inside", text);
                break;
        case 2: /* a directory becomes a file */
                del_tree(fd, "lib/b");
                put(fd, "lib/b", text);
                break;
        case 3: /* renames, onto another file too */
                put(fd, "lib/tmp", text);
                ASSERT(renameat(fd, "lib/tmp", fd, "lib/b") == 0);
                ASSERT(renameat(fd, "lib/sub/only-new", fd, "moved") == 0);
                break;
        case 4: /* a file becomes a link and a link a directory */
                del(fd, "moved");
                put_link(fd, "moved", "lib");
                del(fd, "lib/link");
                put_dir(fd, "lib/link", 0700);
                put(fd, "lib/link/in", text);
                break;
        default: /* all is put back, attributes change */
                del(fd, "moved");
                del_tree(fd, "lib/link");
                put_link(fd, "lib/link", "a");
                ASSERT(fchmodat(fd, "lib", 0711, 0) == 0);
                ASSERT(fchmodat(fd, ".", 0755, 0) == 0);
                del_tree(fd, "lib/sub");
                put_dir(fd, "lib/sub", 0755);
                break;
        }
}

TEST(every_kind_of_change_is_captured)
{
        char *kept[20];
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (unsigned round = 0; round < 14; round++) {
                churn(w.head_fd, round);
                kept[round] = listing(w.head_fd);
                world_capture(&w, 1, 10 + round);
                expect_same(kept[round], listing(w.head_fd));
        }
        for (unsigned round = 0; round < 14; round++)
                expect_same(kept[round], listing_of(&w, 10 + round));
}

TEST(capture_without_changes_is_the_same_again)
{
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        before = listing(w.head_fd);
        world_capture(&w, 1, 2);
        world_capture(&w, 1, 3);
        world_capture(&w, 1, 4);
        expect_same(before, listing_of(&w, 3));
        expect_same(before, listing_of(&w, 4));
        expect_same(before, listing(w.head_fd));
}

TEST(holes_stay_holes)
{
        CLEANUP(closep) int fd = -1;
        struct world w;
        struct stat st;

        world_make(&w);
        world_import(&w, 1);
        world_use(&w, 1);
        world_capture(&w, 1, 2);
        fd = world_mount(&w, 2, true);
        ASSERT(fstatat(fd, "sparse", &st, 0) == 0);
        ASSERT_EQ(st.st_size, (1 << 20) + 3);
        ASSERT(st.st_blocks < 256);
}

TEST(deep_history_stays_right_when_tidied)
{
        char *kept[41], *head;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (unsigned i = 0; i <= 40; i++) {
                churn(w.head_fd, i);
                kept[i] = listing(w.head_fd);
                world_capture(&w, 1, 100 + i);
        }
        put(w.head_fd, "after", "all");
        head = listing(w.head_fd);
        if (w.driver->tidy != NULL) {
                /* With the head in use, and where a driver can see that it is. */
                put_dir(w.root_fd, "live", 0755);
                ASSERT_OK(mount_attach(w.head_fd, w.root_fd, "live", &err));
                ASSERT_OK(w.driver->tidy(w.pool, &err));
                expect_same(head, listing(w.head_fd));
                closep(&w.head_fd);
                w.head_fd = -1;
                ASSERT_OK(mount_detach(w.root_fd, "live", &err));
        }
        world_use(&w, 1);
        expect_same(head, listing(w.head_fd));
        for (unsigned i = 0; i <= 40; i++)
                expect_same(kept[i], listing_of(&w, 100 + i));
        churn(w.head_fd, 41);
        head = listing(w.head_fd);
        world_capture(&w, 1, 200);
        expect_same(head, listing_of(&w, 200));

        /* With most of them removed, and tidied again, nothing of the rest changes. */
        for (unsigned i = 0; i <= 40; i++)
                if (i % 7 != 3)
                        ASSERT_OK(w.driver->remove(w.pool, 100 + i, &err));
        closep(&w.head_fd);
        if (w.driver->tidy != NULL) {
                ASSERT_OK(w.driver->tidy(w.pool, &err));
                ASSERT_OK(w.driver->tidy(w.pool, &err));
        }
        world_reopen(&w);
        for (unsigned i = 3; i <= 40; i += 7)
                expect_same(kept[i], listing_of(&w, 100 + i));
        expect_same(head, listing_of(&w, 200));
        expect_same(head, listing_of(&w, 1));
}

struct writing {
        char current[256]; /* the path that a site writes through */
        volatile unsigned acknowledged;
        volatile bool stop;
};

/* As a site does: each file through the link of that moment, acknowledged once written. */
static void write_on(struct writing *writing)
{
        for (unsigned i = 0; !writing->stop; i++) {
                char path[300];
                int fd;

                (void)snprintf(path, sizeof(path), "%s/lib/w%u", writing->current, i);
                fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (fd < 0 && errno == EROFS) { /* the old version was sealed between the two */
                        i--;
                        continue;
                }
                if (fd < 0 || write(fd, path, 16) != 16 || close(fd) < 0)
                        _exit(1);
                writing->acknowledged = i + 1;
                (void)usleep(300);
        }
        _exit(0);
}

static void flip(struct world *w, const char *target)
{
        (void)unlinkat(w->root_fd, "current.new", 0);
        put_link(w->root_fd, "current.new", target);
        ASSERT(renameat(w->root_fd, "current.new", w->root_fd, "current") == 0);
}

static void show(struct world *w, int versions_fd, unsigned n)
{
        CLEANUP(closep) int fd = world_mount(w, 1, false);
        char name[16], target[32];

        (void)snprintf(name, sizeof(name), "%u", n);
        (void)snprintf(target, sizeof(target), "versions/%u", n);
        put_dir(versions_fd, name, 0755);
        ASSERT_OK(mount_attach(fd, versions_fd, name, &err));
        flip(w, target);
}

/* A driver that copies does so with all that was written by then. */
#define LIVE_CAPTURES 25
#define LIVE_CAPTURES_COPIED 6

TEST(live_capture_loses_no_acknowledged_write)
{
        struct writing *writing = mmap(NULL, sizeof(*writing), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CLEANUP(closep) int versions_fd = -1;
        char *frozen[LIVE_CAPTURES];
        unsigned at_capture[LIVE_CAPTURES], n = LIVE_CAPTURES;
        struct world w;
        int status;
        pid_t pid;

        if (fs_case.copies)
                n = LIVE_CAPTURES_COPIED;
        world_make(&w);
        world_import(&w, 1);
        versions_fd = root_dir(w.root, "versions");
        show(&w, versions_fd, 0);
        (void)snprintf(writing->current, sizeof(writing->current), "%s/current", w.root);
        pid = fork();
        if (pid == 0)
                write_on(writing);
        for (unsigned i = 0; i < n; i++) {
                char old[16];

                (void)usleep(2000);
                at_capture[i] = writing->acknowledged;
                ASSERT_OK(w.driver->capture(w.pool, 1, 10 + i, &err));
                (void)snprintf(old, sizeof(old), "%u", i);
                show(&w, versions_fd, i + 1);
                if (w.driver->features & FS_CAPTURE_REMOUNTS)
                        ASSERT_OK(mount_seal(versions_fd, old, 5000, &err));
                frozen[i] = listing_of(&w, 10 + i);
        }
        writing->stop = true;
        ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
        ASSERT(writing->acknowledged > n);
        for (unsigned i = 0; i < writing->acknowledged; i++) {
                char path[64];

                (void)snprintf(path, sizeof(path), "current/lib/w%u", i);
                if (!has(w.root_fd, path))
                        test_fail(__FILE__, __LINE__, "write %u of %u was lost", i,
                                  writing->acknowledged);
        }
        for (unsigned i = 0; i < n; i++) {
                CLEANUP(closep) int fd = world_mount(&w, 10 + i, true);
                char path[64];

                expect_same(frozen[i], listing(fd));
                (void)snprintf(path, sizeof(path), "lib/w%u", at_capture[i] - 1);
                ASSERT(at_capture[i] == 0 || has(fd, path));
        }
}
