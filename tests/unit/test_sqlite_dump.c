/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/sqlite_dump.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

static struct err err;
static struct db_conf conf;
static const struct db_driver *const driver = &db_driver_sqlite;

/* A dump in memory. */
static struct {
        unsigned char bytes[1 << 20];
        size_t n, at;
} dump;

static int on_dump(const void *bytes, size_t size, void *arg, struct err *why)
{
        (void)arg;
        (void)why;
        ASSERT(dump.n + size <= sizeof(dump.bytes));
        memcpy(dump.bytes + dump.n, bytes, size);
        dump.n += size;
        return 0;
}

/* In pieces of odd sizes. */
static ssize_t next(void *bytes, size_t size, void *arg, struct err *why)
{
        size_t n = dump.n - dump.at;

        (void)arg;
        (void)why;
        n = n < size ? n : size;
        n = n < 777 ? n : 777;
        memcpy(bytes, dump.bytes + dump.at, n);
        dump.at += n;
        return (ssize_t)n;
}

static struct db *begin(void)
{
        struct db *db;

        tenant_begin(NULL, 0, &conf);
        tenant_dir("shop");
        ASSERT_EQ(
                tenant_sql(TENANT, "shop/x.db",
                           "PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (7)"),
                SQLITE_OK);
        ASSERT_EQ(tenant_sql(TENANT, "shop/y.db", "CREATE TABLE u (b)"), SQLITE_OK);
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static struct sqlite_dump_header *header_at(size_t at)
{
        return (struct sqlite_dump_header *)(void *)(dump.bytes + at);
}

static int load(struct db *db)
{
        dump.at = 0;
        return driver->load(db, "snap5_shop", next, NULL, &err);
}

/* Neither the schema nor anything unfinished. */
static void is_absent(void)
{
        ASSERT_EQ(faccessat(conf.root_fd, "snap5_shop", F_OK, 0), -1);
        ASSERT_EQ(faccessat(conf.root_fd, "snap5_shop.partial", F_OK, 0), -1);
}

TEST(a_dump_becomes_the_same_schema)
{
        struct db *db = begin();
        struct stat st;

        ASSERT_EQ(fchmodat(conf.root_fd, "shop", 0750, 0), 0);
        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        ASSERT_OK(load(db));
        ASSERT_STR(tenant_value(TENANT, "snap5_shop/x.db", "SELECT a FROM t"), "7");
        ASSERT_STR(tenant_value(TENANT, "snap5_shop/x.db", "PRAGMA journal_mode"), "wal");
        ASSERT_STR(tenant_value(TENANT, "snap5_shop/y.db", "SELECT count(*) FROM u"), "0");
        ASSERT_EQ(fstatat(conf.root_fd, "snap5_shop/x.db", &st, 0), 0);
        ASSERT_EQ(st.st_uid, TENANT);
        ASSERT_EQ(fstatat(conf.root_fd, "snap5_shop", &st, 0), 0);
        ASSERT_EQ(st.st_mode & 07777, 0750);
        ASSERT_EQ(tenant_sql(TENANT, "snap5_shop/x.db", "INSERT INTO t VALUES (8)"), SQLITE_OK);
        driver->close(db);
}

TEST(a_read_only_schema_is_dumped_as_it_was_before)
{
        struct db *db = begin();

        ASSERT_OK(driver->copy(db, "shop", "snap1_shop", NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, "snap1_shop", false, &err));
        ASSERT_OK(driver->dump(db, "snap1_shop", on_dump, NULL, &err));
        ASSERT_OK(load(db));
        ASSERT_EQ(tenant_sql(TENANT, "snap5_shop/x.db", "INSERT INTO t VALUES (8)"), SQLITE_OK);
        driver->close(db);
}

TEST(wherever_a_dump_ends_too_early_nothing_is_left)
{
        struct db *db = begin();
        size_t all;

        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        all = dump.n;
        for (dump.n = 0; dump.n < all; dump.n += 1 + all / 40) {
                ASSERT_ERR(load(db), ERR_CORRUPT, "the dump ends too early");
                is_absent();
        }
        driver->close(db);
}

TEST(names_and_kinds_that_no_schema_has_are_refused)
{
        static const char *const names[] = {
                "../x", "a/b", "", ".", "..", "/etc/x", ".sitesnap-before-read-only", "a\nb"
        };
        struct db *db = begin();

        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                memset(header_at(0)->name, 0, sizeof(header_at(0)->name));
                memcpy(header_at(0)->name, names[i], strlen(names[i]));
                ASSERT_ERR(load(db), ERR_CORRUPT, "a name that it may not have");
                is_absent();
        }
        memset(header_at(0)->name, 'a', sizeof(header_at(0)->name));
        ASSERT_ERR(load(db), ERR_CORRUPT, "no dump of SQLite");
        memset(header_at(0)->name + 1, 0, sizeof(header_at(0)->name) - 1);
        header_at(0)->mode = 04755;
        ASSERT_ERR(load(db), ERR_CORRUPT, "no dump of SQLite");
        header_at(0)->mode = 0600;
        header_at(0)->kind = 3;
        ASSERT_ERR(load(db), ERR_CORRUPT, "no dump of SQLite");
        header_at(0)->kind = SQLITE_DUMP_FILE;
        header_at(0)->bytes = UINT64_C(1) << 60;
        ASSERT_ERR(load(db), ERR_NO_SPACE, "MB free");
        is_absent();
        driver->close(db);
}

TEST(a_name_that_comes_twice_is_refused)
{
        struct db *db = begin();
        struct sqlite_dump_header *first = header_at(0);

        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        first->bytes = 0;
        memcpy(header_at(sizeof(*first)), first, sizeof(*first));
        ASSERT_ERR(load(db), ERR_CORRUPT, "twice");
        is_absent();
        driver->close(db);
}

TEST(a_damaged_database_is_found)
{
        struct db *db = begin();

        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        /* The last page of the last database, before the header that ends it. */
        memset(dump.bytes + dump.n - sizeof(struct sqlite_dump_header) - 4096, 0xff, 4096);
        ASSERT_ERR(load(db), ERR_CORRUPT, "'y.db'");
        is_absent();
        driver->close(db);
}

TEST(what_is_not_a_copy_is_never_replaced)
{
        struct db *db = begin();

        ASSERT_OK(driver->dump(db, "shop", on_dump, NULL, &err));
        dump.at = 0;
        ASSERT_ERR(driver->load(db, "shop", next, NULL, &err), ERR_EXISTS, "'shop'");
        ASSERT_STR(tenant_value(TENANT, "shop/x.db", "SELECT a FROM t"), "7");
        driver->close(db);
}
