/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "tests/driver/db_world.h"
#include "tests/lib/test.h"

#define KILLS 40

static struct err err;
static const struct db_driver *driver;

static struct db *begin(const char *schema)
{
        struct db *db = world_begin(schema);

        driver = world.driver;
        return db;
}

TEST(a_copy_is_whole_and_the_application_uses_it)
{
        struct db *db = begin("shop");
        uint64_t bytes = 0;

        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT(!world_exists(db, COPY_NAME));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT(world_exists(db, COPY_NAME));
        ASSERT_EQ(world_counts(COPY_NAME).left, ROWS);
        ASSERT_OK(driver->size(db, COPY_NAME, &bytes, &err));
        ASSERT(bytes > ROWS);
        ASSERT_OK(driver->check(db, COPY_NAME, &err));

        /* Two schemas from here on. */
        ASSERT(world_can_write(COPY_NAME, ROWS + 1));
        ASSERT_EQ(world_counts(COPY_NAME).left, ROWS + 1);
        ASSERT_EQ(world_counts("shop").left, ROWS);
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
                captured = world_tree();
                if (features & DB_COPY_IN_HOLD)
                        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
                ASSERT_EQ(world_tree(), captured);
                ASSERT_OK(driver->release(db, &err));
                (void)usleep(50000);
                if (!(features & DB_COPY_IN_HOLD))
                        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
                ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
                ASSERT_EQ(world_counts(COPY_NAME).last, captured);
                ASSERT_EQ(world_counts(COPY_NAME).left, captured);
                writer_wait(writer, captured);
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
                ASSERT(world_counts(COPY_NAME).last >= before);
                ASSERT_EQ(world_counts(COPY_NAME).last, world_counts(COPY_NAME).left);
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
        writer_wait(writer, held);
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
        ASSERT_OK(driver->hold(db, "shop", 1000, &err));
        (void)usleep(1300000);
        if (features & DB_COPY_IN_HOLD) {
                ASSERT(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err) < 0);
                ASSERT(!world_exists(db, COPY_NAME));
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
        writer_wait(writer, held);
        writer_stop(writer, "shop");
}

TEST(a_writer_that_does_not_end_is_reported_as_busy)
{
        struct db *db = begin("shop");
        pid_t pid = world_linger("shop");
        int64_t before = clock_boot_usec();

        ASSERT_ERR(driver->hold(db, "shop", 300, &err), ERR_BUSY, "did not let us in");
        ASSERT(clock_boot_usec() - before < 8 * USEC_PER_SEC);
        ASSERT(kill(pid, SIGKILL) == 0);
        (void)world_wait(pid);

        /* Nobody is held by what failed, and what was not committed is nowhere. */
        ASSERT(world_can_write("shop", ROWS + 1));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_EQ(world_counts(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_repeated_copy_shows_the_later_instant)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT(world_can_write("shop", ROWS + 1));
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT_EQ(world_counts(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_copy_never_replaces_what_is_not_a_copy)
{
        struct db *db = begin("shop");

        world_schema("other", 10);
        ASSERT_ERR(driver->copy(db, "shop", "other", NULL, NULL, &err), ERR_EXISTS, "other");
        ASSERT_EQ(world_counts("other").left, 10);
        driver->close(db);
}

TEST(a_row_that_is_missing_in_the_copy_is_found)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        world_damage(COPY_NAME);
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
        ASSERT(!world_exists(db, COPY_NAME));
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
                ASSERT_EQ(world_counts(COPY_NAME).left, ROWS);
                ASSERT(!world_can_write(COPY_NAME, ROWS + 1));
        }
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));

        /* A kept copy is a source too, and what is made from it is writable. */
        ASSERT_OK(driver->copy(db, COPY_NAME, "snap8_shop", NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, COPY_NAME, "snap8_shop", &err));
        ASSERT(world_can_write("snap8_shop", ROWS + 1));

        for (int twice = 0; twice < 2; twice++)
                ASSERT_OK(driver->set_writable(db, COPY_NAME, true, &err));
        ASSERT(world_can_write(COPY_NAME, ROWS + 1));
        ASSERT_EQ(world_counts(COPY_NAME).left, ROWS + 1);
        driver->close(db);
}

TEST(a_copy_is_dropped_and_nothing_else_is)
{
        struct db *db = begin("shop");

        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        for (int twice = 0; twice < 2; twice++) {
                ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
                ASSERT(!world_exists(db, COPY_NAME));
        }
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, COPY_NAME, false, &err));
        ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
        ASSERT(!world_exists(db, COPY_NAME));
        ASSERT_ERR(db_drop(driver, db, "shop", &err), ERR_INVALID, "not a copy");
        ASSERT_EQ(world_counts("shop").left, ROWS);
        driver->close(db);
}

