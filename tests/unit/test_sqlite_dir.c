/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/sqlite_dir.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

static struct err err;
static struct db_conf conf;
static int shop_fd;

static void begin(void)
{
        tenant_begin(NULL, 0, &conf);
        tenant_dir("shop");
        shop_fd = openat(conf.root_fd, "shop", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(shop_fd >= 0);
        ASSERT_EQ(tenant_sql(TENANT, "shop/site.db", "CREATE TABLE a(b)"), 0);
}

static void put(const char *name, const char *text)
{
        CLEANUP(closep) int fd = openat(shop_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0640);

        ASSERT(fd >= 0 && fchown(fd, TENANT, TENANT) == 0 &&
               write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static struct sqlite_dir *list(void)
{
        struct sqlite_dir *dir = NULL;

        ASSERT_OK(sqlite_dir_open(conf.root_fd, "shop", TENANT, &dir, &err));
        return dir;
}

static int try_list(void)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        return sqlite_dir_open(conf.root_fd, "shop", TENANT, &dir, &err);
}

static void assert_kind(const struct sqlite_dir *dir, const char *name, enum sqlite_kind kind)
{
        const struct sqlite_entry *entry = sqlite_dir_find(dir, name);

        if (entry == NULL || entry->kind != kind)
                test_fail(__FILE__, __LINE__, "'%s' is of kind %d, not %d", name,
                          entry == NULL ? -1 : (int)entry->kind, (int)kind);
}

TEST(every_entry_has_its_kind)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        begin();
        ASSERT_EQ(tenant_sql(TENANT, "shop/.ht wiki\n\"'",
                             "PRAGMA journal_mode=WAL;"
                             "CREATE TABLE a(b)"),
                  0);
        put("site.db-journal", "");
        put("site.db-mj12345678A", "x");
        put("site.db-copy", "x");
        put("other-wal", "no database of that name");
        put(".htaccess", "Deny from all\n");
        put("empty", "");
        ASSERT(mkdirat(shop_fd, "locks", 0770) == 0);
        put("locks/a.lock", "");
        dir = list();
        ASSERT_EQ(dir->n, 11);
        ASSERT_EQ(dir->mode, 0700);
        ASSERT(!dir->read_only);
        ASSERT_EQ(sqlite_dir_databases(dir), 2);
        assert_kind(dir, "site.db", SQLITE_KIND_DATABASE);
        ASSERT(!sqlite_dir_find(dir, "site.db")->wal);
        assert_kind(dir, ".ht wiki\n\"'", SQLITE_KIND_DATABASE);
        ASSERT(sqlite_dir_find(dir, ".ht wiki\n\"'")->wal);
        assert_kind(dir, ".ht wiki\n\"'-wal", SQLITE_KIND_SIDE);
        assert_kind(dir, ".ht wiki\n\"'-shm", SQLITE_KIND_SIDE);
        assert_kind(dir, "site.db-journal", SQLITE_KIND_SIDE);
        assert_kind(dir, "site.db-mj12345678A", SQLITE_KIND_SIDE);
        assert_kind(dir, "site.db-copy", SQLITE_KIND_FILE);
        assert_kind(dir, "other-wal", SQLITE_KIND_FILE);
        assert_kind(dir, ".htaccess", SQLITE_KIND_FILE);
        assert_kind(dir, "empty", SQLITE_KIND_FILE);
        assert_kind(dir, "locks", SQLITE_KIND_DIR);
        ASSERT(sqlite_dir_find(dir, "none") == NULL);
}

TEST(what_could_hide_a_part_of_the_database_is_refused)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        begin();
        ASSERT(symlinkat("/etc/passwd", shop_fd, "link.db") == 0);
        ASSERT_ERR(try_list(), ERR_UNSUPPORTED, "'shop': 'link.db' in it is not a file");
        ASSERT(unlinkat(shop_fd, "link.db", 0) == 0);

        ASSERT(mkfifoat(shop_fd, "pipe.db", 0666) == 0);
        ASSERT_ERR(try_list(), ERR_UNSUPPORTED, "'pipe.db' in it is not a file");
        ASSERT(unlinkat(shop_fd, "pipe.db", 0) == 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket",
                       shop_fd);
        ASSERT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
        ASSERT_ERR(try_list(), ERR_UNSUPPORTED, "'socket' in it is not a file");
        ASSERT(unlinkat(shop_fd, "socket", 0) == 0);

        ASSERT(mkdirat(shop_fd, "more", 0700) == 0);
        put("more/b.db", "content");
        ASSERT_ERR(try_list(), ERR_UNSUPPORTED, "the directory 'more' in it has content ('b.db')");
        ASSERT(unlinkat(shop_fd, "more/b.db", 0) == 0);
        ASSERT(mkdirat(shop_fd, "more/b", 0700) == 0);
        ASSERT_ERR(try_list(), ERR_UNSUPPORTED, "the directory 'more' in it has content");
}

