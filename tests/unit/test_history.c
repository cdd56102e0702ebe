/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapd/history.h"
#include "snapd/history_chunk.h"
#include "snapd/sql.h"
#include "tests/lib/test.h"

static struct err err;
static struct history *history;

static void history_begin(void)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(history_open(fd, &history, &err));
        close(fd);
}

static void add(const char *probe, int64_t wall_sec, unsigned good, unsigned bad)
{
        struct sample sample = {
                .from_usec = wall_sec * USEC_PER_SEC,
                .to_usec = (wall_sec + 1) * USEC_PER_SEC,
                .wall_usec = wall_sec * USEC_PER_SEC,
                .version = 3,
                .good = good,
                .bad = bad,
        };

        sample.latency[9] = good + bad;
        if (bad > 0)
                sample.examples = json_pack("[{s:s, s:s}]", "verdict", "bad", "what", "status 500");
        history_add(history, "shop", probe, &sample);
        json_decref(sample.examples);
}

static json_t *rounds(enum history_level level, size_t probe)
{
        static json_t *view;

        json_decref(view);
        ASSERT_OK(history_view(history, "shop", level, &view, &err));
        return json_object_get(json_array_get(json_object_get(view, "probes"), probe), "rounds");
}

static uint64_t sum(enum history_level level, const char *member)
{
        uint64_t all = 0;
        json_t *round;
        size_t i;

        json_array_foreach (rounds(level, 0), i, round)
                all += json_get_u64(round, member);
        return all;
}

TEST(a_chunk_is_the_same_after_it_was_bytes)
{
        struct chunk chunk, again;
        uint8_t body[CHUNK_BODY_MAX];
        size_t n;

        chunk_begin(&chunk, HISTORY_MONTH, 1700006400);
        for (unsigned i = 0; i < 96; i += 5)
                chunk.rounds[i] = (struct chunk_round){ i * 1000003, i, UINT32_MAX - i, 3, 31 };
        n = chunk_pack(&chunk, body);
        ASSERT(n <= sizeof(body));
        chunk_begin(&again, HISTORY_MONTH, 1700006400);
        chunk_unpack(&again, body, n);
        ASSERT_EQ(memcmp(chunk.rounds, again.rounds, sizeof(chunk.rounds)), 0);

        /* Cut anywhere, or of other bytes, it is read as far as it makes sense. */
        for (size_t cut = 0; cut < n; cut++)
                chunk_unpack(&again, body, cut);
        memset(body, 0xff, sizeof(body));
        chunk_unpack(&again, body, sizeof(body));
}

TEST(what_was_measured_is_shown_by_rounds)
{
        int64_t now = clock_wall_usec() / USEC_PER_SEC;
        json_t *list;

        history_begin();
        for (int64_t sec = now - 600; sec < now; sec++)
                add("front", sec, 2, sec % 100 == 0);
        list = rounds(HISTORY_HOUR, 0);
        ASSERT(json_array_size(list) >= 60 && json_array_size(list) <= 61);
        ASSERT_EQ(json_get_u64(json_array_get(list, 0), "p95_msec"), 23);
        ASSERT_EQ(sum(HISTORY_HOUR, "good"), 1200);
        ASSERT_EQ(sum(HISTORY_HOUR, "bad"), 6);
        ASSERT_EQ(sum(HISTORY_DAY, "good"), 1200);
        ASSERT_EQ(sum(HISTORY_MONTH, "good"), 1200);
        history_close(history);
}

TEST(a_restart_in_the_middle_of_a_chunk_loses_nothing)
{
        int64_t now = clock_wall_usec() / USEC_PER_SEC;

        history_begin();
        for (int64_t sec = now - 300; sec < now; sec++) {
                add("front", sec, 1, 0);
                if (sec % 50 == 0) {
                        history_close(history);
                        history_begin();
                }
        }
        ASSERT_EQ(sum(HISTORY_HOUR, "good"), 300);
        ASSERT_EQ(sum(HISTORY_MONTH, "good"), 300);
        history_close(history);
}

TEST(a_clock_that_was_wrong_removes_nothing)
{
        int64_t now = clock_wall_usec() / USEC_PER_SEC, year = 366 * 86400;

        history_begin();
        for (int64_t sec = now - 300; sec < now; sec++)
                add("front", sec, 1, 0);
        for (int64_t sec = now; sec < now + 20; sec++)
                add("front", sec + 10 * year, 1, 0);
        for (int64_t sec = now; sec < now + 20; sec++)
                add("front", sec - 10 * year, 1, 0);
        for (int64_t sec = now + 20; sec < now + 40; sec++)
                add("front", sec, 1, 0);
        ASSERT_EQ(sum(HISTORY_HOUR, "good"), 320);
        history_close(history);
}

TEST(examples_are_kept_the_last_bad_ones)
{
        int64_t now = clock_wall_usec() / USEC_PER_SEC;
        json_t *view, *examples;

        history_begin();
        for (int64_t sec = now - 1000; sec < now; sec++)
                add("front", sec, 0, 1);
        ASSERT_OK(history_view(history, "shop", HISTORY_HOUR, &view, &err));
        examples = json_object_get(json_array_get(json_object_get(view, "probes"), 0), "examples");
        ASSERT_EQ(json_array_size(examples), 20);
        ASSERT_EQ(json_get_u64(json_array_get(examples, 19), "version"), 3);
        json_decref(view);
        history_forget(history, "shop");
        ASSERT_OK(history_view(history, "shop", HISTORY_HOUR, &view, &err));
        ASSERT_EQ(json_array_size(json_object_get(view, "probes")), 0);
        json_decref(view);
        history_close(history);
}

TEST(a_broken_file_is_put_aside)
{
        char path[300];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/history.db", test_tmpdir());
        file = fopen(path, "w");
        (void)fputs("this is not a database, but it is long enough to be looked at as one ........",
                    file);
        (void)fclose(file);
        (void)chmod(path, 0600);
        history_begin();
        add("front", clock_wall_usec() / USEC_PER_SEC, 1, 0);
        ASSERT_EQ(sum(HISTORY_HOUR, "good"), 1);
        history_close(history);
}

/* Thirty-three days of two probes; what it takes has stopped growing. */
TEST(it_takes_so_much_and_no_more)
{
        enum { SERIES = 2, DAYS = 33 };
        int64_t now = clock_wall_usec() / USEC_PER_SEC, began = clock_boot_usec();
        char path[300];
        uint64_t bytes = 0;
        sqlite3 *db;

        history_begin();
        for (int64_t sec = now - DAYS * 86400; sec < now; sec += 10)
                for (int i = 0; i < SERIES; i++) {
                        char probe[8] = { 'p', (char)('a' + i), 0 };

                        add(probe, sec, (unsigned)(sec * 2654435761 >> 7) % 400, 0);
                }
        history_close(history);
        (void)snprintf(path, sizeof(path), "%s/history.db", test_tmpdir());
        ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
        ASSERT_OK(sql_number(db, "SELECT sum(length(body)) + 24 * count(*) FROM chunks", NULL,
                             &bytes, &err));
        sql_close(db);
        printf("# measured: history: %llu bytes a probe after 33 days: %llu MiB for 2,000 sites "
               "with two probes each; %.1f us a sample\n",
               (unsigned long long)bytes / SERIES,
               (unsigned long long)(bytes / SERIES * 4000) >> 20,
               (double)(clock_boot_usec() - began) / (DAYS * 8640.0 * SERIES));
        ASSERT(bytes / SERIES < 40 * 1024);
}
