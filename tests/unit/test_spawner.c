/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The spawner starts its own program again.  Here that is this test, and what an operation's
 * process does is said by the file `script` in the state directory, a letter a start:
 *   d  ends the operation     x  dies by a signal     e  exits, the operation open
 *   h  leaves it held         w  sends news, waits, then ends the operation
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "snapd/operation.h"
#include "snapd/spawner.h"
#include "tests/lib/places.h"
#include "tests/lib/test.h"

static struct err err;
static struct dirs dirs;
static struct catalog *catalog;
static json_t *request;
static sd_event *event;
static struct spawner *spawner;

static int started(char letter)
{
        char text[100] = "";
        int fd = openat(dirs.state_fd, "starts", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        if (fd < 0 || (letter != 0 && write(fd, &letter, 1) != 1))
                return -1;
        letter = (char)pread(fd, text, sizeof(text), 0);
        (void)close(fd);
        return letter;
}

/* A line for each that waits ('+'), and that was asked for nothing ('-'). */
static void waiting(char what)
{
        int fd = openat(dirs.state_fd, "waiting", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        ASSERT(dprintf(fd, "%c%d\n", what, (int)getpid()) > 0);
        (void)close(fd);
}

static int play(op_id id)
{
        char *script, lock[64];
        int n, fd;

        if (dirs_open(&dirs, &err) < 0 || catalog_open(dirs.state_fd, &catalog, &err) < 0 ||
            file_read(dirs.state_fd, "script", 100, &script, NULL, &err) < 0)
                return 1;
        (void)snprintf(lock, sizeof(lock), "op-%" PRIu64 ".lock", id);
        fd = openat(dirs.run_fd, lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return 3;
        n = started('s');
        switch (n > 0 && (size_t)n <= strlen(script) ? script[n - 1] : 'd') {
        case 'x':
                (void)raise(SIGKILL);
                return 1;
        case 'e':
                return 1;
        case 'h':
                return journal_state(catalog, id, OP_HELD, NULL, &err) < 0;
        case 'w': /* a commit is news */
                if (catalog_begin(catalog, &err) < 0 ||
                    catalog_add_site(catalog, "news", "fake", "/", &err) < 0 ||
                    catalog_commit(catalog, &err) < 0)
                        return 1;
                (void)usleep(600000);
                break;
        default:
                break;
        }
        return journal_state(catalog, id, OP_FAILED, NULL, &err) < 0;
}

__attribute__((constructor)) static void operation_instead_of_tests(int argc, char **argv)
{
        op_id id;

        if (argc < 11 || strcmp(argv[9], "--operation") != 0)
                return;
        dirs = (struct dirs){ .state = argv[2], .run = argv[4], .conf = argv[6] };
        if (strcmp(argv[10], OPERATION_LATER) != 0)
                _exit(play((op_id)strtoull(argv[10], NULL, 10)));
        if (dirs_open(&dirs, &err) < 0)
                _exit(1);
        waiting('+');
        if (read(STDIN_FILENO, &id, sizeof(id)) == (ssize_t)sizeof(id))
                _exit(play(id));
        waiting('-');
        _exit(0);
}

static op_id begin(const char *script)
{
        op_id id;

        places_begin(&dirs);
        dirs.socket = "none";
        request = json_object();
        ASSERT_OK(file_replace(dirs.state_fd, "script", script, strlen(script), 0600, &err));
        ASSERT_OK(catalog_open(dirs.state_fd, &catalog, &err));
        ASSERT_OK(journal_queue(catalog, "shop", "activate", request, 0, &id, &err));
        ASSERT(sd_event_new(&event) >= 0);
        ASSERT_OK(spawner_open(event, &dirs, catalog, &spawner, &err));
        return id;
}

static enum op_state state_of(op_id id)
{
        struct op op;
        enum op_state found;

        ASSERT_OK(journal_get(catalog, id, false, &op, &err));
        found = op.state;
        op_done(&op);
        return found;
}

static void run_until_done(op_id id, int msec)
{
        int64_t until = clock_boot_usec() + (int64_t)msec * 1000;

        while (spawner_runs(spawner, id)) {
                ASSERT(clock_boot_usec() < until);
                ASSERT(sd_event_run(event, 100000) >= 0);
        }
}

TEST(an_operation_is_started_once_and_forgotten_when_it_has_ended)
{
        op_id id = begin("d");

        spawner_start(spawner, id);
        ASSERT(spawner_runs(spawner, id));
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 1);
        spawner_close(spawner);
}

TEST(one_whose_process_died_is_started_again)
{
        op_id id = begin("xd");
        int64_t began = clock_boot_usec();

        spawner_start(spawner, id);
        run_until_done(id, 8000);
        ASSERT(clock_boot_usec() - began >= USEC_PER_SEC);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 2);
}

TEST(one_that_was_held_is_left_until_somebody_asks)
{
        op_id id = begin("hd");

        spawner_start(spawner, id);
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_HELD);
        ASSERT_OK(spawner_settle(spawner, 3000, &err));
        ASSERT_EQ(started(0), 1);
        spawner_start(spawner, id);
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 2);
}

TEST(what_a_crash_left_is_settled_before_it_returns)
{
        op_id id = begin("d");

        ASSERT_OK(spawner_settle(spawner, 10000, &err));
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT(!spawner_runs(spawner, id));
}

