/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/remote.h"
#include "snapd/worker.h"
#include "tests/lib/test.h"

/*
 * A driver that answers by the names it is given, in the child; the calls are made here.
 */

struct db {
        char secret[32];
        bool has_environment;
        int64_t held_until_usec;
};

static struct err err;

static int play_open(const struct db_conf *conf, struct db **ret_db, struct err *why)
{
        struct db *db = calloc(1, sizeof(*db));

        if (conf->host != NULL) {
                free(db);
                return err_fail(why, ERR_DENIED, 0, "the server\nsays \"no\"");
        }
        if (conf->secret_fd >= 0 &&
            pread(conf->secret_fd, db->secret, sizeof(db->secret) - 1, 0) < 0)
                return err_fail(why, ERR_IO, 0, "no secret");
        db->has_environment = getenv("PATH") != NULL;
        *ret_db = db;
        return 0;
}

static void play_close(struct db *db)
{
        free(db);
}

/* Who am I, and what can I see? */
static int play_check(struct db *db, const char *schema, struct err *why)
{
        (void)schema;
        return err_fail(why, ERR_INVALID, 0, "uid %u secret '%s' environment %d root %d fds %d",
                        (unsigned)getuid(), db->secret, db->has_environment, setuid(0) == 0,
                        fcntl(6, F_GETFD) >= 0 || fcntl(9, F_GETFD) >= 0);
}

static int play_features(struct db *db, const char *schema, unsigned *ret_features, struct err *why)
{
        (void)db;
        if (strcmp(schema, "die") == 0)
                abort();
        if (strcmp(schema, "wrong") == 0)
                return err_fail(why, ERR_CORRUPT, 0, "'%s'", schema);
        *ret_features = DB_COPY_CONSISTENT;
        return 0;
}

static int play_hold(struct db *db, const char *schema, unsigned deadline_msec, struct err *why)
{
        (void)schema;
        (void)why;
        db->held_until_usec = clock_boot_usec() + (int64_t)deadline_msec * 1000;
        return 0;
}

static int play_release(struct db *db, struct err *why)
{
        return clock_boot_usec() < db->held_until_usec
                       ? 0
                       : err_fail(why, ERR_TIMEOUT, 0, "the driver knows");
}

static int play_copy(struct db *db, const char *from, const char *to, db_report report, void *arg,
                     struct err *why)
{
        struct db_progress progress = { .bytes_all = 1000, .tables_all = 2 };

        (void)db;
        (void)to;
        if (strcmp(from, "deaf") == 0)
                for (;;)
                        (void)pause();
        for (progress.bytes_done = 0; progress.bytes_done < 1000; progress.bytes_done += 10) {
                if (report(&progress, arg, why) < 0)
                        return -1;
                (void)usleep(1000);
        }
        return 0;
}

static int play_size(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *why)
{
        (void)db;
        (void)err_fail(why, ERR_IO, 0, "tried first, in vain, and then otherwise");
        *ret_bytes = UINT64_C(1) << 50 | strlen(schema);
        return 0;
}

static int play_forecast(struct db *db, const char *schema, struct db_forecast *ret_forecast,
                         struct err *why)
{
        (void)db;
        (void)schema;
        (void)why;
        *ret_forecast = (struct db_forecast){ DB_WAY_FILES, 1200, 130, 77, "local and quick" };
        return 0;
}

static int play_fingerprint(struct db *db, const char *schema, char **ret_text, struct err *why)
{
        (void)db;
        *ret_text = malloc(3 << 20);
        if (*ret_text == NULL)
                return err_oom(why);
        memset(*ret_text, 'x', (3 << 20) - 1);
        (*ret_text)[(3 << 20) - 1] = '\0';
        (void)schema;
        return 0;
}