TEST(root_reads_no_file_of_anybody_elses)
{
        begin();
        ASSERT(linkat(shop_fd, "site.db", conf.root_fd, "second", 0) == 0);
        ASSERT_ERR(try_list(), ERR_REFUSED, "'site.db' has 2 names");
        ASSERT(unlinkat(conf.root_fd, "second", 0) == 0);
        put("foreign", "x");
        ASSERT(fchownat(shop_fd, "foreign", 1, 1, 0) == 0);
        ASSERT_ERR(try_list(), ERR_REFUSED, "'foreign' belongs to uid 1, not to the site (33)");
        /* Root's own is the record's privilege in a directory of root's. */
        ASSERT(fchownat(shop_fd, "foreign", 0, 0, 0) == 0);
        ASSERT_ERR(try_list(), ERR_REFUSED, "'foreign' belongs to uid 0");
        ASSERT(unlinkat(shop_fd, "foreign", 0) == 0);
        ASSERT(fchown(shop_fd, 1, 1) == 0);
        ASSERT_ERR(try_list(), ERR_REFUSED, "'shop' belongs to uid 1");
}

TEST(names_of_schemas_are_one_component)
{
        struct sqlite_dir *dir;
        char name[DB_NAME_MAX + 8];

        begin();
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, "../shop", TENANT, &dir, &err), ERR_INVALID,
                   "'..'");
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, "a/b", TENANT, &dir, &err), ERR_INVALID,
                   "one component");
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, "", TENANT, &dir, &err), ERR_INVALID, "bytes");
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, "shop.partial", TENANT, &dir, &err), ERR_INVALID,
                   "unfinished");
        memset(name, 'a', sizeof(name));
        name[DB_NAME_MAX] = '\0';
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, name, TENANT, &dir, &err), ERR_INVALID,
                   "one component");
        ASSERT(symlinkat("shop", conf.root_fd, "link") == 0);
        ASSERT_ERR(sqlite_dir_open(conf.root_fd, "link", TENANT, &dir, &err), ERR_REFUSED,
                   "symbolic link");
}

TEST(two_listings_are_the_same_when_their_databases_are)
{
        struct sqlite_dir *a, *b;

        begin();
        a = list();
        put("file", "x");
        b = list();
        ASSERT(sqlite_dir_same(a, b));
        sqlite_dir_close(b);
        ASSERT_EQ(tenant_sql(TENANT, "shop/site.db", "PRAGMA journal_mode=WAL"), 0);
        b = list();
        ASSERT(!sqlite_dir_same(a, b));
        sqlite_dir_close(b);
        ASSERT_EQ(tenant_sql(TENANT, "shop/site.db", "PRAGMA journal_mode=DELETE"), 0);
        ASSERT_EQ(tenant_sql(TENANT, "shop/more.db", "CREATE TABLE a(b)"), 0);
        b = list();
        ASSERT(!sqlite_dir_same(a, b) && !sqlite_dir_same(b, a));
        sqlite_dir_close(a);
        sqlite_dir_close(b);
        sqlite_dir_close(NULL);
}

TEST(a_directory_is_removed_whatever_is_nested_in_it)
{
        CLEANUP(closep) int outside = -1;
        int at = dup(shop_fd);
        struct stat st;

        begin();
        at = dup(shop_fd);
        for (int depth = 0; depth < 300; depth++) {
                int next;

                ASSERT(mkdirat(at, "deep", 0700) == 0);
                next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT(next >= 0);
                (void)close(at);
                at = next;
                if (depth % 50 == 0) {
                        ASSERT(mkdirat(at, ".removing.1", 0700) == 0);
                        ASSERT(symlinkat("/etc", at, "link") == 0);
                        ASSERT(mkfifoat(at, "fifo", 0600) == 0);
                }
        }
        ASSERT(mkdirat(conf.root_fd, "outside", 0755) == 0);
        outside = openat(conf.root_fd, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(symlinkat("../outside", shop_fd, "out") == 0);
        for (int twice = 0; twice < 2; twice++) {
                ASSERT_OK(sqlite_dir_remove(conf.root_fd, "shop", &err));
                ASSERT(fstatat(conf.root_fd, "shop", &st, 0) < 0 && errno == ENOENT);
        }
        ASSERT(fstat(outside, &st) == 0 && st.st_nlink == 2 && st.st_uid == 0);
        ASSERT(symlinkat("outside", conf.root_fd, "shop") == 0);
        ASSERT_ERR(sqlite_dir_remove(conf.root_fd, "shop", &err), ERR_REFUSED, "symbolic link");
}
