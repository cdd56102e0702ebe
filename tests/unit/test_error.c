/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "common/error.h"
#include "tests/lib/test.h"

static struct err err;

TEST(fail_fills_and_returns_minus_one)
{
        ASSERT_EQ(err_fail(&err, ERR_NOT_FOUND, 0, "version %d of %s", 7, "shop"), -1);
        ASSERT_EQ(err.code, ERR_NOT_FOUND);
        ASSERT_STR(err.msg, "version 7 of shop");
}

TEST(wrap_puts_context_first_and_keeps_the_code)
{
        (void)err_fail(&err, ERR_IO, EIO, "read");
        ASSERT_EQ(err_wrap(&err, "capturing head %d", 7), -1);
        ASSERT_STR(err.msg, "capturing head 7: read: Input/output error");
        ASSERT_EQ(err.os, EIO);
}

TEST(a_full_disk_is_no_space)
{
        (void)err_fail(&err, ERR_IO, ENOSPC, "write");
        ASSERT_EQ(err.code, ERR_NO_SPACE);
        ASSERT_EQ(err_exit_status(err.code), 5);
}

TEST(names_go_both_ways)
{
        for (int code = 1; code < ERR_CODES; code++)
                ASSERT_EQ(err_by_name(err_name(code)), code);
        ASSERT_EQ(err_by_name("no such"), 0);
}

TEST(long_messages_are_cut_at_the_end)
{
        char text[2000];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        (void)err_fail(&err, ERR_IO, EIO, "%s", text);
        ASSERT_EQ(strlen(err.msg), sizeof(err.msg) - 1);
        (void)err_wrap(&err, "first");
        ASSERT(strncmp(err.msg, "first: xxx", 10) == 0);
}