/* Two tables; of the second a row that is as large as its name says. */
static int play_diff(struct db *db, const char *from, const char *to, db_row_report report,
                     void *arg, struct err *why)
{
        static const char *const columns[] = { "id", "text" };
        size_t n = strtoul(to, NULL, 10);
        char *large = calloc(1, n + 1);
        struct db_value one[] = { { "7", 1 }, { NULL, 0 } }, two[] = { { "7", 1 }, { large, n } };
        struct db_row_change row = { .table = "posts",
                                     .change = DB_ROW_CHANGED,
                                     .n_columns = 2,
                                     .columns = columns,
                                     .n_key = 1,
                                     .from = one,
                                     .to = one };
        int r = 0;

        (void)db;
        for (unsigned i = 0; i < 20000 && r == 0; i++)
                r = report(&row, arg, why);
        row = (struct db_row_change){ .table = from,
                                      .change = DB_ROW_DELETED,
                                      .whole = true,
                                      .n_columns = 2,
                                      .columns = columns,
                                      .from = two };
        if (r == 0)
                r = report(&row, arg, why);
        free(large);
        return r;
}

static int play_dump(struct db *db, const char *schema, db_sink sink, void *arg, struct err *why)
{
        char piece[1000];

        (void)db;
        for (char *c = piece; c < piece + sizeof(piece); c++)
                *c = schema[0];
        for (int i = 0; i < 5000; i++)
                if (sink(piece, sizeof(piece), arg, why) < 0)
                        return -1;
        return 0;
}

static int play_load(struct db *db, const char *to, db_source source, void *arg, struct err *why)
{
        char piece[4096];
        size_t all = 0;
        ssize_t n;

        (void)db;
        while ((n = source(piece, sizeof(piece), arg, why)) > 0)
                all += (size_t)n;
        if (n < 0)
                return -1;
        return all == strtoul(to, NULL, 10) ? 0 : err_fail(why, ERR_INVALID, 0, "%zu bytes", all);
}

static int play_list(struct db *db, db_visit visit, void *arg, struct err *why)
{
        (void)db;
        return visit("snap1_a", arg, why) < 0 ? -1 : visit("snap2_b", arg, why);
}

static const struct db_driver play = {
        .name = "play",
        .open = play_open,
        .close = play_close,
        .features = play_features,
        .check = play_check,
        .hold = play_hold,
        .release = play_release,
        .copy = play_copy,
        .size = play_size,
        .forecast = play_forecast,
        .fingerprint = play_fingerprint,
        .diff = play_diff,
        .dump = play_dump,
        .load = play_load,
        .list = play_list,
};

static const struct remote_engine engine = { "play", &play };

static void need_root(void)
{
        test_need_syscalls();
        if (geteuid() != 0)
                test_skip("only root can become another user");
}

static struct db *begin(const struct db_conf *conf)
{
        const struct passwd *user = getpwnam("nobody");
        struct db *db = NULL;

        need_root();
        ASSERT(user != NULL);
        ASSERT_OK(remote_open(&engine, conf, user->pw_uid, user->pw_gid, &db, &err));
        return db;
}

static const struct db_conf plain = { .secret_fd = -1, .root_fd = -1 };

TEST(the_driver_runs_as_the_user_with_its_secret_and_nothing_else)
{
        CLEANUP(closep) int fd = memfd_create("secret", MFD_CLOEXEC);
        struct db_conf conf = { .secret_fd = fd, .root_fd = -1 };
        char want[100];
        struct db *db;

        ASSERT(write(fd, "sesame", 6) == 6);
        db = begin(&conf);
        (void)snprintf(want, sizeof(want), "uid %u secret 'sesame' environment 0 root 0 fds 0",
                       (unsigned)getpwnam("nobody")->pw_uid);
        ASSERT_ERR(remote_driver.check(db, "x", &err), ERR_INVALID, want);
        remote_driver.close(db);
}

TEST(root_is_nobody_to_speak_with_a_server)
{
        struct db *db = NULL;

        ASSERT_ERR(remote_open(&engine, &plain, 0, 0, &db, &err), ERR_REFUSED, "not read as root");
}

