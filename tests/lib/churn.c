/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/churn.h"

#define NAMES 7

static unsigned long state;

unsigned churn_pick(unsigned n)
{
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        return (unsigned)(state >> 33) % n;
}

/* Few names and three levels, so that operations meet. */
static const char *any_path(void)
{
        static char paths[4][32];
        static unsigned next;
        char *path = paths[next++ % 4];
        unsigned a = churn_pick(NAMES), b = churn_pick(NAMES), c = churn_pick(NAMES);

        switch (churn_pick(3)) {
        case 0:
                (void)snprintf(path, 32, "n%u", a);
                break;
        case 1:
                (void)snprintf(path, 32, "n%u/n%u", a, b);
                break;
        default:
                (void)snprintf(path, 32, "n%u/n%u/n%u", a, b, c);
        }
        return path;
}

static void change_data(int fd, const char *path)
{
        CLEANUP(closep) int file = openat(fd, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        static char bytes[300000];

        if (file < 0)
                return;
        memset(bytes, (int)churn_pick(256), sizeof(bytes));
        switch (churn_pick(3)) {
        case 0:
                (void)!write(file, bytes, churn_pick(2) ? 3 : sizeof(bytes));
                break;
        case 1:
                (void)!pwrite(file, bytes, 5, churn_pick(400000));
                break;
        default:
                (void)!ftruncate(file, churn_pick(200000));
        }
}

static void change_attributes(int fd, const char *path)
{
        CLEANUP(closep) int file = -1;
        char value = (char)('a' + churn_pick(3));

        switch (churn_pick(4)) {
        case 0:
                (void)!fchownat(fd, path, churn_pick(3), churn_pick(3), AT_SYMLINK_NOFOLLOW);
                break;
        case 1:
                file = openat(fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                (void)!fchmod(file, 0600 + churn_pick(64));
                break;
        case 2:
                file = openat(fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                (void)!fsetxattr(file, "user.x", &value, 1, 0);
                break;
        default:
                (void)!utimensat(fd, path, NULL, AT_SYMLINK_NOFOLLOW);
        }
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static void remove_any(int fd, const char *path)
{
        char whole[400];

        (void)snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", fd, path);
        (void)nftw(whole, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* One random operation; many fail, and that is fine. */
static void operate(int fd)
{
        const char *path = any_path();
        CLEANUP(closep) int file = -1;

        switch (churn_pick(13)) {
        case 0:
        case 1:
                (void)!mkdirat(fd, path, 0755);
                break;
        case 2:
        case 3:
                file = openat(fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (file >= 0 && churn_pick(2))
                        (void)!write(file, path, strlen(path));
                break;
        case 4:
        case 5:
                change_data(fd, path);
                break;
        case 6:
        case 7:
                (void)!renameat(fd, path, fd, any_path());
                break;
        case 8:
                (void)!linkat(fd, path, fd, any_path(), 0);
                break;
        case 9:
                (void)!symlinkat(any_path(), fd, path);
                break;
        case 10:
                if (churn_pick(2))
                        remove_any(fd, path);
                else
                        (void)!renameat2(fd, path, fd, any_path(), RENAME_EXCHANGE);
                break;
        case 11:
                (void)!mkfifoat(fd, path, 0600);
                break;
        default:
                change_attributes(fd, path);
        }
}

void churn_seed(unsigned long seed)
{
        state = seed;
}

void churn(int fd, unsigned n)
{
        while (n-- > 0)
                operate(fd);
}
