/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/driver/db_conformance.h"
#include "tests/lib/test.h"

#define ROWS        2000
#define PERIOD_USEC 5000 /* 200 transactions a second */
#define COPY_NAME   "snap7_shop"
#define KILLS       40

static struct err err;
static struct db_conf conf;
static const struct db_driver *driver;
static int tree_fd = -1;

/* What a writer says of itself, in memory that both see. */
struct writer {
        pid_t pid;
        volatile uint64_t acknowledged;
        volatile uint64_t failed;
        volatile int64_t longest_usec;
        volatile bool stop;
};

static void *shared(size_t n)
{
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        ASSERT(p != MAP_FAILED);
        return p;
}

static void become_tenant(void)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(conf.owner_gid, conf.owner_gid, conf.owner_gid) < 0 ||
            setresuid(conf.owner_uid, conf.owner_uid, conf.owner_uid) < 0 ||
            prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(9);
}

static int wait_for(pid_t pid)
{
        int status = 0;

        ASSERT(waitpid(pid, &status, 0) == pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Run a statement block as the tenant; its value is the exit status. */
#define AS_TENANT(expression)                                                                      \
        __extension__({                                                                            \
                pid_t child_ = fork();                                                             \
                if (child_ == 0) {                                                                 \
                        become_tenant();                                                           \
                        _exit((expression) != 0);                                                  \
                }                                                                                  \
                ASSERT(child_ > 0);                                                                \
                wait_for(child_);                                                                  \
        })

static struct db_counts counts_of(const char *schema)
{
        struct db_counts *counts = shared(sizeof(*counts));

        ASSERT_EQ(AS_TENANT(db_factory.read(&conf, schema, counts)), 0);
        ASSERT_EQ(counts->left, counts->right);
        return *counts;
}

static bool can_write(const char *schema, uint64_t number)
{
        return AS_TENANT(db_factory.append(db_factory.connect(&conf, schema), number, tree_fd)) ==
               0;
}

static void make_schema(const char *schema, unsigned rows)
{
        if (db_factory.provision != NULL)
                db_factory.provision(&conf, schema);
        ASSERT_EQ(AS_TENANT(db_factory.create(&conf, schema, rows)), 0);
}

static struct db *begin(const char *schema)
{
        struct db *db = NULL;

        driver = db_factory.driver;
        db_factory.start(&conf);
        if (tree_fd < 0)
                tree_fd = openat(AT_FDCWD, test_tmpdir(), O_TMPFILE | O_RDWR, 0600);
        ASSERT(tree_fd >= 0);
        make_schema(schema, ROWS);
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static void write_for_ever(struct writer *writer, const char *schema)
{
        void *connection = db_factory.connect(&conf, schema);

        for (uint64_t number = ROWS + 1; !writer->stop; number++) {
                int64_t before = clock_boot_usec(), took;

                if (connection == NULL || db_factory.append(connection, number, tree_fd) != 0) {
                        writer->failed++;
                        number--;
                } else {
                        writer->acknowledged = number;
                }
                took = clock_boot_usec() - before;
                if (took > writer->longest_usec)
                        writer->longest_usec = took;
                (void)usleep(PERIOD_USEC);
        }
        _exit(0);
}

/* Wait until a write behind number ${than} is done; on a busy machine that may take a while. */
static void wait_for_write(const struct writer *writer, uint64_t than)
{
        for (int ms = 0; ms < 20000 && writer->acknowledged <= than; ms++)
                (void)usleep(1000);
        ASSERT(writer->acknowledged > than);
}

static struct writer *writer_start(const char *schema)
{
        struct writer *writer = shared(sizeof(*writer));

        pid_t pid = fork();

        if (pid == 0) {
                become_tenant();
                write_for_ever(writer, schema);
        }
        ASSERT(pid > 0);
        writer->pid = pid;
        wait_for_write(writer, ROWS + 19);
        return writer;
}

/* Every write it was told is done is there. */
static void writer_stop(struct writer *writer, const char *schema)
{
        struct db_counts counts;

        writer->stop = true;
        ASSERT_EQ(wait_for(writer->pid), 0);
        counts = counts_of(schema);
        ASSERT_EQ(counts.last, writer->acknowledged);
        ASSERT_EQ(counts.left, counts.last);
}

static uint64_t tree_now(void)
{
        uint64_t number = 0;

        ASSERT(pread(tree_fd, &number, sizeof(number), 0) == sizeof(number));
        return number;
}

static bool exists(struct db *db, const char *schema)
{
        bool there = false;

        ASSERT_OK(driver->exists(db, schema, &there, &err));
        return there;
}

TEST(a_copy_is_whole_and_the_application_uses_it)
{
        struct db *db = begin("shop");
        uint64_t bytes = 0;

        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT(!exists(db, COPY_NAME));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT(exists(db, COPY_NAME));
        ASSERT_EQ(counts_of(COPY_NAME).left, ROWS);
        ASSERT_OK(driver->size(db, COPY_NAME, &bytes, &err));
        ASSERT(bytes > ROWS);
        ASSERT_OK(driver->check(db, COPY_NAME, &err));

        /* Two schemas from here on. */
        ASSERT(can_write(COPY_NAME, ROWS + 1));
        ASSERT_EQ(counts_of(COPY_NAME).left, ROWS + 1);
        ASSERT_EQ(counts_of("shop").left, ROWS);
        driver->close(db);
}

TEST(the_copy_and_the_tree_show_one_instant)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");
        unsigned features = 0;

        for (int round = 0; round < 5; round++) {
                uint64_t captured;

                ASSERT_OK(driver->features(db, "shop", &features, &err));
                ASSERT_OK(driver->hold(db, "shop", 10000, &err));
                captured = tree_now();
                if (features & DB_COPY_IN_HOLD)
                        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
                ASSERT_EQ(tree_now(), captured);
                ASSERT_OK(driver->release(db, &err));
                (void)usleep(50000);
                if (!(features & DB_COPY_IN_HOLD))
                        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
                ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
                ASSERT_EQ(counts_of(COPY_NAME).last, captured);
                ASSERT_EQ(counts_of(COPY_NAME).left, captured);
                wait_for_write(writer, captured);
        }
        ASSERT_EQ(writer->failed, 0);
        printf("# longest write %" PRId64 " us, features %u\n", writer->longest_usec, features);
        writer_stop(writer, "shop");
        driver->close(db);
}

TEST(a_copy_without_a_hold_is_of_one_instant_under_writers)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");

        for (int round = 0; round < 5; round++) {
                uint64_t before = writer->acknowledged;

                ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
                ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
                ASSERT(counts_of(COPY_NAME).last >= before);
                ASSERT_EQ(counts_of(COPY_NAME).last, counts_of(COPY_NAME).left);
        }
        ASSERT_EQ(writer->failed, 0);
        writer_stop(writer, "shop");
        driver->close(db);
}

TEST(a_hold_ends_at_its_deadline_by_itself)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");
        uint64_t held;

        ASSERT_OK(driver->hold(db, "shop", 1000, &err));
        held = writer->acknowledged;
        (void)usleep(200000);
        ASSERT_EQ(writer->acknowledged, held);
        wait_for_write(writer, held);
        ASSERT_ERR(driver->release(db, &err), ERR_TIMEOUT, "deadline");
        ASSERT(writer->longest_usec < 8 * USEC_PER_SEC);
        ASSERT_EQ(writer->failed, 0);

        /* And the next one is as good as the first. */
        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        ASSERT_OK(driver->release(db, &err));
        writer_stop(writer, "shop");
        driver->close(db);
}

