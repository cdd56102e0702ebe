/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/dbdriver.h"
#include "tests/lib/test.h"

static struct err err;
static unsigned dropped;

static int drop(struct db *db, const char *copy, struct err *drop_err)
{
        (void)db;
        (void)copy;
        (void)drop_err;
        dropped++;
        return 0;
}

static const struct db_driver fake = { .name = "fake", .drop = drop };

TEST(drivers_are_found_by_their_name)
{
        const struct db_driver *const table[] = { &fake, &db_driver_sqlite, NULL };

        ASSERT(db_driver_by_name(table, "sqlite") == &db_driver_sqlite);
        ASSERT(db_driver_by_name(table, "fake") == &fake);
        ASSERT(db_driver_by_name(table, "SQLite") == NULL);
        ASSERT(db_driver_by_name(table, "") == NULL);
}

TEST(a_copy_is_named_by_its_serial_and_what_it_copies)
{
        char name[DB_NAME_MAX], longest[200];

        db_copy_name("Shop-2.sqlite", 12, name);
        ASSERT_STR(name, "snap12_shop_2_sqlite");
        ASSERT(db_is_copy_name(name));
        memset(longest, 'a', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        db_copy_name(longest, UINT64_MAX, name);
        ASSERT_EQ(strlen(name), DB_NAME_MAX - 1);
        ASSERT(db_is_copy_name(name));
        db_copy_name("", 1, name);
        ASSERT_STR(name, "snap1_");
        ASSERT(db_is_copy_name(name));
}

TEST(only_names_of_copies_are_taken_for_copies)
{
        static const char *const others[] = { "",          "snap",         "snap_a",   "snap0_a",
                                              "snap01_a",  "snap1",        "snap1a_b", "snap1_A",
                                              "snap1_a-b", "snap1_a/../b", "xsnap1_a", "Snap1_a",
                                              "wordpress" };

        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                ASSERT(!db_is_copy_name(others[i]));
        ASSERT(db_is_copy_name("snap1_a"));
        ASSERT(db_is_copy_name("snap10_a_9"));
}

TEST(nothing_but_a_copy_is_dropped)
{
        ASSERT_ERR(db_drop(&fake, NULL, "wordpress", &err), ERR_INVALID,
                   "'wordpress' is not a copy of ours and is not dropped");
        ASSERT_EQ(dropped, 0);
        ASSERT_OK(db_drop(&fake, NULL, "snap1_wordpress", &err));
        ASSERT_EQ(dropped, 1);
}
