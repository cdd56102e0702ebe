/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/root.h"
#include "tests/lib/test.h"

extern char **environ;

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* The programs that make file systems, with what makes them quick and alike everywhere. */
static const struct {
        const char *type, *argv[8];
} makers[] = {
        { "ext4", { "mkfs.ext4", "-q", "-F", "-b", "4096" } },
        { "xfs", { "mkfs.xfs", "-q", "-f", "-m", "reflink=1" } },
        { "btrfs", { "mkfs.btrfs", "-q", "-f" } },
};

void root_begin(void)
{
        if (geteuid() != 0)
                test_skip("needs root to mount");
        test_need_syscalls();
        if (unshare(CLONE_NEWNS) < 0)
                test_skip("cannot have a mount namespace: %s", strerror(errno));
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                FAIL("cannot make the mounts private: %s", strerror(errno));
}

int root_run(const char *const *argv)
{
        posix_spawn_file_actions_t actions;
        int status = -1;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        if (posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ) == 0 &&
            waitpid(pid, &status, 0) == pid && WIFEXITED(status))
                status = WEXITSTATUS(status);
        posix_spawn_file_actions_destroy(&actions);
        return status;
}

static void make_fs(const char *type, const char *image)
{
        const char *argv[8];
        size_t n = 0;

        for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
                if (strcmp(makers[i].type, type) != 0)
                        continue;
                for (; makers[i].argv[n] != NULL; n++)
                        argv[n] = makers[i].argv[n];
                argv[n++] = image;
                argv[n] = NULL;
                if (root_run(argv) != 0)
                        test_skip("cannot make a file system with %s", argv[0]);
                return;
        }
        FAIL("no maker of '%s'", type);
}

/* A loop device that frees itself once it is unmounted and closed.  Others look for a free one
 * at the same time, so a lost race is tried again. */
static int loop_attach(const char *image, char dev[static 32])
{
        int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        int file = open(image, O_RDWR | O_CLOEXEC);
        struct loop_config config = {
                .fd = (unsigned)file,
                .info = { .lo_flags = LO_FLAGS_AUTOCLEAR },
        };

        if (control < 0 || file < 0)
                test_skip("no loop devices: %s", strerror(errno));
        for (int tries = 0; tries < 50; tries++) {
                int n = ioctl(control, LOOP_CTL_GET_FREE), fd;

                (void)snprintf(dev, 32, "/dev/loop%d", n);
                if (n < 0)
                        break;
                (void)mknod(dev, S_IFBLK | 0600, (dev_t)(7 << 8 | n));
                fd = open(dev, O_RDWR | O_CLOEXEC);
                if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
                        (void)close(control);
                        (void)close(file);
                        return fd;
                }
                if (fd >= 0)
                        (void)close(fd);
                (void)usleep(10000);
        }
        test_skip("no free loop device: %s", strerror(errno));
}

/* Images lie in memory: a flush of the file system in one then costs nothing, and what is left of
 * a test that was killed goes with its namespace. */
static void image_path(const char *mount_point, char *path, size_t size)
{
        static char dir[128];

        if (dir[0] == '\0') {
                (void)snprintf(dir, sizeof(dir), "%s/images", test_tmpdir());
                if (mkdir(dir, 0700) < 0 || mount("tmpfs", dir, "tmpfs", 0, "size=2g") < 0)
                        test_skip("cannot mount tmpfs: %s", strerror(errno));
        }
        (void)snprintf(path, size, "%s/%s", dir, strrchr(mount_point, '/') + 1);
}

static struct {
        char path[128];
        const char *type;
        unsigned crashes;
} mounted[8];
static size_t n_mounted;

static void mount_image(const char *image, const char *type, const char *path)
{
        char dev[32];
        int fd = loop_attach(image, dev);

        if (mount(dev, path, type, 0, strcmp(type, "xfs") == 0 ? "nouuid" : NULL) < 0)
                test_skip("cannot mount %s: %s", type, strerror(errno));
        (void)close(fd);
}

const char *root_fs(const char *type, unsigned mbytes)
{
        char image[256], size[32], *path = mounted[n_mounted].path;
        int fd;

        if (n_mounted == 8)
                FAIL("too many file systems");
        (void)snprintf(path, sizeof(mounted[0].path), "%s/fs%zu", test_tmpdir(), n_mounted);
        if (mkdir(path, 0755) < 0)
                FAIL("cannot make '%s': %s", path, strerror(errno));
        mounted[n_mounted++].type = type;
        if (type == NULL)
                return path;
        if (strcmp(type, "tmpfs") == 0 || strcmp(type, "ramfs") == 0) {
                (void)snprintf(size, sizeof(size), "size=%um", mbytes);
                if (mount(type, path, type, 0, type[0] == 't' ? size : NULL) < 0)
                        test_skip("cannot mount %s: %s", type, strerror(errno));
                return path;
        }
        image_path(path, image, sizeof(image));
        fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)mbytes << 20) < 0)
                FAIL("cannot make '%s': %s", image, strerror(errno));
        (void)close(fd);
        make_fs(type, image);
        mount_image(image, type, path);
        return path;
}

/* The image of a file system after so many crashes. */
static const char *crashed_image(const char *path, unsigned add, char *image, size_t size)
{
        char first[256];

        for (size_t i = 0; i < n_mounted; i++) {
                if (strcmp(mounted[i].path, path) != 0 || mounted[i].type == NULL)
                        continue;
                mounted[i].crashes += add;
                image_path(path, first, sizeof(first));
                (void)snprintf(image, size, "%s%.*s", first, (int)mounted[i].crashes, "++++++++");
                return mounted[i].type;
        }
        FAIL("'%s' is not on an image", path);
}

void root_crash(const char *path)
{
        char from[280], to[280];
        const char *argv[] = { "cp", "--sparse=always", from, to, NULL };

        (void)crashed_image(path, 0, from, sizeof(from));
        (void)crashed_image(path, 1, to, sizeof(to));
        if (root_run(argv) != 0)
                FAIL("cannot copy '%s'", from);
}

void root_reboot(const char *path)
{
        char image[280];
        const char *type = crashed_image(path, 0, image, sizeof(image));

        if (umount2(path, MNT_DETACH) < 0)
                FAIL("cannot unmount '%s': %s", path, strerror(errno));
        mount_image(image, type, path);
}

int root_dir(const char *parent, const char *name)
{
        char path[256];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", parent, name);
        if (mkdir(path, 0755) < 0)
                FAIL("cannot make '%s': %s", path, strerror(errno));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                FAIL("cannot open '%s': %s", path, strerror(errno));
        return fd;
}

void root_share(const char *path)
{
        if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
            mount(NULL, path, NULL, MS_SHARED, NULL) < 0)
                FAIL("cannot share '%s': %s", path, strerror(errno));
}

pid_t root_hold(void (*run)(void *arg), void *arg, unsigned long propagation)
{
        int ready[2];
        pid_t pid;
        char byte;

        if (pipe2(ready, O_CLOEXEC) < 0)
                FAIL("pipe: %s", strerror(errno));
        pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (propagation != 0 &&
                    (unshare(CLONE_NEWNS) < 0 ||
                     mount(NULL, "/", NULL, MS_REC | propagation, NULL) < 0))
                        _exit(1);
                if (run != NULL)
                        run(arg);
                if (write(ready[1], "r", 1) != 1)
                        _exit(1);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        if (pid < 0 || read(ready[0], &byte, 1) != 1)
                FAIL("the process that should hold something did not start");
        (void)close(ready[0]);
        return pid;
}

void root_release(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}
