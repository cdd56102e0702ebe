/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "snapd/fault.h"
#include "snapd/sql.h"
#include "snapd/txn.h"
#include "tests/crash/txn_world.h"
#include "tests/lib/test.h"

#define OPERATION 1
#define RECORD    "recorded" /* a row of the catalog that nothing else has */

static const char *const disk_names[DISK_FILES] = { "state.db", "state.db-wal" };

struct world *world;
static int dir_fd;
static unsigned current_part, current_cell; /* of the step that runs in this life */

void world_violate(const char *fmt, ...)
{
        va_list ap;

        if (world->violation[0] != '\0')
                return;
        va_start(ap, fmt);
        (void)vsnprintf(world->violation, sizeof(world->violation), fmt, ap);
        va_end(ap);
}

static bool act_here(enum action action)
{
        return world->at != 0 && world->points >= world->at && world->action == action;
}

static void ask_abort(struct catalog *catalog)
{
        unsigned last = world->shape.pivot;
        struct err err;

        world->acted = true;
        if (journal_ask_abort(catalog, OPERATION, &err) < 0)
                return;
        world->abort_accepted = true;
        if (last == world->shape.n[PLAN_MAIN])
                last--; /* once the last step has begun nobody asks any more */
        world->abort_in_time = world->now[PLAN_MAIN][last] == CELL_OLD &&
                               !(current_part == PLAN_MAIN && current_cell == last);
}

/* ${catalog} is NULL at a flush, in the middle of SQLite's work. */
static void point(struct catalog *catalog)
{
        world->points++;
        if (act_here(ACT_KILL) && world->points == world->at)
                (void)raise(SIGKILL);
        if (act_here(ACT_ABORT) && catalog != NULL && !world->acted)
                ask_abort(catalog);
}

/* The flushes of SQLite and of common/file.c come here instead of to libc. */

static void disk_keep(int fd)
{
        char link[64], path[512];
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return;
        path[n] = '\0';
        for (enum disk_file f = 0; f < DISK_FILES; f++) {
                const char *name = strrchr(path, '/');

                if (name == NULL || strcmp(name + 1, disk_names[f]) != 0)
                        continue;
                n = pread(fd, world->disk[f].bytes, DISK_MAX, 0);
                if (n < 0 || n == DISK_MAX)
                        abort(); /* the world is too small for this */
                world->disk[f].n = (size_t)n;
        }
}

static int flush_file(int fd)
{
        if (world == NULL)
                return 0;
        point(NULL);
        if ((act_here(ACT_FLUSH_ERROR) && !world->acted) || act_here(ACT_FLUSH_ERRORS)) {
                world->acted = true;
                errno = EIO;
                return -1;
        }
        if (world->power)
                disk_keep(fd);
        point(NULL);
        return 0;
}

int fdatasync(int fd)
{
        return flush_file(fd);
}

int fsync(int fd)
{
        return flush_file(fd);
}

/* Waiting is the transaction's; the world's failures count tries, not time. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
        (void)wanted;
        (void)left;
        return 0;
}

void fault_point(const char *prefix, const char *kind, const char *place)
{
        (void)kind;
        if (prefix[0] == '\0' && strcmp(place, "marked") == 0)
                world->marked[current_part][current_cell] = true;
        point(NULL);
}

/* No ballast here: what fails is not the room. */
bool env_make_room(struct step_env *env)
{
        (void)env;
        return false;
}

/* Nor a connection that could be lost. */
void env_database_forget(struct step_env *env)
{
        (void)env;
}

static bool fails(int *times)
{
        if (*times > 0)
                (*times)--;
        else if (*times == 0)
                return false;
        return true;
}

/* HALF reaches the disk or not, as it pleases the page cache. */
static void turn(unsigned part, unsigned cell, enum cell to, struct catalog *catalog)
{
        if (part == PLAN_MAIN && cell == world->shape.pivot && to == CELL_HALF)
                return; /* the switch is one rename */
        world->now[part][cell] = to;
        point(catalog);
        if (cell == world->shape.fades[part])
                return; /* a mount: no disk remembers it */
        if (to != CELL_HALF || cell % 2 == 1)
                world->durable[part][cell] = to;
        point(catalog);
}

static int fail_step(unsigned part, unsigned cell, struct catalog *catalog, struct err *err)
{
        if (world->fails_half)
                turn(part, cell, CELL_HALF, catalog);
        return err_fail(err, ERR_IO, EIO, "cell %u", cell);
}

static void read_args(const json_t *args)
{
        current_part = (unsigned)json_get_u64(args, "part");
        current_cell = (unsigned)json_get_u64(args, "cell");
}