TEST(an_error_of_the_server_comes_back_in_one_line)
{
        const struct passwd *user = getpwnam("nobody");
        struct db_conf conf = plain;
        struct db *db = NULL;

        need_root();
        conf.host = "x";
        ASSERT_ERR(remote_open(&engine, &conf, user->pw_uid, user->pw_gid, &db, &err), ERR_DENIED,
                   "the server?says \"no\"");
}

TEST(results_come_back)
{
        struct db *db = begin(&plain);
        struct db_forecast forecast;
        unsigned features = 0;
        uint64_t bytes = 0;
        char *text = NULL;

        ASSERT_OK(remote_driver.features(db, "x", &features, &err));
        ASSERT_EQ(features, DB_COPY_CONSISTENT);
        ASSERT_ERR(remote_driver.features(db, "wrong", &features, &err), ERR_CORRUPT, "'wrong'");
        ASSERT_OK(remote_driver.size(db, "four", &bytes, &err));
        ASSERT_EQ(bytes, (UINT64_C(1) << 50) + 4);
        ASSERT_OK(remote_driver.forecast(db, "x", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_FILES);
        ASSERT_EQ(forecast.stall_msec, 130);
        ASSERT_STR(forecast.why, "local and quick");
        ASSERT_OK(remote_driver.fingerprint(db, "x", &text, &err));
        ASSERT_EQ(strlen(text), (3 << 20) - 1);
        free(text);
        remote_driver.close(db);
}

TEST(a_child_that_dies_is_an_error_and_then_not_alive)
{
        struct db *db = begin(&plain);
        unsigned features;

        ASSERT_ERR(remote_driver.features(db, "die", &features, &err), ERR_IO, "has ended");
        ASSERT(!remote_alive(db));
        ASSERT_ERR(remote_driver.features(db, "x", &features, &err), ERR_IO, "has ended");
        remote_driver.close(db);
}

TEST(a_hold_ends_at_its_deadline_without_a_word)
{
        struct db *db = begin(&plain);

        ASSERT_OK(remote_driver.hold(db, "x", 10000, &err));
        ASSERT_OK(remote_driver.release(db, &err));
        ASSERT_OK(remote_driver.hold(db, "x", 20, &err));
        (void)usleep(60000);
        ASSERT_ERR(remote_driver.release(db, &err), ERR_TIMEOUT, "the driver knows");
        ASSERT_OK(remote_driver.hold(db, "x", 20, &err));
        (void)usleep(500000);
        ASSERT_ERR(remote_driver.release(db, &err), ERR_TIMEOUT, "its connection was closed");
        remote_driver.close(db);
}

static int stop_at_half(const struct db_progress *progress, void *arg, struct err *why)
{
        unsigned *times = arg;

        ++*times;
        return progress->bytes_done < 500 ? 0 : err_fail(why, ERR_REFUSED, 0, "enough");
}

static int stop_after_two(const struct db_progress *progress, void *arg, struct err *why)
{
        unsigned *times = arg;

        (void)progress;
        return ++*times < 2 ? 0 : err_fail(why, ERR_REFUSED, 0, "enough of waiting");
}

TEST(a_copy_is_stopped_on_request_even_by_a_driver_that_says_nothing)
{
        struct db *db = begin(&plain);
        unsigned times = 0;

        ASSERT_ERR(remote_driver.copy(db, "a", "b", stop_at_half, &times, &err), ERR_REFUSED,
                   "enough");
        ASSERT(times > 40 && times < 100);
        ASSERT(remote_alive(db));
        times = 0;
        ASSERT_ERR(remote_driver.copy(db, "deaf", "b", stop_after_two, &times, &err), ERR_REFUSED,
                   "enough of waiting");
        ASSERT(!remote_alive(db));
        remote_driver.close(db);
}

struct seen {
        unsigned rows, whole;
        size_t largest;
        unsigned stop_at;
};

static int see_row(const struct db_row_change *row, void *arg, struct err *why)
{
        struct seen *seen = arg;

        seen->rows++;
        ASSERT_EQ(row->n_columns, 2);
        ASSERT_STR(row->columns[1], "text");
        if (row->whole) {
                seen->whole++;
                ASSERT_STR(row->table, "large");
                ASSERT(row->to == NULL && row->from != NULL);
                seen->largest = row->from[1].size;
        } else {
                ASSERT_STR(row->table, "posts");
                ASSERT_EQ(row->n_key, 1);
                ASSERT_STR(row->to[0].bytes, "7");
                ASSERT(row->to[1].bytes == NULL);
        }
        return seen->rows != seen->stop_at ? 0 : err_fail(why, ERR_NOTHING, 0, "seen enough");
}

TEST(rows_come_over_whole_and_bounded)
{
        struct db *db = begin(&plain);
        struct seen seen = { 0 };

        ASSERT_OK(remote_driver.diff(db, "large", "30000000", see_row, &seen, &err));
        ASSERT_EQ(seen.rows, 20001);
        ASSERT_EQ(seen.whole, 1);
        ASSERT_EQ(seen.largest, 30000000);
        seen = (struct seen){ 0 };
        ASSERT_ERR(remote_driver.diff(db, "large", "80000000", see_row, &seen, &err),
                   ERR_UNSUPPORTED, "a row of 'large': what is to be passed on is larger than");
        seen = (struct seen){ .stop_at = 5 };
        ASSERT_ERR(remote_driver.diff(db, "large", "3", see_row, &seen, &err), ERR_NOTHING,
                   "seen enough");
        ASSERT_EQ(seen.rows, 5);
        ASSERT(remote_alive(db));
        remote_driver.close(db);
}

static int count_bytes(const void *bytes, size_t n, void *arg, struct err *why)
{
        (void)why;
        ASSERT(((const char *)bytes)[n - 1] == 'd');
        *(size_t *)arg += n;
        return 0;
}

static ssize_t give_bytes(void *bytes, size_t size, void *arg, struct err *why)
{
        size_t *left = arg, n = *left < size ? *left : size;

        (void)why;
        memset(bytes, 'l', n);
        *left -= n;
        return (ssize_t)n;
}

static int see_name(const char *schema, void *arg, struct err *why)
{
        char *names = arg;
        size_t n = strlen(names);

        (void)why;
        (void)snprintf(names + n, 64 - n, "%s", schema);
        return 0;
}

TEST(dumps_go_out_and_in_and_names_are_listed)
{
        struct db *db = begin(&plain);
        size_t n = 0, left = 3000001;
        char names[64] = "";

        ASSERT_OK(remote_driver.dump(db, "d", count_bytes, &n, &err));
        ASSERT_EQ(n, 5000000);
        ASSERT_OK(remote_driver.load(db, "3000001", give_bytes, &left, &err));
        ASSERT_EQ(left, 0);
        ASSERT_OK(remote_driver.list(db, see_name, names, &err));
        ASSERT_STR(names, "snap1_asnap2_b");
        remote_driver.close(db);
}

TEST(the_child_dies_with_its_caller)
{
        int pipe_fds[2], status;
        char byte;
        pid_t pid;

        need_root();
        ASSERT(pipe(pipe_fds) == 0); /* inherited, so that its end tells when all are gone */
        pid = fork();
        if (pid == 0) {
                struct db *db = begin(&plain);
                unsigned times = 0;

                (void)close(pipe_fds[0]);
                (void)alarm(1); /* dies while the driver is deaf */
                (void)!remote_driver.copy(db, "deaf", "b", NULL, &times, &err);
                _exit(1);
        }
        (void)close(pipe_fds[1]);
        ASSERT(waitpid(pid, &status, 0) == pid);
        ASSERT(WIFSIGNALED(status));
        ASSERT(read(pipe_fds[0], &byte, 1) == 0);
}
