/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/mariadb_keeper.h"

#define DESCRIPTION_MAX  (16 << 20)
#define DESCRIPTION_ROOM (1 << 20)
#define COPY_PIECE       (64 << 20)
#define FILE_MODE        0660 /* as the server makes its own */

struct taken {
        int fd; /* without a name yet */
        char *description;
        size_t n;
};

struct keeper {
        int dir_fd; /* -1: not said yet */
        struct taken *taken;
        size_t n;
};

static void forget(struct keeper *keeper)
{
        for (size_t i = 0; i < keeper->n; i++) {
                (void)close(keeper->taken[i].fd);
                free(keeper->taken[i].description);
        }
        free(STEAL(keeper->taken));
        keeper->n = 0;
}

/* "database/table" and a suffix, of which nothing is a link or on another file system. */
static int path_of(const char *name, const char *suffix, char *path, size_t size, struct err *err)
{
        const char *slash = strchr(name, '/');
        int n = snprintf(path, size, "%s%s", name, suffix);

        if (slash == NULL || strchr(slash + 1, '/') != NULL || n < 0 || (size_t)n >= size)
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is no table's name", name);
        return safepath_valid(path, err);
}

/* A file of the server's alone: what has a second name is somebody else's too. */
static int open_file(const struct keeper *keeper, const char *name, const char *suffix,
                     uint64_t *ret_bytes, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char path[PATH_MAX];
        struct stat st;

        if (path_of(name, suffix, path, sizeof(path), err) < 0 ||
            safepath_open(keeper->dir_fd, path, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid())
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is not a file that the database server alone has", path);
        *ret_bytes = (uint64_t)st.st_size;
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int make_nameless(const struct keeper *keeper, int *ret_fd, struct err *err)
{
        *ret_fd = openat(keeper->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
        return *ret_fd < 0 ? err_fail(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, errno,
                                      "cannot make a file in the server's directory")
                           : 0;
}

static int copy_bytes(int from, int to, uint64_t bytes, struct err *err)
{
        loff_t in = 0, out = 0;

        while ((uint64_t)in < bytes) {
                ssize_t n = copy_file_range(from, &in, to, &out, COPY_PIECE, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_fail(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO,
                                        n < 0 ? errno : 0, "cannot copy a file of the server");
        }
        return 0;
}

static int op_directory(struct keeper *keeper, const struct keeper_call *call,
                        struct keeper_answer *answer, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;

        (void)answer;
        if (keeper->dir_fd >= 0 || call->name[0] != '/')
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is no directory of a server",
                                call->name);
        /* Links on the way are the administrator's or the server's own: nobody gains by them whom
         * we are not already. */
        fd = openat(AT_FDCWD, call->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_fail(err, ERR_NOT_FOUND, errno,
                                "the database server's directory '%s' cannot be opened here",
                                call->name);
        if (st.st_uid != geteuid())
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' does not belong to the user that listens at the database "
                                "server's socket",
                                call->name);
        keeper->dir_fd = steal_fd(&fd);
        return 0;
}

/* Its dirty pages are written by this already, before anybody waits. */
static int op_look(struct keeper *keeper, const struct keeper_call *call,
                   struct keeper_answer *answer, struct err *err)
{
        CLEANUP(closep) int fd = -1, description = -1, clone = -1;
        uint64_t unused;

        if (open_file(keeper, call->name, ".ibd", &answer->number, &fd, err) < 0)
                return -1;
        if (open_file(keeper, call->name, ".cfg", &unused, &description, err) == 0)
                return err_fail(err, ERR_BUSY, 0, "'%s' is being exported by somebody else",
                                call->name);
        if (err->code != ERR_NOT_FOUND || make_nameless(keeper, &clone, err) < 0)
                return -1;
        if (ioctl(clone, FICLONE, fd) == 0)
                answer->flags |= KEEPER_CLONES;
        return 0;
}

/* A server without room for a description says so in its log alone. */
static int no_description(const struct keeper_call *call, int fd, struct err *err)
{
        struct statvfs vfs;

        if (err->code == ERR_NOT_FOUND && fstatvfs(fd, &vfs) == 0 &&
            vfs.f_bavail * vfs.f_frsize < DESCRIPTION_ROOM)
                return err_fail(err, ERR_NO_SPACE, 0,
                                "the database server has no room in its directory to export '%s'",
                                call->name);
        return -1;
}

/* The description is there because the server made it for this export: a directory of another
 * server has none. */
static int op_take(struct keeper *keeper, const struct keeper_call *call,
                   struct keeper_answer *answer, struct err *err)
{
        CLEANUP(closep) int fd = -1, description = -1, clone = -1;
        struct taken *more = reallocarray(keeper->taken, keeper->n + 1, sizeof(*more));
        struct taken *taken;
        uint64_t bytes, unused;

        if (more == NULL)
                return err_oom(err);
        keeper->taken = more;
        taken = &more[keeper->n];
        if (open_file(keeper, call->name, ".ibd", &bytes, &fd, err) < 0)
                return -1;
        if (open_file(keeper, call->name, ".cfg", &unused, &description, err) < 0)
                return no_description(call, fd, err);
        if (make_nameless(keeper, &clone, err) < 0)
                return -1;
        if (ioctl(clone, FICLONE, fd) == 0)
                answer->flags |= KEEPER_CLONES;
        else if ((call->flags & KEEPER_BYTES) == 0)
                return err_fail(err, ERR_UNSUPPORTED, errno, "'%s' cannot be cloned", call->name);
        else if (copy_bytes(fd, clone, bytes, err) < 0)
                return -1;
        *taken = (struct taken){ .fd = -1 };
        if (file_read_fd(description, DESCRIPTION_MAX, &taken->description, &taken->n, err) < 0)
                return -1;
        taken->fd = steal_fd(&clone);
        answer->number = keeper->n++;
        return 0;
}

static int open_place(const struct keeper *keeper, const char *name, int *ret_dir_fd,
                      const char **ret_table, struct err *err)
{
        char path[PATH_MAX];

        if (path_of(name, "", path, sizeof(path), err) < 0)
                return -1;
        *ret_table = strchr(name, '/') + 1;
        path[strcspn(path, "/")] = '\0';
        return safepath_open(keeper->dir_fd, path, O_RDONLY | O_DIRECTORY, ret_dir_fd, err);
}

/* Nothing is replaced: a table whose space was discarded has no file. */
static int op_put(struct keeper *keeper, const struct keeper_call *call,
                  struct keeper_answer *answer, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1, description = -1;
        char source[64], target[NAME_MAX + 8];
        const char *table;

        (void)answer;
        if (call->slot >= keeper->n)
                return err_fail(err, ERR_INVALID, 0, "nothing was taken as %u", call->slot);
        if (open_place(keeper, call->name, &dir_fd, &table, err) < 0)
                return -1;
        (void)snprintf(target, sizeof(target), "%.*s.cfg", NAME_MAX - 4, table);
        description = openat(dir_fd, target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                             FILE_MODE);
        if (description < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", target);
        if (file_write_all(description, keeper->taken[call->slot].description,
                           keeper->taken[call->slot].n, err) < 0)
                return -1;
        (void)snprintf(target, sizeof(target), "%.*s.ibd", NAME_MAX - 4, table);
        (void)snprintf(source, sizeof(source), "/proc/self/fd/%d", keeper->taken[call->slot].fd);
        if (linkat(AT_FDCWD, source, dir_fd, target, AT_SYMLINK_FOLLOW) < 0)
                return err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                                "cannot make '%s'", target);
        return 0;
}

static int op_tidy(struct keeper *keeper, const struct keeper_call *call,
                   struct keeper_answer *answer, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1, fd = -1;
        char target[NAME_MAX + 8];
        const char *table;

        if (open_place(keeper, call->name, &dir_fd, &table, err) < 0 ||
            open_file(keeper, call->name, ".ibd", &answer->number, &fd, err) < 0)
                return -1;
        (void)snprintf(target, sizeof(target), "%.*s.cfg", NAME_MAX - 4, table);
        if (unlinkat(dir_fd, target, 0) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", target);
        if (fsync(fd) < 0 || fsync(dir_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot write '%s' to the disk", call->name);
        return 0;
}

static int op_forget(struct keeper *keeper, const struct keeper_call *call,
                     struct keeper_answer *answer, struct err *err)
{
        (void)call;
        (void)answer;
        (void)err;
        forget(keeper);
        return 0;
}

static int (*const ops[KEEPER_OPS])(struct keeper *, const struct keeper_call *,
                                    struct keeper_answer *, struct err *) = {
        [KEEPER_DIRECTORY] = op_directory, [KEEPER_LOOK] = op_look,
        [KEEPER_TAKE] = op_take,           [KEEPER_PUT] = op_put,
        [KEEPER_TIDY] = op_tidy,           [KEEPER_FORGET] = op_forget,
};

int mariadb_keeper_run(int fd)
{
        static struct keeper_call call; /* too large for a stack, and there is one in a process */
        struct keeper keeper = { .dir_fd = -1 };

        while (read(fd, &call, sizeof(call)) == (ssize_t)sizeof(call)) {
                struct keeper_answer answer = { 0 };
                struct err err = { 0 };

                call.name[sizeof(call.name) - 1] = '\0';
                /* Not a word of the protocol, or before there is a directory. */
                if (call.op >= KEEPER_OPS || ops[call.op] == NULL ||
                    (call.op != KEEPER_DIRECTORY && keeper.dir_fd < 0))
                        break;
                if (ops[call.op](&keeper, &call, &answer, &err) < 0) {
                        answer.code = err.code;
                        answer.os = err.os;
                        (void)snprintf(answer.msg, sizeof(answer.msg), "%s", err.msg);
                }
                if (write(fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
                        break;
        }
        forget(&keeper);
        closep(&keeper.dir_fd);
        return 0;
}
