/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/driver/db_world.h"
#include "tests/lib/test.h"

#define PERIOD_USEC 5000 /* 200 transactions a second */

struct db_world world = { .tree_fd = -1 };

static struct err err;

static void *shared(size_t n)
{
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        ASSERT(p != MAP_FAILED);
        return p;
}

static void become_tenant(void)
{
        gid_t gid = world.conf.owner_gid;
        uid_t uid = world.conf.owner_uid;

        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(9);
}

int world_wait(pid_t pid)
{
        int status = 0;

        ASSERT(waitpid(pid, &status, 0) == pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Evaluate an expression as the tenant: 0 when it is. */
#define AS_TENANT(expression)                                                                      \
        __extension__({                                                                            \
                pid_t child_ = fork();                                                             \
                if (child_ == 0) {                                                                 \
                        become_tenant();                                                           \
                        _exit((expression) != 0);                                                  \
                }                                                                                  \
                ASSERT(child_ > 0);                                                                \
                world_wait(child_);                                                                \
        })

struct db_counts world_counts(const char *schema)
{
        static struct db_counts *counts;

        if (counts == NULL)
                counts = shared(sizeof(*counts));
        ASSERT_EQ(AS_TENANT(db_factory.read(&world.conf, schema, counts)), 0);
        ASSERT_EQ(counts->left, counts->right);
        return *counts;
}

bool world_can_write(const char *schema, uint64_t number)
{
        return AS_TENANT(db_factory.append(db_factory.connect(&world.conf, schema), number,
                                           world.tree_fd)) == 0;
}

void world_damage(const char *schema)
{
        ASSERT_EQ(AS_TENANT(db_factory.damage(&world.conf, schema)), 0);
}

void world_schema(const char *schema, unsigned rows)
{
        db_factory.provision(&world.conf, schema);
        ASSERT_EQ(AS_TENANT(db_factory.create(&world.conf, schema, rows)), 0);
}

struct db *world_begin(const char *schema)
{
        struct db *db = NULL;

        world.driver = db_factory.driver;
        db_factory.start(&world.conf);
        world.tree_fd = openat(AT_FDCWD, test_tmpdir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ASSERT(world.tree_fd >= 0);
        world_schema(schema, ROWS);
        ASSERT_OK(world.driver->open(&world.conf, &db, &err));
        return db;
}

bool world_exists(struct db *db, const char *schema)
{
        bool there = false;

        ASSERT_OK(world.driver->exists(db, schema, &there, &err));
        return there;
}

uint64_t world_tree(void)
{
        uint64_t number = 0;

        ASSERT(pread(world.tree_fd, &number, sizeof(number), 0) == sizeof(number));
        return number;
}

static void write_for_ever(struct writer *writer, const char *schema)
{
        void *connection = db_factory.connect(&world.conf, schema);

        for (uint64_t number = ROWS + 1; !writer->stop; number++) {
                int64_t before = clock_boot_usec(), took;

                if (connection == NULL ||
                    db_factory.append(connection, number, world.tree_fd) != 0) {
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

/* On a busy machine that may take a while. */
void writer_wait(const struct writer *writer, uint64_t than)
{
        for (int ms = 0; ms < 20000 && writer->acknowledged <= than; ms++)
                (void)usleep(1000);
        ASSERT(writer->acknowledged > than);
}

struct writer *writer_start(const char *schema)
{
        struct writer *writer = shared(sizeof(*writer));
        pid_t pid = fork();

        if (pid == 0) {
                become_tenant();
                write_for_ever(writer, schema);
        }
        ASSERT(pid > 0);
        writer->pid = pid;
        writer_wait(writer, ROWS + 19);
        return writer;
}

void writer_stop(struct writer *writer, const char *schema)
{
        struct db_counts counts;

        writer->stop = true;
        ASSERT_EQ(world_wait(writer->pid), 0);
        counts = world_counts(schema);
        ASSERT_EQ(counts.last, writer->acknowledged);
        ASSERT_EQ(counts.left, counts.last);
}

pid_t world_linger(const char *schema)
{
        struct writer *state = shared(sizeof(*state));
        pid_t pid = fork();

        if (pid == 0) {
                become_tenant();
                state->failed =
                        (uint64_t)db_factory.linger(db_factory.connect(&world.conf, schema));
                state->acknowledged = 1;
                (void)pause();
                _exit(0);
        }
        ASSERT(pid > 0);
        writer_wait(state, 0);
        ASSERT_EQ(state->failed, 0);
        return pid;
}
