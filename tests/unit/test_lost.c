/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/lost_text.h"
#include "tests/lib/test.h"

static struct err err;

static const char *const columns[] = { "id", "te`x\"t", "data" };
static const struct db_value from[] = { { "7", 1 }, { "it's \"old\"", 10 }, { NULL, 0 } };
static const struct db_value to[] = { { "7", 1 }, { "a\\b\n", 4 }, { "\xff\x00z", 3 } };

static struct db_row_change row_of(enum db_change change)
{
        return (struct db_row_change){
                .table = "po\"sts",
                .change = change,
                .n_columns = 3,
                .columns = columns,
                .n_key = 1,
                .from = change == DB_ROW_INSERTED ? NULL : from,
                .to = change == DB_ROW_DELETED ? NULL : to,
        };
}

static void sql_is(const char *engine, const struct db_row_change *row, const char *want)
{
        CLEANUP(freep) char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        ASSERT_OK(lost_text_sql(out, engine, row, &err));
        (void)fclose(out);
        ASSERT_STR(text, want);
}

TEST(statements_bring_one_side_to_the_other_on_each_engine)
{
        struct db_row_change inserted = row_of(DB_ROW_INSERTED), changed = row_of(DB_ROW_CHANGED),
                             deleted = row_of(DB_ROW_DELETED);

        sql_is("mariadb", &inserted,
               "INSERT INTO `po\"sts` (`id`, `te``x\"t`, `data`) VALUES ('7', X'615c620a', "
               "X'ff007a');\n");
        sql_is("postgres", &inserted,
               "INSERT INTO \"po\"\"sts\" (\"id\", \"te`x\"\"t\", \"data\") VALUES ('7', "
               "E'a\\\\b\n', decode('ff007a', 'hex'));\n");
        sql_is("sqlite", &changed,
               "UPDATE \"po\"\"sts\" SET \"te`x\"\"t\" = CAST(X'615c620a' AS TEXT), "
               "\"data\" = X'ff007a' WHERE \"id\" = '7';\n");
        sql_is("mariadb", &deleted, "DELETE FROM `po\"sts` WHERE `id` = '7';\n");
        deleted.whole = true;
        sql_is("postgres", &deleted,
               "DELETE FROM \"po\"\"sts\" WHERE \"id\" = '7' AND \"te`x\"\"t\" = "
               "'it''s \"old\"' AND \"data\" IS NULL;\n");
}

TEST(lines_hold_what_differs)
{
        struct db_row_change changed = row_of(DB_ROW_CHANGED);
        CLEANUP(freep) char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        lost_text_csv_head(out);
        lost_text_csv(out, &changed);
        (void)fclose(out);
        ASSERT_STR(text,
                   "table,change,key,column,from,to\r\n"
                   "\"po\"\"sts\",changed,\"7\",\"te`x\"\"t\",\"it's \"\"old\"\"\",\"a\\b\n\"\r\n"
                   "\"po\"\"sts\",changed,\"7\",\"data\",,\"0xff007a\"\r\n");
}
