/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/list.h"
#include "fsdrivers/tree.h"

/* openat2 takes paths below PATH_MAX; longer ones are opened in pieces of whole components. */
#define PIECE_MAX 2048

static int open_piece(int dir_fd, const char *path, size_t n, int *ret_fd, struct err *err)
{
        char piece[PIECE_MAX + 1];

        (void)snprintf(piece, sizeof(piece), "%.*s", (int)n, path);
        return safepath_open(dir_fd, piece, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

/* Piece by piece, each beneath the one before: a symlink at any place refuses the whole path. */
int tree_open(int root_fd, const char *path, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        size_t left = strlen(path);

        do {
                size_t n = left;
                int next;

                while (n > PIECE_MAX)
                        n = (size_t)((char *)memrchr(path, '/', n) - path);
                if (open_piece(fd < 0 ? root_fd : fd, path, n, &next, err) < 0)
                        return -1;
                closep(&fd);
                fd = next;
                path += n;
                left -= n;
                if (left > 0) {
                        path++;
                        left--;
                }
        } while (left > 0);
        *ret_fd = steal_fd(&fd);
        return 0;
}

int tree_open_parent(int root_fd, const char *path, int *ret_fd, const char **ret_name,
                     struct err *err)
{
        const char *slash = strrchr(path, '/');
        CLEANUP(freep) char *parent = strndup(path, slash == NULL ? 0 : (size_t)(slash - path));

        if (parent == NULL)
                return err_oom(err);
        if (tree_open(root_fd, parent, ret_fd, err) < 0)
                return -1;
        *ret_name = slash == NULL ? path : slash + 1;
        return 0;
}

/* A lease makes a non-blocking open fail until its holder lets go of it, at the latest after
 * /proc/sys/fs/lease-break-time (45 s).  A tenant could hold one on each file: wait a second. */
static int open_leased(const char *link, const char *name, int *ret_fd, struct err *err)
{
        const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
        int fd = -1;

        for (unsigned tries = 0; tries < 50; tries++) {
                fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME | O_CLOEXEC);
                if (fd >= 0 || (errno != EWOULDBLOCK && errno != EINTR))
                        break;
                (void)nanosleep(&pause, NULL);
        }
        if (fd < 0 && errno == EWOULDBLOCK)
                return err_fail(err, ERR_BUSY, 0, "a process holds a lease on '%s': stop it", name);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", name);
        *ret_fd = fd;
        return 0;
}

int tree_open_file(int dir_fd, const char *name, int *ret_fd, struct stat *ret_stat,
                   struct err *err)
{
        CLEANUP(closep) int path_fd = -1;
        char link[64];

        if (safepath_open(dir_fd, name, O_PATH, &path_fd, err) < 0)
                return -1;
        if (fstat(path_fd, ret_stat) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (!S_ISREG(ret_stat->st_mode))
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' is not a regular file", name);

        /* Looked at first and opened through the same descriptor: nobody can put another thing
         * between the two. */
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
        return open_leased(link, name, ret_fd, err);
}

int tree_readlink(int dir_fd, const char *name, char **ret_target, struct err *err)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

        if (n < 0)
                return err_fail(err, errno == ENOENT || errno == EINVAL ? ERR_NOT_FOUND : ERR_IO,
                                errno, "cannot read the link '%s'", name);
        target[n] = '\0';
        *ret_target = strdup(target);
        return *ret_target == NULL ? err_oom(err) : 0;
}

/* "." and "..", which readdir lists as well. */
static bool is_dot(const char *name)
{
        return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int tree_each(int dir_fd, tree_visit visit, void *arg, struct err *err)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
        struct dirent *entry;

        if (fd < 0 || (dir = fdopendir(fd)) == NULL) {
                closep(&fd);
                return err_fail(err, ERR_IO, errno, "cannot list a directory");
        }
        while ((errno = 0, entry = readdir(dir)) != NULL)
                if (!is_dot(entry->d_name) && visit(entry->d_name, arg, err) < 0)
                        return -1;
        /* A directory that was removed under us ends its list with ENOENT. */
        if (errno != 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot list a directory");
        return 0;
}

char *tree_join(const char *path, const char *name)
{
        char *joined;

        if (path[0] == '\0')
                return strdup(name);
        if (asprintf(&joined, "%s/%s", path, name) < 0)
                return NULL;
        return joined;
}

size_t tree_depth(const char *path)
{
        size_t depth = path[0] != '\0';

        for (; *path != '\0'; path++)
                depth += *path == '/';
        return depth;
}

int tree_todo_push(struct tree_todo *todo, char *path, int mark, struct err *err)
{
        CLEANUP(freep) char *taken = path;

        if (taken == NULL)
                return err_oom(err);
        if (tree_depth(taken) > TREE_DEPTH_MAX)
                return err_fail(err, ERR_REFUSED, 0,
                                "more than %d directories in each other, under '%.60s...': remove "
                                "or exclude them",
                                TREE_DEPTH_MAX, taken);
        if (!LIST_ROOM(todo))
                return err_oom(err);
        todo->v[todo->n++] = (struct tree_todo_item){ .path = STEAL(taken), .mark = mark };
        return 0;
}

char *tree_todo_pop(struct tree_todo *todo, int *ret_mark)
{
        if (todo->n == 0)
                return NULL;
        todo->n--;
        if (ret_mark != NULL)
                *ret_mark = todo->v[todo->n].mark;
        return todo->v[todo->n].path;
}

void tree_todo_done(struct tree_todo *todo)
{
        while (todo->n > 0)
                free(todo->v[--todo->n].path);
        free(todo->v);
        memset(todo, 0, sizeof(*todo));
}

/* A directory that is being emptied. */
struct emptying {
        int fd;
        int top_fd;    /* where the whole removal began */
        uint64_t next; /* the next number to call a directory by */
        bool was_empty;
};

/* Move a directory up into the top one, under a number that nothing there has. */
static int lift(struct emptying *e, const char *name, struct err *err)
{
        char number[32];

        do {
                (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)e->next++);
                if (renameat2(e->fd, name, e->top_fd, number, RENAME_NOREPLACE) == 0)
                        return 0;
        } while (errno == EEXIST);
        return err_fail(err, errno == EXDEV || errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                        "cannot remove '%s'", name);
}

/* In a directory one level down: files go, directories move up. */
static int empty_lower(const char *name, void *arg, struct err *err)
{
        struct emptying *e = arg;

        if (unlinkat(e->fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", name);
        return lift(e, name, err);
}

/* In the directory that is being removed: a directory in it is emptied into it, and goes. */
static int empty_top(const char *name, void *arg, struct err *err)
{
        struct emptying *e = arg;
        CLEANUP(closep) int fd = -1;
        struct emptying lower;

        e->was_empty = false;
        if (unlinkat(e->fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", name);
        if (safepath_open(e->fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        lower = (struct emptying){ .fd = fd, .top_fd = e->top_fd, .next = e->next };
        if (tree_each(fd, empty_lower, &lower, err) < 0)
                return -1;
        e->next = lower.next;
        if (unlinkat(e->fd, name, AT_REMOVEDIR) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot remove '%s'", name);
        return 0;
}

int tree_remove(int dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int top_fd = -1;
        struct emptying e = { .next = 0 };

        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", name);
        if (safepath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, &top_fd, err) < 0)
                return err_wrap(err, "removing '%s'", name);

        /* However deep the tree is, nothing is ever opened further down than two levels: the
         * directories in a directory are lifted to the top before it goes. */
        e.fd = e.top_fd = top_fd;
        while (!e.was_empty) {
                e.was_empty = true;
                if (tree_each(top_fd, empty_top, &e, err) < 0)
                        return err_wrap(err, "removing '%s'", name);
        }
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot remove '%s'", name);
        return 0;
}

int tree_stub(int root_fd, const char *path, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
        char parent[1024];
        struct stat st;

        if (safepath_valid(path, err) < 0)
                return -1;
        if (fstat(root_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the tree");
        (void)snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - path),
                       path);
        if (parent[0] == '\0' ? tree_open(root_fd, "", &parent_fd, err) < 0
                              : safepath_mkdirs(root_fd, parent, 0755, st.st_uid, st.st_gid,
                                                &parent_fd, err) < 0)
                return err_wrap(err, "making '%s'", path);

        if (mkdirat(parent_fd, name, 0555) < 0) {
                if (errno != EEXIST || fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot make '%s'", path);
                if (S_ISDIR(st.st_mode))
                        return 0;
                if (unlinkat(parent_fd, name, 0) < 0 || mkdirat(parent_fd, name, 0555) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot make '%s'", path);
        }
        /* Neither the umask nor a setgid parent has a say in it. */
        if (safepath_open(parent_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return err_wrap(err, "making '%s'", path);
        if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0555) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", path);
        return 0;
}