TEST(a_copy_that_outlives_its_hold_is_not_kept)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");
        unsigned features = 0;

        ASSERT_OK(driver->features(db, "shop", &features, &err));
        ASSERT_OK(driver->hold(db, "shop", 100, &err));
        (void)usleep(400000);
        if (features & DB_COPY_IN_HOLD) {
                ASSERT(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err) < 0);
                ASSERT(!exists(db, COPY_NAME));
        }
        ASSERT_ERR(driver->release(db, &err), ERR_TIMEOUT, "deadline");
        writer_stop(writer, "shop");
        driver->close(db);
}

TEST(closing_lets_the_writers_go_on)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");
        uint64_t held;

        ASSERT_OK(driver->hold(db, "shop", 60000, &err));
        held = writer->acknowledged;
        driver->close(db);
        wait_for_write(writer, held);
        writer_stop(writer, "shop");
}

TEST(a_writer_that_does_not_end_is_reported_as_busy)
{
        struct db *db = begin("shop");
        struct writer *state = shared(sizeof(*state));
        int64_t before;
        pid_t pid = fork();

        if (pid == 0) {
                become_tenant();
                state->failed = (uint64_t)db_factory.linger(db_factory.connect(&conf, "shop"));
                state->acknowledged = 1;
                (void)pause();
                _exit(0);
        }
        while (state->acknowledged == 0)
                (void)usleep(1000);
        ASSERT_EQ(state->failed, 0);
        before = clock_boot_usec();
        ASSERT_ERR(driver->hold(db, "shop", 300, &err), ERR_BUSY, "did not let us in");
        ASSERT(clock_boot_usec() - before < 8 * USEC_PER_SEC);
        ASSERT(pid > 0 && kill(pid, SIGKILL) == 0);
        (void)wait_for(pid);

        /* Nobody is held by what failed, and what was not committed is nowhere. */
        ASSERT(can_write("shop", ROWS + 1));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_EQ(counts_of(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_repeated_copy_shows_the_later_instant)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT(can_write("shop", ROWS + 1));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT_EQ(counts_of(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_copy_never_replaces_what_is_not_a_copy)
{
        struct db *db = begin("shop");

        make_schema("other", 10);
        ASSERT_ERR(driver->copy(db, "shop", "other", NULL, NULL, &err), ERR_EXISTS, "other");
        ASSERT_EQ(counts_of("other").left, 10);
        driver->close(db);
}

TEST(a_row_that_is_missing_in_the_copy_is_found)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT_EQ(AS_TENANT(db_factory.damage(&conf, COPY_NAME)), 0);
        ASSERT_ERR(driver->verify(db, "shop", COPY_NAME, &err), ERR_CORRUPT, "differs");
        driver->close(db);
}

static int stop_at_once(const struct db_progress *progress, void *arg, struct err *stop_err)
{
        struct db_progress *seen = arg;

        *seen = *progress;
        return err_fail(stop_err, ERR_REFUSED, 0, "not any more");
}

static int keep_last(const struct db_progress *progress, void *arg, struct err *stop_err)
{
        struct db_progress *seen = arg;

        (void)stop_err;
        ASSERT(progress->bytes_done >= seen->bytes_done);
        *seen = *progress;
        return 0;
}

TEST(progress_is_told_and_can_stop_the_copy)
{
        struct db *db = begin("shop");
        struct db_progress seen = { 0 };

        ASSERT_ERR(driver->copy(db, "shop", COPY_NAME, stop_at_once, &seen, &err), ERR_REFUSED,
                   "not any more");
        ASSERT(!exists(db, COPY_NAME));
        memset(&seen, 0, sizeof(seen));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, keep_last, &seen, &err));
        ASSERT(seen.tables_all > 0);
        ASSERT_EQ(seen.tables_done, seen.tables_all);
        ASSERT(seen.bytes_done > 0);
        driver->close(db);
}

