/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/sqlite_dir.h"
#include "dbdump/sqlite_mode.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

#define STRANGER 1 /* another tenant */

static struct err err;
static struct db_conf conf;
static int shop_fd;

/* One database in WAL mode and one not, with odd permissions, and files beside them. */
static void begin(void)
{
        tenant_begin(NULL, 0, &conf);
        tenant_dir("shop");
        shop_fd = openat(conf.root_fd, "shop", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(shop_fd >= 0);
        ASSERT_EQ(tenant_sql(TENANT, "shop/wal.db",
                             "PRAGMA journal_mode=WAL; CREATE TABLE a(b);"
                             "INSERT INTO a VALUES (1)"),
                  0);
        ASSERT_EQ(tenant_sql(TENANT, "shop/plain.db",
                             "PRAGMA journal_mode=PERSIST;"
                             "CREATE TABLE a(b);"
                             "INSERT INTO a VALUES (2)"),
                  0);
        ASSERT(fchmodat(shop_fd, "plain.db", 0604, 0) == 0);
        ASSERT(mkdirat(shop_fd, "locks", 0701) == 0);
        ASSERT(fchownat(shop_fd, "locks", TENANT, TENANT, 0) == 0);
        ASSERT(fchmod(shop_fd, 0710) == 0);
}

static int freeze(void)
{
        return sqlite_mode_freeze(conf.root_fd, "shop", TENANT, TENANT, &err);
}

static int thaw(void)
{
        return sqlite_mode_thaw(conf.root_fd, "shop", TENANT, TENANT, &err);
}

static void assert_owner(const char *name, uid_t uid, mode_t mode)
{
        struct stat st;

        ASSERT(fstatat(shop_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        if (st.st_uid != uid || (st.st_mode & 0777) != mode)
                test_fail(__FILE__, __LINE__, "'%s' is of %u with mode %03o", name, st.st_uid,
                          st.st_mode & 0777);
}

static bool is_there(const char *name)
{
        return faccessat(shop_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_frozen(void)
{
        assert_owner(".", 0, 0750);
        assert_owner("wal.db", 0, 0640);
        assert_owner("plain.db", 0, 0640);
        ASSERT(!is_there("wal.db-wal") && !is_there("wal.db-shm"));
        ASSERT_STR(tenant_value(TENANT, "shop/wal.db", "SELECT b FROM a"), "1");
        ASSERT_STR(tenant_value(TENANT, "shop/wal.db", "PRAGMA journal_mode"), "delete");
        ASSERT_STR(tenant_value(TENANT, "shop/plain.db", "SELECT b FROM a"), "2");
        ASSERT_EQ(tenant_sql(TENANT, "shop/wal.db", "INSERT INTO a VALUES (9)"), SQLITE_READONLY);
        ASSERT_EQ(tenant_sql(TENANT, "shop/plain.db", "DELETE FROM a"), SQLITE_READONLY);
        ASSERT_EQ(tenant_sql(TENANT, "shop/new.db", "CREATE TABLE a(b)"), SQLITE_CANTOPEN);
        ASSERT_EQ(tenant_sql(STRANGER, "shop/wal.db", "SELECT b FROM a"), SQLITE_CANTOPEN);
}

static void assert_thawed(void)
{
        assert_owner(".", TENANT, 0710);
        assert_owner("wal.db", TENANT, 0644);
        assert_owner("plain.db", TENANT, 0604);
        assert_owner("locks", TENANT, 0701);
        ASSERT(!is_there(SQLITE_DIR_RECORD));
        ASSERT_STR(tenant_value(TENANT, "shop/wal.db", "PRAGMA journal_mode"), "wal");
        ASSERT_EQ(tenant_sql(TENANT, "shop/wal.db", "UPDATE a SET b = 1"), SQLITE_OK);
        ASSERT_EQ(tenant_sql(TENANT, "shop/plain.db", "UPDATE a SET b = 2"), SQLITE_OK);
}

TEST(a_read_only_schema_is_read_by_its_tenant_and_written_by_nobody)
{
        begin();
        for (int round = 0; round < 3; round++) {
                ASSERT_OK(freeze());
                assert_frozen();
                ASSERT_OK(freeze());
                assert_frozen();
                ASSERT_OK(thaw());
                assert_thawed();
                ASSERT_OK(thaw());
                assert_thawed();
        }
}

/* The tenant's group may be everybody's: what it could not read before it does not read now. */
TEST(a_tenant_of_the_same_group_does_not_read_it)
{
        begin();
        ASSERT_OK(freeze());
        ASSERT_EQ(tenant_sql(TENANT, "shop/wal.db", "SELECT b FROM a"), SQLITE_OK);
        ASSERT_OK(thaw());
        ASSERT_OK(sqlite_mode_freeze(conf.root_fd, "shop", TENANT, STRANGER, &err));
        ASSERT_EQ(tenant_sql(TENANT, "shop/wal.db", "SELECT b FROM a"), SQLITE_OK);
        ASSERT_EQ(tenant_sql(STRANGER, "shop/wal.db", "SELECT b FROM a"), SQLITE_CANTOPEN);
        ASSERT_OK(thaw());
        assert_thawed();
        ASSERT_EQ(tenant_sql(STRANGER, "shop/wal.db", "SELECT b FROM a"), SQLITE_CANTOPEN);
}

TEST(who_has_a_wal_database_open_keeps_it_as_it_was)
{
        pid_t pid;

        begin();
        pid = tenant_keep("shop/wal.db", "SELECT * FROM a");
        ASSERT_ERR(freeze(), ERR_BUSY, "'wal.db'");
        assert_thawed();
        tenant_end(pid);
        ASSERT_OK(freeze());
        assert_frozen();
}

TEST(who_has_a_database_open_for_writing_is_found)
{
        pid_t pid;

        begin();
        pid = tenant_keep("shop/plain.db", "SELECT * FROM a");
        ASSERT_ERR(freeze(), ERR_BUSY, "'plain.db' is still open for writing");
        /* New ones are kept out meanwhile. */
        ASSERT_EQ(tenant_sql(TENANT, "shop/plain.db", "DELETE FROM a"), SQLITE_READONLY);
        tenant_end(pid);
        ASSERT_OK(freeze());
        assert_frozen();
        ASSERT_OK(thaw());
        assert_thawed();
}

TEST(a_reader_is_in_nobodys_way)
{
        pid_t pid;

        begin();
        ASSERT_OK(freeze());
        pid = tenant_keep("shop/plain.db", "BEGIN; SELECT * FROM a");
        ASSERT_OK(freeze());
        tenant_end(pid);
}

/* States that a crash can leave.  Freezing takes the directory first and then its entries by
 * name, thawing gives the entries back first and the directory then. */
TEST(an_interrupted_change_is_finished_by_the_next)
{
        static const char *const by_turns[] = { "wal.db", "plain.db-journal", "plain.db", "locks",
                                                "." };

        begin();
        for (size_t given = 0; given <= sizeof(by_turns) / sizeof(by_turns[0]); given++) {
                ASSERT_OK(freeze());
                for (size_t i = 0; i < given; i++)
                        ASSERT(fchownat(shop_fd, by_turns[i], TENANT, TENANT, 0) == 0);
                ASSERT_OK(freeze());
                assert_frozen();
                for (size_t i = 0; i < given; i++)
                        ASSERT(fchownat(shop_fd, by_turns[i], TENANT, TENANT, 0) == 0);
                ASSERT_OK(thaw());
                assert_thawed();
        }
}

TEST(a_record_of_the_tenants_own_making_gives_him_nothing)
{
        static const char record[] = "7777 w plain.db\0007777 w .\0007777 w ../../etc\000x";
        CLEANUP(closep) int fd = -1;

        begin();
        fd = openat(shop_fd, SQLITE_DIR_RECORD, O_WRONLY | O_CREAT, 0644);
        ASSERT(fd >= 0 && write(fd, record, sizeof(record)) == sizeof(record));
        ASSERT(fchown(fd, TENANT, TENANT) == 0);
        ASSERT_OK(thaw());
        assert_owner("plain.db", TENANT, 0777);
        ASSERT_STR(tenant_value(TENANT, "shop/plain.db", "PRAGMA journal_mode"), "wal");
}
