/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "snapd/sitecache.h"
#include "tests/lib/test.h"

static struct err err;
static struct dirs dirs;
static struct sitecache *cache;

static void begin(void)
{
        test_need_syscalls();
        dirs.conf = test_tmpdir();
        dirs.conf_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(dirs.conf_fd >= 0);
        ASSERT_OK(sitecache_open(&dirs, &cache, &err));
}

/* A new file each time, as an editor makes it; without the fsync of real ones. */
static void conf_put(const char *name, const char *text)
{
        char file[64];
        int fd;

        (void)mkdirat(dirs.conf_fd, "sites.d", 0755);
        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", name);
        fd = openat(dirs.conf_fd, "sites.d/.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        (void)close(fd);
        ASSERT_EQ(renameat(dirs.conf_fd, "sites.d/.new", dirs.conf_fd, file), 0);
}

static const char *good(const char *owner)
{
        static char text[200];

        (void)snprintf(text, sizeof(text), "[site]\nhome = /srv/shop\nowner = %s\n", owner);
        return text;
}

TEST(a_site_is_read_and_read_again_when_it_changes)
{
        bool configured;

        begin();
        conf_put("shop", good("nobody"));
        ASSERT_EQ(sitecache_site(cache, "shop", &configured)->uid, 65534);
        ASSERT(configured);
        conf_put("shop", good("daemon"));
        ASSERT_EQ(sitecache_site(cache, "shop", NULL)->uid, 1);
        conf_put("shop", good("nobody"));
        ASSERT_EQ(sitecache_site(cache, "shop", NULL)->uid, 65534);
        sitecache_close(cache);
}

TEST(a_file_edited_in_place_counts_at_once)
{
        int fd;

        begin();
        conf_put("shop", good("daemon"));
        ASSERT_STR(sitecache_site(cache, "shop", NULL)->owner, "daemon");
        fd = openat(dirs.conf_fd, "sites.d/shop.conf", O_WRONLY | O_TRUNC | O_CLOEXEC);
        ASSERT_OK(file_write_all(fd, good("nobody"), strlen(good("nobody")), &err));
        ASSERT_STR(sitecache_site(cache, "shop", NULL)->owner, "nobody");
        (void)close(fd);
        sitecache_close(cache);
}

TEST(a_file_with_mistakes_has_no_owner)
{
        bool configured;

        begin();
        conf_put("shop", good("nobody"));
        ASSERT(sitecache_site(cache, "shop", NULL) != NULL);
        conf_put("shop", "[site]\nhome = relative\n");
        ASSERT(sitecache_site(cache, "shop", &configured) == NULL);
        ASSERT(configured);
        sitecache_close(cache);
}

TEST(a_removed_file_is_gone)
{
        bool configured;

        begin();
        ASSERT(sitecache_site(cache, "shop", &configured) == NULL);
        ASSERT(!configured);
        conf_put("shop", good("nobody"));
        conf_put("blog", good("nobody"));
        ASSERT(sitecache_site(cache, "blog", NULL) != NULL);
        ASSERT(sitecache_site(cache, "shop", NULL) != NULL);
        ASSERT_EQ(unlinkat(dirs.conf_fd, "sites.d/blog.conf", 0), 0);
        ASSERT(sitecache_site(cache, "blog", &configured) == NULL);
        ASSERT(!configured);
        ASSERT(sitecache_site(cache, "shop", NULL) != NULL);
        sitecache_close(cache);
}

TEST(names_that_are_no_sites_are_not_looked_for)
{
        bool configured;

        begin();
        conf_put("shop", good("nobody"));
        ASSERT(sitecache_site(cache, "../sites.d/shop", &configured) == NULL);
        ASSERT(!configured);
        ASSERT(sitecache_site(cache, "", &configured) == NULL);
        ASSERT(!configured);
        sitecache_close(cache);
}

static int note_name(const char *name, void *arg, struct err *e)
{
        char *names = arg;

        (void)e;
        (void)snprintf(names + strlen(names), 100 - strlen(names), "%s ", name);
        return 0;
}

TEST(names_come_in_order_and_only_of_site_files)
{
        char names[100] = "";

        begin();
        ASSERT_OK(sitecache_names(cache, note_name, names, &err));
        ASSERT_STR(names, "");
        conf_put("shop", "");
        conf_put("blog", "");
        conf_put("Not", "");
        conf_put("old.removed", "");
        ASSERT_OK(sitecache_names(cache, note_name, names, &err));
        ASSERT_STR(names, "blog shop ");
        sitecache_close(cache);
}

TEST(a_thousand_sites_stay_in_order)
{
        begin();
        for (int i = 0; i < 1000; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "s%d", i * 7919 % 1000);
                conf_put(name, good(i * 7919 % 1000 % 2 == 0 ? "daemon" : "nobody"));
                ASSERT(sitecache_site(cache, name, NULL) != NULL);
        }
        for (int i = 0; i < 1000; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "s%d", i);
                ASSERT_EQ(sitecache_site(cache, name, NULL)->uid, i % 2 == 0 ? 1 : 65534);
        }
        sitecache_close(cache);
}