/* What a step has recorded is what the catalog says. */
static void read_records(struct catalog *catalog)
{
        unsigned cell = world->shape.records;
        uint64_t there = 0;
        struct err err;

        if (cell >= CELLS)
                return;
        if (sql_number(catalog_db(catalog), "SELECT count(*) FROM counters WHERE name = ?1",
                       SQL_ARGS(sql_text(RECORD)), &there, &err) < 0)
                world_violate("the catalog cannot be read: %s", err.msg);
        world->now[PLAN_MAIN][cell] = world->durable[PLAN_MAIN][cell] =
                there != 0 ? CELL_NEW : CELL_OLD;
}

static int fake_run(struct step_env *env, const json_t *args, struct err *err)
{
        read_args(args);
        read_records(env->catalog);
        unsigned part = current_part, cell = current_cell;

        for (unsigned i = 0; i < cell; i++)
                if (world->now[part][i] != CELL_NEW)
                        world_violate("step %u.%u ran before step %u was done", part, cell, i);
        if (part == PLAN_RESCUE && world->now[PLAN_MAIN][world->shape.pivot] != CELL_NEW)
                world_violate("a rescue without the point of no return");
        if (part == PLAN_RESCUE && world->shape.once < CELLS &&
            world->marked[PLAN_MAIN][world->shape.once])
                world_violate("a rescue after the step that it answers was done");
        point(env->catalog);
        if (fails(&world->run_fails[part][cell]))
                return fail_step(part, cell, env->catalog, err);
        turn(part, cell, CELL_HALF, env->catalog);
        turn(part, cell, CELL_NEW, env->catalog);
        return 0;
}

static int fake_run_once(struct step_env *env, const json_t *args, struct err *err)
{
        if (world->once_starts++ > 0)
                world_violate("the step that must not run twice did");
        if (journal_abort_asked(env->catalog, env->operation))
                return err_fail(err, ERR_REFUSED, 0, "stopped as asked");
        return fake_run(env, args, err);
}

/* Within the transaction of its mark, in which nobody else can ask for anything. */
static int fake_record(struct step_env *env, const json_t *args, struct err *err)
{
        read_args(args);
        unsigned cell = current_cell;

        for (unsigned i = 0; i < cell; i++)
                if (world->now[PLAN_MAIN][i] != CELL_NEW)
                        world_violate("step %u was recorded before step %u was done", cell, i);
        point(NULL);
        if (fails(&world->run_fails[PLAN_MAIN][cell]))
                return err_fail(err, ERR_IO, EIO, "cell %u", cell);
        return sql_run(catalog_db(env->catalog),
                       "INSERT OR IGNORE INTO counters (name, next) VALUES (?1, 1)",
                       SQL_ARGS(sql_text(RECORD)), err);
}

static int fake_undo(struct step_env *env, const json_t *args, struct err *err)
{
        read_args(args);
        read_records(env->catalog);
        unsigned cell = current_cell;

        for (unsigned i = cell + 1; i < world->shape.n[PLAN_MAIN]; i++)
                if (world->now[PLAN_MAIN][i] != CELL_OLD)
                        world_violate("step %u was taken back before step %u", cell, i);
        if (current_part != PLAN_MAIN || world->marked[PLAN_MAIN][world->shape.pivot])
                world_violate("step %u was taken back after the point of no return", cell);
        point(env->catalog);
        if (fails(&world->undo_fails[cell]))
                return fail_step(PLAN_MAIN, cell, env->catalog, err);
        turn(PLAN_MAIN, cell, CELL_HALF, env->catalog);
        turn(PLAN_MAIN, cell, CELL_OLD, env->catalog);
        return 0;
}

/* Its record and its mark are one commit: what may be undone was never there. */
static int fake_unrecord(struct step_env *env, const json_t *args, struct err *err)
{
        read_args(args);
        read_records(env->catalog);
        unsigned cell = current_cell;

        if (world->now[PLAN_MAIN][cell] != CELL_OLD)
                world_violate("step %u is taken back after it was recorded", cell);
        if (fails(&world->undo_fails[cell]))
                return err_fail(err, ERR_IO, EIO, "cell %u", cell);
        return 0;
}

enum { KIND_STEP, KIND_ONCE, KIND_FADES, KIND_RECORDS };

static const struct step_kind kinds[] = {
        [KIND_STEP] = { .name = "fake.step", .run = fake_run, .undo = fake_undo },
        [KIND_ONCE] = { .name = "fake.once",
                        .run = fake_run_once,
                        .undo = fake_undo,
                        .once = true },
        [KIND_FADES] = { .name = "fake.fades", .run = fake_run, .undo = fake_undo, .fades = true },
        [KIND_RECORDS] = { .name = "fake.record",
                           .run = fake_record,
                           .undo = fake_unrecord,
                           .records = true },
};