TEST(a_kept_copy_is_read_and_not_written)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        for (int twice = 0; twice < 2; twice++) {
                ASSERT_OK(driver->set_writable(db, COPY_NAME, false, &err));
                ASSERT_EQ(counts_of(COPY_NAME).left, ROWS);
                ASSERT(!can_write(COPY_NAME, ROWS + 1));
        }
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));

        /* A kept copy is a source too, and what is made from it is writable. */
        ASSERT_OK(driver->copy(db, COPY_NAME, "snap8_shop", NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, COPY_NAME, "snap8_shop", &err));
        ASSERT(can_write("snap8_shop", ROWS + 1));

        for (int twice = 0; twice < 2; twice++)
                ASSERT_OK(driver->set_writable(db, COPY_NAME, true, &err));
        ASSERT(can_write(COPY_NAME, ROWS + 1));
        ASSERT_EQ(counts_of(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_copy_is_dropped_and_nothing_else_is)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        for (int twice = 0; twice < 2; twice++) {
                ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
                ASSERT(!exists(db, COPY_NAME));
        }
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, COPY_NAME, false, &err));
        ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
        ASSERT(!exists(db, COPY_NAME));
        ASSERT_ERR(db_drop(driver, db, "shop", &err), ERR_INVALID, "not a copy");
        ASSERT_EQ(counts_of("shop").left, ROWS);
        driver->close(db);
}