TEST(settling_is_bounded)
{
        int64_t began = clock_boot_usec();
        op_id id = begin("eeee");

        ASSERT_OK(spawner_settle(spawner, 300, &err));
        ASSERT(clock_boot_usec() - began < 2000000);
        ASSERT(op_is_open(state_of(id)));
        ASSERT(spawner_runs(spawner, id));
}

TEST(one_that_another_daemon_started_is_watched_and_not_started)
{
        op_id id = begin("d");
        int64_t began = clock_boot_usec();
        pid_t pid = fork();

        if (pid == 0) {
                char lock[64];
                int fd;

                (void)snprintf(lock, sizeof(lock), "op-%" PRIu64 ".lock", id);
                fd = openat(dirs.run_fd, lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                (void)flock(fd, LOCK_EX);
                (void)usleep(1500000);
                ASSERT_OK(catalog_open(dirs.state_fd, &catalog, &err));
                ASSERT_OK(journal_state(catalog, id, OP_FAILED, NULL, &err));
                _exit(0);
        }
        while (!operation_alive(&dirs, id))
                (void)usleep(1000);
        ASSERT_OK(spawner_settle(spawner, 20000, &err));
        ASSERT(clock_boot_usec() - began < USEC_PER_SEC); /* it is not waited for */
        ASSERT(spawner_runs(spawner, id));
        run_until_done(id, 8000);
        ASSERT_EQ(started(0), 0);
        ASSERT_EQ(state_of(id), OP_FAILED);
}

static int64_t news_usec;

static void on_news(void *arg)
{
        (void)arg;
        if (news_usec == 0)
                news_usec = clock_boot_usec();
}

TEST(a_commit_of_the_operation_is_news_at_once)
{
        op_id id = begin("w");
        int64_t began = clock_boot_usec();

        spawner_tell(spawner, on_news, NULL);
        spawner_start(spawner, id);
        run_until_done(id, 8000);
        ASSERT(news_usec != 0 && news_usec - began < 500000); /* before it had ended */
        ASSERT(clock_boot_usec() - began >= 600000);
}

/* Longer and longer pauses lie between: 1, 4 and 16 of the first. */
TEST(after_the_fourth_death_it_is_held)
{
        int64_t began = clock_boot_usec();
        op_id id = begin("xexexexex");

        spawner_pause(spawner, 20000);
        spawner_start(spawner, id);
        run_until_done(id, 8000);
        ASSERT(clock_boot_usec() - began >= 420000);
        ASSERT_EQ(state_of(id), OP_HELD);
        ASSERT_EQ(started(0), 4);
}

/* What is in "waiting", once the processes have said so much. */
static const char *heard(const char *how)
{
        static char text[400];
        char signs[50];
        size_t n;

        for (int i = 0; i < 500; i++) {
                char *said = NULL;

                n = 0;
                if (file_read(dirs.state_fd, "waiting", sizeof(text) - 1, &said, NULL, &err) == 0) {
                        (void)snprintf(text, sizeof(text), "%s", said);
                        for (const char *c = said; *c != '\0'; c++)
                                if (*c == '+' || *c == '-')
                                        signs[n++] = *c;
                }
                free(said);
                signs[n] = '\0';
                if (strcmp(signs, how) == 0)
                        return text;
                (void)usleep(10000);
        }
        ASSERT_STR(signs, how);
        return NULL;
}

TEST(the_process_that_waits_runs_the_operation_and_is_one)
{
        op_id id = begin("d");

        spawner_prepare(spawner);
        spawner_prepare(spawner);
        (void)heard("+");
        spawner_start(spawner, id);
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 1);
        (void)heard("+"); /* it was told, and no other one came */
        spawner_prepare(spawner);
        (void)heard("++");
        spawner_close(spawner);
        (void)heard("++-"); /* its end is waited for */
}

TEST(one_that_waits_and_dies_is_not_in_the_way)
{
        op_id id = begin("d");
        int pid;

        spawner_prepare(spawner);
        ASSERT_EQ(sscanf(heard("+"), "+%d", &pid), 1);
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        spawner_start(spawner, id);
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 1);
}

/* Stopped is as good as dying between being told and beginning. */
TEST(one_that_dies_when_it_was_told_is_followed_by_another)
{
        op_id id = begin("d");
        int pid;

        spawner_prepare(spawner);
        ASSERT_EQ(sscanf(heard("+"), "+%d", &pid), 1);
        ASSERT_EQ(kill(pid, SIGSTOP), 0);
        spawner_pause(spawner, 20000);
        spawner_start(spawner, id);
        ASSERT(spawner_runs(spawner, id));
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        run_until_done(id, 5000);
        ASSERT_EQ(state_of(id), OP_FAILED);
        ASSERT_EQ(started(0), 1);
}

TEST(one_that_waits_ends_with_a_daemon_that_is_killed)
{
        int pid, daemon;

        (void)begin("d");
        daemon = fork();
        if (daemon == 0) {
                spawner_prepare(spawner);
                (void)pause();
        }
        ASSERT_EQ(sscanf(heard("+"), "+%d", &pid), 1);
        ASSERT_EQ(kill(daemon, SIGKILL), 0);
        (void)heard("+-");
}