const struct step_kind *step_kind_by_name(const char *name)
{
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return &kinds[i];
        return NULL;
}

/* The files of the catalog as the disk has them.  -shm is memory and never survives. */

static void disk_write(void)
{
        struct err err;

        (void)unlinkat(dir_fd, "state.db-shm", 0);
        for (enum disk_file f = 0; f < DISK_FILES; f++) {
                CLEANUP(closep) int fd = -1;

                if (world->disk[f].n == 0) {
                        (void)unlinkat(dir_fd, disk_names[f], 0);
                        continue;
                }
                fd = openat(dir_fd, disk_names[f], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                ASSERT(fd >= 0);
                ASSERT_OK(file_write_all(fd, world->disk[f].bytes, world->disk[f].n, &err));
        }
}

static void disk_read(void)
{
        for (enum disk_file f = 0; f < DISK_FILES; f++) {
                CLEANUP(closep) int fd = openat(dir_fd, disk_names[f], O_RDONLY | O_CLOEXEC);
                ssize_t n = fd < 0 ? 0 : read(fd, world->disk[f].bytes, DISK_MAX);

                ASSERT(n >= 0 && n < DISK_MAX);
                world->disk[f].n = (size_t)n;
        }
}

void world_open(void)
{
        dir_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(dir_fd >= 0);
        world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
        ASSERT(world != MAP_FAILED);
}

static void plan_make(const struct shape *shape, struct plan *plan, struct step *steps)
{
        for (unsigned part = 0; part < PLAN_PARTS; part++) {
                plan->parts[part].steps = steps;
                plan->parts[part].n = shape->n[part];
                for (unsigned i = 0; i < shape->n[part]; i++, steps++) {
                        if (i == shape->fades[part])
                                steps->kind = &kinds[KIND_FADES];
                        else if (part == PLAN_MAIN && i == shape->once)
                                steps->kind = &kinds[KIND_ONCE];
                        else if (part == PLAN_MAIN && i == shape->records)
                                steps->kind = &kinds[KIND_RECORDS];
                        else
                                steps->kind = &kinds[KIND_STEP];
                        steps->args = json_pack("{s:i, s:i, s:b}", "part", part, "cell", i, "loose",
                                                part == PLAN_MAIN && (shape->loose >> i & 1) != 0);
                }
        }
        plan->pivot = shape->pivot;
        for (unsigned part = 0; part < PLAN_PARTS; part++)
                plan->answer[part] = shape->answer[part];
}

static void catalog_make(const struct shape *shape)
{
        struct step steps[PLAN_PARTS * CELLS] = { 0 };
        CLEANUP(catalog_closep) struct catalog *catalog = NULL;
        json_t *request = json_object();
        struct plan plan = { 0 };
        struct err err;
        op_id id;

        plan_make(shape, &plan, steps);
        ASSERT_OK(catalog_open(dir_fd, &catalog, &err));
        ASSERT_OK(journal_queue(catalog, "shop", "upgrade", request, 0, &id, &err));
        ASSERT_EQ(id, OPERATION);
        ASSERT_OK(journal_plan(catalog, id, &plan, 1, &err));
        json_decref(request);
        for (unsigned i = 0; i < PLAN_PARTS * CELLS; i++)
                json_decref(steps[i].args);
}

void world_begin(const struct shape *shape, bool power)
{
        memset(world, 0, offsetof(struct world, disk));
        for (enum disk_file f = 0; f < DISK_FILES; f++)
                world->disk[f].n = 0;
        disk_write();
        catalog_make(shape);
        disk_read();
        world->shape = *shape;
        world->power = power;
}

static uint64_t read_op(struct catalog *catalog, enum op_state *ret_state)
{
        struct op op = { 0 };
        struct err err;
        uint64_t seq;

        if (journal_get(catalog, OPERATION, true, &op, &err) < 0) {
                world_violate("the journal cannot be read: %s", err.msg);
                return 0;
        }
        *ret_state = op.state;
        world->served = op.served_usec != 0;
        if (!op_is_open(op.state) && op.state != OP_DONE &&
            (op.error.code == 0 || op.error.msg[0] == '\0'))
                world_violate("the operation is %s without a reason", op_state_name(op.state));
        seq = op.seq;
        op_done(&op);
        return seq;
}

/* Once more: nothing may move. */
static void run_again(struct step_env *env)
{
        enum cell before[PLAN_PARTS][CELLS];
        enum op_state state = world->state;
        struct err err = { 0 };
        uint64_t seq = read_op(env->catalog, &state);
        int ret;

        memcpy(before, world->now, sizeof(before));
        ret = txn_run(env, OPERATION, true, &err);
        world->restless = memcmp(before, world->now, sizeof(before)) != 0 || ret != world->ret ||
                          (ret < 0 && err.code != world->err.code) ||
                          read_op(env->catalog, &state) != seq || state != world->state;
}

/* What a reboot took from an operation that had ended is snapd's to make again, not the
 * transaction's. */
static void remount(struct catalog *catalog)
{
        unsigned part = PLAN_MAIN, cell;

        (void)read_op(catalog, &world->state);
        if (world->state == OP_ROLLED_BACK)
                part = PLAN_RESCUE;
        else if (world->state != OP_DONE)
                return;
        cell = world->shape.fades[part];
        if (cell < CELLS)
                world->now[part][cell] = CELL_NEW;
}

/* Nobody was answered before there was what he asked for. */
static void look_at_answer(void)
{
        unsigned part = world->state == OP_RESCUING ? PLAN_RESCUE : PLAN_MAIN;

        if (!world->served || (part == PLAN_MAIN && world->state != OP_RUNNING))
                return;
        for (unsigned i = 0; i < world->shape.answer[part]; i++)
                if (i != world->shape.fades[part] && world->now[part][i] != CELL_NEW)
                        world_violate("served before step %u.%u was done", part, i);
}

/* The process that runs the operation; what it finds out is in the world when it ends. */
static void live(bool recover)
{
        struct step_env env = { 0 };
        struct err err = { 0 };

        if (catalog_open(dir_fd, &env.catalog, &err) < 0) {
                world->ret = -1;
                world->err = err;
                world->state = OP_RUNNING;
                if (world->action != ACT_FLUSH_ERROR && world->action != ACT_FLUSH_ERRORS)
                        world_violate("the catalog cannot be opened: %s", err.msg);
                return;
        }
        remount(env.catalog);
        read_records(env.catalog);
        look_at_answer();
        world->ret = txn_run(&env, OPERATION, recover, &err);
        world->err = err;
        world->at = 0; /* the faults are over */
        world->points_run = world->points;
        (void)read_op(env.catalog, &world->state);
        read_records(env.catalog);
        if (!op_is_open(world->state))
                run_again(&env);
        catalog_close(env.catalog);
        world->ended = true;
}

bool world_live(bool recover, unsigned at, enum action action)
{
        int status;
        pid_t pid;

        world->points = 0;
        world->at = at;
        world->action = action;
        world->acted = false;
        world->ended = false;
        disk_write();
        pid = fork();
        ASSERT(pid >= 0);
        if (pid == 0) {
                live(recover);
                _exit(0);
        }
        ASSERT(waitpid(pid, &status, 0) == pid);
        ASSERT(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        /* No power was cut while nothing ran. */
        for (unsigned part = 0; part < PLAN_PARTS && world->power && status == 0; part++)
                if (world->shape.fades[part] < CELLS)
                        world->durable[part][world->shape.fades[part]] =
                                world->now[part][world->shape.fades[part]];
        if (world->power)
                memcpy(world->now, world->durable, sizeof(world->now));
        else
                disk_read();
        memcpy(world->durable, world->now, sizeof(world->now));
        return status == 0;
}

/* A saved world is the plain part and then each file, no longer than it is. */
void *world_save(void)
{
        size_t plain = offsetof(struct world, disk);
        char *saved = malloc(plain + DISK_FILES * sizeof(size_t) + world->disk[DISK_DB].n +
                             world->disk[DISK_WAL].n);
        char *p = saved;

        ASSERT(saved != NULL);
        memcpy(p, world, plain);
        p += plain;
        for (enum disk_file f = 0; f < DISK_FILES; f++) {
                memcpy(p, &world->disk[f].n, sizeof(size_t));
                memcpy(p + sizeof(size_t), world->disk[f].bytes, world->disk[f].n);
                p += sizeof(size_t) + world->disk[f].n;
        }
        return saved;
}

void world_load(const void *saved)
{
        size_t plain = offsetof(struct world, disk);
        const char *p = saved;

        memcpy(world, p, plain);
        p += plain;
        for (enum disk_file f = 0; f < DISK_FILES; f++) {
                memcpy(&world->disk[f].n, p, sizeof(size_t));
                memcpy(world->disk[f].bytes, p + sizeof(size_t), world->disk[f].n);
                p += sizeof(size_t) + world->disk[f].n;
        }
}