TEST(a_schema_that_is_not_there_is_said_so)
{
        struct db *db = begin("shop");
        unsigned features;
        uint64_t bytes;

        ASSERT_ERR(driver->check(db, "none", &err), ERR_NOT_FOUND, "none");
        ASSERT_ERR(driver->features(db, "none", &features, &err), ERR_NOT_FOUND, "none");
        ASSERT_ERR(driver->hold(db, "none", 100, &err), ERR_NOT_FOUND, "none");
        ASSERT_ERR(driver->copy(db, "none", COPY_NAME, NULL, NULL, &err), ERR_NOT_FOUND, "none");
        ASSERT_ERR(driver->size(db, "none", &bytes, &err), ERR_NOT_FOUND, "none");
        ASSERT_ERR(driver->verify(db, "none", COPY_NAME, &err), ERR_INVALID, "none");
        ASSERT_ERR(driver->release(db, &err), ERR_INVALID, "held");
        driver->close(db);
        driver->close(NULL);
}

/* What a copier does between its start and its end, in a process that is killed on the way. */
static pid_t copier_start(void)
{
        pid_t pid = fork();

        if (pid == 0) {
                struct db *db;

                if (driver->open(&conf, &db, &err) < 0 ||
                    driver->hold(db, "shop", 10000, &err) < 0 ||
                    driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err) < 0 ||
                    driver->release(db, &err) < 0)
                        _exit(1);
                _exit(0);
        }
        ASSERT(pid > 0);
        return pid;
}

TEST(a_killed_copier_leaves_a_whole_copy_or_none)
{
        struct db *db = begin("shop");
        struct writer *writer = writer_start("shop");
        int64_t before = clock_boot_usec(), whole_usec;
        unsigned whole = 0, none = 0;

        ASSERT_EQ(wait_for(copier_start()), 0);
        whole_usec = clock_boot_usec() - before;
        ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
        for (int i = 0; i <= KILLS; i++) {
                pid_t pid = copier_start();
                uint64_t then;

                (void)usleep((useconds_t)(whole_usec * 3 * i / KILLS / 2));
                (void)kill(pid, SIGKILL);
                (void)wait_for(pid);
                if (exists(db, COPY_NAME)) {
                        ASSERT_EQ(counts_of(COPY_NAME).left, counts_of(COPY_NAME).last);
                        whole++;
                } else {
                        none++;
                }
                ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
                then = writer->acknowledged;
                wait_for_write(writer, then);
        }
        printf("# %u kills in %" PRId64 " us: %u whole, %u none\n", whole + none, whole_usec,
               whole, none);
        ASSERT(none > 0);
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT_EQ(writer->failed, 0);
        writer_stop(writer, "shop");
        driver->close(db);
}
