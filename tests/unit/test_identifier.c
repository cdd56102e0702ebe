/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/identifier.h"
#include "tests/lib/test.h"

static struct err err;

TEST(a_name_stands_in_the_quotes_of_its_engine)
{
        char out[64];

        ASSERT_OK(identifier_quote(&identifier_sqlite, "wp_posts", out, sizeof(out), &err));
        ASSERT_STR(out, "\"wp_posts\"");
        ASSERT_OK(identifier_quote(&identifier_mariadb, "order", out, sizeof(out), &err));
        ASSERT_STR(out, "`order`");
        ASSERT_OK(identifier_quote(&identifier_postgres, "User", out, sizeof(out), &err));
        ASSERT_STR(out, "\"User\"");
}

TEST(a_quote_in_a_name_does_not_end_it)
{
        char out[64];

        ASSERT_OK(identifier_quote(&identifier_sqlite, "a\"; DROP TABLE b; --", out, sizeof(out),
                                   &err));
        ASSERT_STR(out, "\"a\"\"; DROP TABLE b; --\"");
        ASSERT_OK(identifier_quote(&identifier_mariadb, "`", out, sizeof(out), &err));
        ASSERT_STR(out, "````");
        ASSERT_OK(identifier_quote(&identifier_mariadb, "a\"b\\", out, sizeof(out), &err));
        ASSERT_STR(out, "`a\"b\\`");
}

TEST(what_an_engine_would_cut_is_refused)
{
        char name[80], out[200];

        memset(name, 'x', sizeof(name));
        name[63] = '\0';
        ASSERT_OK(identifier_quote(&identifier_postgres, name, out, sizeof(out), &err));
        name[63] = 'x';
        name[64] = '\0';
        ASSERT_ERR(identifier_quote(&identifier_postgres, name, out, sizeof(out), &err),
                   ERR_INVALID, "longer than postgres allows (63 bytes)");
        ASSERT_OK(identifier_quote(&identifier_sqlite, name, out, sizeof(out), &err));
        ASSERT_ERR(identifier_quote(&identifier_sqlite, "", out, sizeof(out), &err), ERR_INVALID,
                   "empty");
}

TEST(nothing_is_written_behind_the_end)
{
        char out[9];

        ASSERT_OK(identifier_quote(&identifier_sqlite, "\"\"\"", out, sizeof(out), &err));
        ASSERT_STR(out, "\"\"\"\"\"\"\"\"");
        ASSERT_ERR(identifier_quote(&identifier_sqlite, "abcd", out, sizeof(out), &err),
                   ERR_INVALID, "too long");
        ASSERT_ERR(identifier_quote(&identifier_sqlite, "a", out, 2, &err), ERR_INVALID,
                   "too long");
}