/* A dump, in a file that has no name. */
static int dump_out(const void *bytes, size_t size, void *arg, struct err *dump_err)
{
        return file_write_all(*(int *)arg, bytes, size, dump_err);
}

static ssize_t dump_in(void *bytes, size_t size, void *arg, struct err *dump_err)
{
        ssize_t n = read(*(int *)arg, bytes, size);

        return n < 0 ? err_fail(dump_err, ERR_IO, errno, "the dump") : n;
}

static int dump_file(struct db *db, const char *schema, off_t *ret_size)
{
        int fd = memfd_create("dump", MFD_CLOEXEC);

        ASSERT(fd >= 0);
        ASSERT_OK(driver->dump(db, schema, dump_out, &fd, &err));
        *ret_size = lseek(fd, 0, SEEK_CUR);
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

TEST(a_dump_is_of_one_instant_and_is_loaded_as_it_was)
{
        struct db *db = begin("shop");
        struct db_counts counts;
        struct writer *writer;
        char *before, *after;
        off_t size;
        int fd;

        if (driver->dump == NULL || driver->load == NULL)
                test_skip("'%s' has no dumps yet", driver->name);
        writer = writer_start("shop");
        writer_wait(writer, ROWS + 5);
        fd = dump_file(db, "shop", &size);
        writer_stop(writer, "shop");
        ASSERT_OK(driver->load(db, COPY_NAME, dump_in, &fd, &err));
        counts = world_counts(COPY_NAME);
        ASSERT_EQ(counts.left, counts.right);
        ASSERT(counts.left >= ROWS + 5 && counts.last == counts.left);
        ASSERT_OK(driver->fingerprint(db, "shop", &before, &err));
        ASSERT_OK(driver->fingerprint(db, COPY_NAME, &after, &err));
        ASSERT_STR(after, before);
        ASSERT(world_can_write(COPY_NAME, counts.last + 1));
        free(before);
        free(after);
        (void)close(fd);
        driver->close(db);
}

TEST(a_dump_that_ends_too_early_leaves_nothing)
{
        struct db *db = begin("shop");
        off_t size;
        int fd;

        if (driver->dump == NULL || driver->load == NULL)
                test_skip("'%s' has no dumps yet", driver->name);
        fd = dump_file(db, "shop", &size);
        for (int part = 0; part < 4; part++) {
                ASSERT_EQ(ftruncate(fd, size * (4 - part) / 4 - 1), 0);
                ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
                ASSERT_ERR(driver->load(db, COPY_NAME, dump_in, &fd, &err), ERR_CORRUPT, "");
                ASSERT(!world_exists(db, COPY_NAME));
        }
        ASSERT_EQ(world_counts("shop").left, ROWS);
        (void)close(fd);
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

                if (driver->open(&world.conf, &db, &err) < 0 ||
                    driver->hold(db, "shop", 10000, &err) < 0 ||
                    driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err) < 0 ||
                    driver->release(db, &err) < 0) {
                        printf("# %s\n", err.msg);
                        fflush(stdout);
                        _exit(1);
                }
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

        ASSERT_EQ(world_wait(copier_start()), 0);
        whole_usec = clock_boot_usec() - before;
        ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
        for (int i = 0; i <= KILLS; i += db_factory.costly ? 3 : 1) {
                pid_t pid = copier_start();
                uint64_t then;

                (void)usleep((useconds_t)(whole_usec * 3 * i / KILLS / 2));
                (void)kill(pid, SIGKILL);
                (void)world_wait(pid);
                if (world_exists(db, COPY_NAME)) {
                        ASSERT_EQ(world_counts(COPY_NAME).left, world_counts(COPY_NAME).last);
                        whole++;
                } else {
                        none++;
                }
                ASSERT_OK(db_drop(driver, db, COPY_NAME, &err));
                then = writer->acknowledged;
                writer_wait(writer, then);
        }
        printf("# %u kills in %" PRId64 " us: %u whole, %u none\n", whole + none, whole_usec, whole,
               none);
        ASSERT(none > 0);
        ASSERT_OK(driver->copy(db, "shop", COPY_NAME, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY_NAME, &err));
        ASSERT_EQ(writer->failed, 0);
        writer_stop(writer, "shop");
        driver->close(db);
}
