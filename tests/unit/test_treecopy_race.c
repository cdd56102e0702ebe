/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "fsdrivers/treediff.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/* A tenant who changes the tree while it is copied: at a chosen moment, which is when the copy
 * reports something that the test has put in its way, or all the time. */

static struct err err;
static int src, dst;
static unsigned changed; /* how often TREECOPY_CHANGED was reported */

static void begin_in(const char *path)
{
        int dir = open(path, O_RDONLY | O_DIRECTORY);

        ASSERT(dir >= 0 && mkdirat(dir, "src", 0755) == 0 && mkdirat(dir, "dst", 0700) == 0);
        src = openat(dir, "src", O_RDONLY | O_DIRECTORY);
        dst = openat(dir, "dst", O_RDONLY | O_DIRECTORY);
        ASSERT(src >= 0 && dst >= 0);
        close(dir);
}

static void begin(void)
{
        begin_in(test_tmpdir());
}

static void put(int dir, const char *path, const char *text)
{
        int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        close(fd);
}

static void put_in(const char *parent, const char *name)
{
        char path[32];

        (void)snprintf(path, sizeof(path), "%s/%s", parent, name);
        put(src, path, "in it");
}

static bool is_there(int dir, const char *path)
{
        return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int fail_change(const struct fs_change *change, void *arg, struct err *e)
{
        (void)arg;
        return err_fail(e, ERR_CORRUPT, 0, "%s %s", change->status, change->path);
}

/* The tenant's turn, by the path that is reported. */
typedef void (*tenant_turn)(const char *path);

static int take_turn(enum treecopy_kind kind, const char *path, void *arg, struct err *e)
{
        const tenant_turn *turn = arg;

        (void)e;
        changed += kind == TREECOPY_CHANGED;
        if (kind == TREECOPY_OUTWARD_LINK && *turn != NULL)
                (*turn)(path);
        return 0;
}

/* One copy with the tenant in it, which has to succeed, and one without, which makes it equal. */
static void copy_with(tenant_turn turn)
{
        struct treecopy_options options = { .report = take_turn, .arg = &turn };

        ASSERT_OK(treecopy(src, dst, &options, NULL, &err));
        turn = NULL;
        ASSERT_OK(treecopy(src, dst, &options, NULL, &err));
        ASSERT_OK(treediff(src, dst, 0, fail_change, NULL, &err));
}

static char order[3][8];

static int note_order(const char *name, void *arg, struct err *e)
{
        size_t *n = arg;

        (void)e;
        (void)snprintf(order[(*n)++], sizeof(order[0]), "%s", name);
        return 0;
}

/* Three entries in src, named in order[] as they are listed: ${make} makes the first, the second
 * and the third, which is a link that is reported.  A file system lists them by their names or by
 * when they were made, so one of the ways to deal them out is right. */
static void make_in_order(void (*make)(const char *name, unsigned i))
{
        static const unsigned ways[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                             { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
        static const char *const names[3] = { "a", "b", "c" };

        for (size_t way = 0; way < 6; way++) {
                size_t n = 0;

                for (size_t i = 0; i < 3; i++)
                        make(names[i], ways[way][i]);
                ASSERT_OK(tree_each(src, note_order, &n, &err));
                ASSERT_EQ(n, 3);
                if (ways[way][order[0][0] - 'a'] == 0 && ways[way][order[1][0] - 'a'] == 1)
                        return;
                for (size_t i = 0; i < 3; i++)
                        ASSERT_OK(tree_remove(src, names[i], &err));
        }
        test_fail(__FILE__, __LINE__, "no way gives the order");
}

static void two_dirs_and_a_link(const char *name, unsigned i)
{
        char path[16];

        if (i == 2) {
                ASSERT(symlinkat("/outside", src, name) == 0);
                return;
        }
        (void)snprintf(path, sizeof(path), "%s/link", name);
        ASSERT(mkdirat(src, name, 0755) == 0 && symlinkat("/outside", src, path) == 0);
}

/* The first directory is there while the top is listed, gone when that has ended, and back when
 * its own turn comes, which is after the second's. */
static void gone_and_back(const char *path)
{
        if (strcmp(path, order[2]) == 0) {
                ASSERT(is_there(dst, order[0]) && is_there(dst, order[1]));
                ASSERT_OK(tree_remove(src, order[0], &err));
        } else if (strncmp(path, order[1], 1) == 0) {
                ASSERT(!is_there(src, order[0]) && !is_there(dst, order[0]));
                ASSERT(mkdirat(src, order[0], 0755) == 0);
                put_in(order[0], "back");
        }
}

TEST(a_directory_that_goes_and_comes_again_is_left_for_the_next_run)
{
        begin();
        make_in_order(two_dirs_and_a_link);
        copy_with(gone_and_back);
        ASSERT_EQ(changed, 1);
}

static void file_dir_and_a_link(const char *name, unsigned i)
{
        if (i == 0)
                put(src, name, "one file");
        else
                two_dirs_and_a_link(name, i);
}

/* A file that was copied has another name, so its copy goes; a link to it is still to come. */
static void renamed(const char *path)
{
        if (strcmp(path, order[2]) == 0)
                ASSERT(is_there(dst, order[0]) && renameat(src, order[0], src, "later") == 0);
}

TEST(a_hard_link_to_a_name_that_went_is_copied_as_a_file)
{
        char twin[16];

        begin();
        make_in_order(file_dir_and_a_link);
        (void)snprintf(twin, sizeof(twin), "%s/twin", order[1]);
        ASSERT(linkat(src, order[0], src, twin, 0) == 0);
        copy_with(renamed);
        ASSERT_EQ(changed, 1);
}

#define MANY 3000 /* names, more than are read at once */

static unsigned made_again;

/* The place of the old entry in the list is taken by another, so the new one comes at the end. */
static void file_again(const char *path)
{
        if (made_again++ > 0)
                return;
        ASSERT(strcmp(path, "many/link") == 0 && is_there(dst, "many/file"));
        ASSERT(unlinkat(src, "many/file", 0) == 0);
        put_in("many", "fill");
        put_in("many", "file");
}

static void dir_again(const char *path)
{
        if (made_again++ > 0)
                return;
        ASSERT(strcmp(path, "many/link") == 0 && is_there(dst, "many/file"));
        ASSERT_OK(tree_remove(src, "many/file", &err));
        put_in("many", "fill");
        ASSERT(mkdirat(src, "many/file", 0755) == 0);
        put_in("many/file", "in");
}

/* n[0]: how many there are; n[1], n[2]: at which of them the file and the link stand. */
static int note_places(const char *name, void *arg, struct err *e)
{
        unsigned *n = arg;

        (void)e;
        n[0]++;
        if (strcmp(name, "file") == 0)
                n[1] = n[0];
        if (strcmp(name, "link") == 0)
                n[2] = n[0];
        return 0;
}

/* A big directory on xfs, which lists names by their place. */
static void make_many(bool is_dir)
{
        unsigned places[3] = { 0 };
        int many;

        root_begin();
        begin_in(root_fs("xfs", 320));
        ASSERT(mkdirat(src, "many", 0755) == 0);
        if (is_dir) {
                ASSERT(mkdirat(src, "many/file", 0755) == 0);
                put_in("many/file", "in");
        } else
                put_in("many", "file");
        ASSERT(symlinkat("/outside", src, "many/link") == 0);
        for (unsigned i = 0; i < MANY; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "n%u", i);
                put_in("many", name);
        }
        many = openat(src, "many", O_RDONLY | O_DIRECTORY);
        ASSERT_OK(tree_each(many, note_places, places, &err));
        ASSERT(places[1] == 1 && places[2] == 2);
        close(many);
}

static void expect_listed_twice(void)
{
        unsigned places[3] = { 0 };
        int many = openat(src, "many", O_RDONLY | O_DIRECTORY);

        ASSERT_OK(tree_each(many, note_places, places, &err));
        ASSERT_EQ(made_again, 1);
        ASSERT_EQ(places[1], MANY + 3);
        close(many);
}

TEST(a_file_that_is_listed_twice_is_copied_once_more)
{
        make_many(false);
        copy_with(file_again);
        expect_listed_twice();
}

TEST(a_directory_that_is_listed_twice_is_copied_once_more)
{
        make_many(true);
        copy_with(dir_again);
        expect_listed_twice();
}
