/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

/*
 * A small test runner.
 *
 *   TEST(name_says_the_behaviour) { ASSERT_OK(call(&err)); ... }
 *
 * Tests register themselves and run in the order of the file, each in a child process, so that a
 * crash is one failure and every test starts from nothing.  The program prints TAP (which
 * `meson test` reads): a test that called test_skip() is reported as skipped with its reason,
 * never as passed.  Arguments are substrings of test names to run.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

void test_register(const char *name, void (*run)(void));
void test_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4)
        __attribute__((noreturn));

/* test_skip(fmt, ...): End this test as skipped; says why. */
void test_skip(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));

/* test_need_syscalls(): Skip this test where openat2 or pidfd_open is missing: in valgrind 3.19
 * without realcall.c. */
void test_need_syscalls(void);

/* test_need_shared_files(): Skip this test where no child can share its parent's descriptors: in
 * valgrind. */
void test_need_shared_files(void);

/* test_need_sandbox(): Skip this test where a sandbox's limits and filter are left out: in
 * valgrind. */
void test_need_sandbox(void);

/* test_tmpdir(): A fresh directory for this test, 0755 and root's or ours, removed afterwards
 * (never across a mount), below $TEST_TMP, else /var/tmp.  Lives until the test ends. */
const char *test_tmpdir(void);

#define TEST(name)                                                                                 \
        static void test_##name(void);                                                             \
        __attribute__((constructor)) static void register_##name(void)                            \
        {                                                                                          \
                test_register(#name, test_##name);                                                 \
        }                                                                                          \
        static void test_##name(void)

#define ASSERT(cond)                                                                               \
        do {                                                                                       \
                if (!(cond))                                                                       \
                        test_fail(__FILE__, __LINE__, "not true: %s", #cond);                      \
        } while (0)

#define ASSERT_EQ(a, b)                                                                            \
        do {                                                                                       \
                long long a_ = (long long)(a), b_ = (long long)(b);                                \
                if (a_ != b_)                                                                      \
                        test_fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", #a, a_, #b, b_);\
        } while (0)

#define ASSERT_STR(a, b)                                                                           \
        do {                                                                                       \
                const char *a_ = (a), *b_ = (b);                                                   \
                if (a_ == NULL || strcmp(a_, b_) != 0)                                             \
                        test_fail(__FILE__, __LINE__, "%s is '%s', not '%s'", #a,                  \
                                  a_ == NULL ? "(null)" : a_, b_);                                 \
        } while (0)

/* The call takes a struct err named err that the test declares. */
#define ASSERT_OK(call)                                                                            \
        do {                                                                                       \
                if ((call) < 0)                                                                    \
                        test_fail(__FILE__, __LINE__, "%s: %s", #call, err.msg);                   \
        } while (0)

/* ASSERT_ERR(call, code, text): It fails with this code, and its message contains ${text}. */
#define ASSERT_ERR(call, want_code, text)                                                          \
        do {                                                                                       \
                memset(&err, 0, sizeof(err));                                                      \
                if ((call) >= 0)                                                                   \
                        test_fail(__FILE__, __LINE__, "%s succeeded", #call);                      \
                if (err.code != (want_code) || strstr(err.msg, (text)) == NULL)                    \
                        test_fail(__FILE__, __LINE__, "%s: %s, '%s'; wanted %s, '...%s...'",       \
                                  #call, err_name(err.code), err.msg, err_name(want_code),         \
                                  (text));                                                         \
        } while (0)

#endif
