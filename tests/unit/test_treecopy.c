/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "fsdrivers/treediff.h"
#include "tests/lib/churn.h"
#include "tests/lib/test.h"

static struct err err;
static int src, dst;
static char log_text[8192];

/* Two fresh directories, src and dst. */
static void begin(void)
{
        int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

        ASSERT(dir >= 0 && mkdirat(dir, "src", 0755) == 0 && mkdirat(dir, "dst", 0700) == 0);
        src = openat(dir, "src", O_RDONLY | O_DIRECTORY);
        dst = openat(dir, "dst", O_RDONLY | O_DIRECTORY);
        ASSERT(src >= 0 && dst >= 0);
        close(dir);
}

static void need_root(void)
{
        if (geteuid() != 0)
                test_skip("needs root");
}

static void put(int dir, const char *path, const char *text)
{
        int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        close(fd);
}

static int append(enum treecopy_kind kind, const char *path, void *arg, struct err *e)
{
        size_t n = strlen(log_text);

        (void)arg;
        (void)e;
        (void)snprintf(log_text + n, sizeof(log_text) - n, "[%d %s]", (int)kind, path);
        return 0;
}

static struct treecopy_totals copy(void)
{
        const struct treecopy_options options = { .report = append };
        struct treecopy_totals totals;

        log_text[0] = '\0';
        ASSERT_OK(treecopy(src, dst, &options, &totals, &err));
        return totals;
}

static bool reported(enum treecopy_kind kind, const char *path)
{
        char wanted[300];

        (void)snprintf(wanted, sizeof(wanted), "[%d %s]", (int)kind, path);
        return strstr(log_text, wanted) != NULL;
}

static int fail_change(const struct fs_change *change, void *arg, struct err *e)
{
        (void)arg;
        return err_fail(e, ERR_CORRUPT, 0, "%s %s", change->status, change->path);
}

static void assert_equal(void)
{
        ASSERT_OK(treediff(src, dst, 0, fail_change, NULL, &err));
}

static struct stat stat_of(int dir, const char *path)
{
        struct stat st;

        ASSERT(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0);
        return st;
}

static bool is_there(int dir, const char *path)
{
        struct stat st;

        return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_times(const char *path)
{
        struct stat a = stat_of(src, path), b = stat_of(dst, path);

        ASSERT_EQ(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
        ASSERT_EQ(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
}

/* An ACL as the kernel stores it: user 1001 may read, mask r. */
static void put_acl(int fd)
{
        static const unsigned char acl[] = {
                2, 0,    0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    4,
                0, 0xe9, 3,    0,    0,    4,    0,    4, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
                4, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 4,    0,    0xff, 0xff, 0xff, 0xff,
        };

        if (fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
                test_skip("no ACLs here: %s", strerror(errno));
}

TEST(an_entry_keeps_all_it_has)
{
        const struct timespec old[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
        int fd;

        need_root();
        begin();
        ASSERT(mkdirat(src, "dir", 02750) == 0);
        put(src, "dir/file", "hello");
        fd = openat(src, "dir/file", O_RDWR);
        ASSERT(fchown(fd, 1234, 4321) == 0 && fchmod(fd, 06755) == 0);
        ASSERT(fsetxattr(fd, "user.note", "abc", 3, 0) == 0);
        put_acl(fd);
        ASSERT(futimens(fd, old) == 0);
        close(fd);
        ASSERT(linkat(src, "dir/file", src, "twin", 0) == 0);
        ASSERT(symlinkat("dir/file", src, "link") == 0 &&
               fchownat(src, "link", 77, 78, AT_SYMLINK_NOFOLLOW) == 0);
        ASSERT(utimensat(src, "link", old, AT_SYMLINK_NOFOLLOW) == 0);
        ASSERT(mkfifoat(src, "fifo", 0610) == 0);
        fd = openat(src, "holes", O_RDWR | O_CREAT, 0600);
        ASSERT(ftruncate(fd, (off_t)1 << 36) == 0 && pwrite(fd, "x", 1, (off_t)1 << 35) == 1);
        close(fd);
        ASSERT(fchownat(src, "dir", 5, 6, 0) == 0 && fchmodat(src, "dir", 02750, 0) == 0);
        ASSERT(utimensat(src, "dir", old, 0) == 0);

        copy();
        ASSERT_STR(log_text, "");
        ASSERT(stat_of(dst, "holes").st_blocks < 1000);
        ASSERT_EQ(stat_of(dst, "holes").st_size, (off_t)1 << 36);
        ASSERT(unlinkat(src, "holes", 0) == 0 && unlinkat(dst, "holes", 0) == 0);
        assert_equal();
        assert_times("dir");
        assert_times("dir/file");
        assert_times("link");
        ASSERT_EQ(stat_of(dst, "dir/file").st_mode, S_IFREG | 06644); /* the ACL's bits */
        ASSERT_EQ(stat_of(dst, "dir/file").st_ino, stat_of(dst, "twin").st_ino);
        ASSERT_EQ(stat_of(dst, "twin").st_nlink, 2);
        ASSERT_EQ(stat_of(dst, "link").st_uid, 77);
}

TEST(what_a_person_should_know_is_reported)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        struct vfs_caps {
                unsigned magic, data[4];
        } caps = { 0x02000001, { 1024, 0, 0, 0 } };
        int fd;

        need_root();
        begin();
        put(src, "file", "x");
        put(src, "../outside", "x");
        ASSERT(mkdirat(src, "d", 0755) == 0);
        ASSERT(linkat(src, "../outside", src, "d/split", 0) == 0);
        ASSERT(symlinkat("/etc/passwd", src, "absolute") == 0);
        ASSERT(symlinkat("x/../../..", src, "d/up") == 0);
        ASSERT(symlinkat("../file", src, "d/fine") == 0);
        ASSERT(mknodat(src, "null", S_IFCHR | 0666, makedev(1, 3)) == 0);
        (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/src/sock", test_tmpdir());
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        ASSERT(bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
        (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/src/file", test_tmpdir());
        ASSERT(setxattr(name.sun_path, "security.capability", &caps, sizeof(caps), 0) == 0);

        copy();
        ASSERT(reported(TREECOPY_SPLIT_LINK, "d/split"));
        ASSERT(reported(TREECOPY_OUTWARD_LINK, "absolute"));
        ASSERT(reported(TREECOPY_OUTWARD_LINK, "d/up"));
        ASSERT(!reported(TREECOPY_OUTWARD_LINK, "d/fine"));
        ASSERT(reported(TREECOPY_DEVICE, "null"));
        ASSERT(reported(TREECOPY_SOCKET, "sock"));
        ASSERT(reported(TREECOPY_CAPABILITY, "file"));
        ASSERT(!is_there(dst, "null") && !is_there(dst, "sock") && is_there(dst, "d/split"));
        ASSERT_EQ(stat_of(dst, "d/split").st_nlink, 1);
        (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/dst/file", test_tmpdir());
        ASSERT(getxattr(name.sun_path, "security.capability", NULL, 0) < 0 && errno == ENODATA);

        log_text[0] = '\0';
        ASSERT_OK(treecopy_survey(src, &(struct treecopy_options){ .report = append }, NULL, &err));
        ASSERT(reported(TREECOPY_SPLIT_LINK, "d/split") && reported(TREECOPY_DEVICE, "null"));
}

TEST(another_mount_stays_out_and_leaves_an_empty_directory)
{
        char at[128];

        need_root();
        begin();
        ASSERT(mkdirat(src, "m", 0751) == 0);
        put(src, "config", "below");
        ASSERT(unshare(CLONE_NEWNS) == 0);
        ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
        (void)snprintf(at, sizeof(at), "%s/src/m", test_tmpdir());
        ASSERT(mount("none", at, "tmpfs", 0, "mode=0751") == 0);
        (void)snprintf(at, sizeof(at), "%s/src", test_tmpdir());
        src = open(at, O_RDONLY | O_DIRECTORY); /* as this namespace sees it */
        put(src, "m/secret", "x");
        (void)snprintf(at, sizeof(at), "%s/src/config", test_tmpdir());
        ASSERT(mount("/etc/hostname", at, "none", MS_BIND, NULL) == 0);

        copy();
        ASSERT(reported(TREECOPY_MOUNT, "m") && reported(TREECOPY_MOUNT, "config"));
        ASSERT(is_there(dst, "m") && !is_there(dst, "m/secret") && !is_there(dst, "config"));
        ASSERT_EQ(stat_of(dst, "m").st_mode, S_IFDIR | 0751);
}

TEST(a_tree_is_copied_to_another_file_system_too)
{
        char at[128];
        int fd;

        need_root();
        begin();
        ASSERT(unshare(CLONE_NEWNS) == 0);
        ASSERT(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
        (void)snprintf(at, sizeof(at), "%s/dst", test_tmpdir());
        ASSERT(mount("none", at, "tmpfs", 0, NULL) == 0);
        dst = open(at, O_RDONLY | O_DIRECTORY);
        fd = openat(src, "holes", O_RDWR | O_CREAT, 0600);
        ASSERT(ftruncate(fd, 100 << 20) == 0 && pwrite(fd, "middle", 6, 50 << 20) == 6);
        close(fd);
        churn_seed(5);
        churn(src, 200);
        copy();
        assert_equal();
        ASSERT(stat_of(dst, "holes").st_blocks < 1000);
}

TEST(excluded_paths_are_not_looked_at_nor_touched)
{
        const char *const excludes[] = { "up/loads", "cache" };
        const struct treecopy_options options = { .excludes = excludes, .n_excludes = 2 };

        begin();
        ASSERT(mkdirat(src, "up", 0755) == 0 && mkdirat(src, "up/loads", 0755) == 0);
        ASSERT(mkdirat(dst, "cache", 0555) == 0);
        put(src, "up/loads/big", "x");
        put(src, "up/kept", "x");
        ASSERT_OK(treecopy(src, dst, &options, NULL, &err));
        ASSERT(is_there(dst, "up/kept") && !is_there(dst, "up/loads") && is_there(dst, "cache"));
}

/* Everything a catch-up must notice at once. */
TEST(a_second_run_catches_up)
{
        struct treecopy_totals totals;
        struct timespec times[2];
        struct stat st;

        begin();
        for (int i = 0; i < 200; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "f%d", i);
                put(src, name, "same");
        }
        ASSERT(mkdirat(src, "to_file", 0755) == 0 && mkdirat(src, "gone", 0755) == 0);
        put(src, "to_file/x", "x");
        put(src, "gone/x", "x");
        put(src, "to_dir", "x");
        put(src, "to_link", "x");
        put(src, "forged", "before");
        put(src, "mode", "x");
        put(src, "xattr", "x");
        put(src, "a1", "a");
        ASSERT(linkat(src, "a1", src, "a2", 0) == 0 && linkat(src, "a1", src, "a3", 0) == 0);
        usleep(20000); /* past the tick of the clock, so that what is unchanged can be told */
        copy();
        assert_equal();

        totals = copy();
        ASSERT_EQ(totals.copied, 4); /* the hard links and so their directory, always */

        st = stat_of(src, "forged");
        put(src, "forged", "after!");
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        ASSERT(utimensat(src, "forged", times, 0) == 0);
        ASSERT_OK(tree_remove(src, "to_file", &err));
        put(src, "to_file", "now");
        ASSERT_OK(tree_remove(src, "gone", &err));
        ASSERT(unlinkat(src, "to_dir", 0) == 0 && mkdirat(src, "to_dir", 0700) == 0);
        put(src, "to_dir/new", "x");
        ASSERT(unlinkat(src, "to_link", 0) == 0 && symlinkat("forged", src, "to_link") == 0);
        ASSERT(fchmodat(src, "mode", 0600, 0) == 0);
        ASSERT(unlinkat(src, "a2", 0) == 0);
        put(src, "a2", "b");
        ASSERT(linkat(src, "f7", src, "f7twin", 0) == 0);
        totals = copy();
        assert_equal();
        ASSERT(totals.copied < 20);
        ASSERT_EQ(stat_of(dst, "a2").st_nlink, 1);
        ASSERT_EQ(stat_of(dst, "a1").st_ino, stat_of(dst, "a3").st_ino);
        ASSERT_EQ(stat_of(dst, "f7").st_ino, stat_of(dst, "f7twin").st_ino);
        ASSERT(!is_there(dst, "gone"));
}

/* Two releases as an archive makes them, equal in all times and sizes, change places. */
TEST(a_catch_up_notices_directories_that_changed_places)
{
        static const char *const all[] = { "app/new/x", "app/old/x", "app/new", "app/old" };
        const struct timespec fixed[2] = { { 1000000000, 0 }, { 1000000000, 0 } };

        begin();
        ASSERT(mkdirat(src, "app", 0755) == 0 && mkdirat(src, "app/new", 0755) == 0 &&
               mkdirat(src, "app/old", 0755) == 0);
        put(src, "app/new/x", "one");
        put(src, "app/old/x", "two");
        for (size_t i = 0; i < 4; i++)
                ASSERT(utimensat(src, all[i], fixed, 0) == 0);
        usleep(20000);
        copy();
        assert_equal();
        usleep(20000);
        ASSERT(renameat2(src, "app/new", src, "app/old", RENAME_EXCHANGE) == 0);
        copy();
        assert_equal();
}

/* Which names are one file, in either tree. */
static int same_links(const struct fs_change *change, void *arg, struct err *e)
{
        const char *path = change->path;
        char *first = arg;
        struct stat a, b;

        (void)e;
        if (fstatat(src, path, &a, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(a.st_mode) ||
            a.st_nlink == 1)
                return 0;
        b = stat_of(dst, path);
        ASSERT_EQ(a.st_nlink, b.st_nlink);
        if (first[0] != '\0' && stat_of(src, first).st_ino == a.st_ino)
                ASSERT_EQ(stat_of(dst, first).st_ino, b.st_ino);
        (void)snprintf(first, 64, "%s", path);
        return 0;
}

TEST(a_catch_up_is_exact_after_any_changes)
{
        struct treecopy_totals totals = { .entries = 0 };
        uint64_t copied = 0, entries = 0;
        char first[64];
        int none;

        need_root();
        begin();
        ASSERT(mkdirat(src, "../none", 0755) == 0);
        none = openat(src, "../none", O_RDONLY | O_DIRECTORY);
        for (unsigned round = 0; round < 150; round++) {
                churn_seed(round);
                churn(src, 1 + churn_pick(round % 10 == 0 ? 150 : 12));
                totals = copy();
                assert_equal();
                first[0] = '\0';
                ASSERT_OK(treediff(none, src, 0, same_links, first, &err));
                copied += totals.copied;
                entries += totals.entries;
        }
        printf("# %llu copied of %llu looked at\n", (unsigned long long)copied,
               (unsigned long long)entries);
        ASSERT(entries > 2000 && copied < entries);
}

/* A chain of directories of this depth, made from the bottom up by moving. */
static void make_deep(unsigned depth)
{
        char name[16];

        ASSERT(mkdirat(src, "new", 0755) == 0);
        put(src, "new/bottom", "x");
        for (unsigned i = 1; i < depth; i++) {
                int fd;

                (void)snprintf(name, sizeof(name), "up%u", i % 2);
                ASSERT(mkdirat(src, name, 0755) == 0);
                fd = openat(src, name, O_RDONLY | O_DIRECTORY);
                ASSERT(renameat(src, "new", fd, "a_long_directory_name") == 0);
                ASSERT(renameat(src, name, src, "new") == 0);
                close(fd);
        }
}

TEST(a_tree_1500_deep_is_copied_with_few_descriptors)
{
        struct treecopy_totals totals;
        struct rlimit few;

        begin();
        make_deep(1500); /* 33,000 bytes of path: far beyond PATH_MAX */
        ASSERT(getrlimit(RLIMIT_NOFILE, &few) == 0);
        few.rlim_cur = 40;
        ASSERT(setrlimit(RLIMIT_NOFILE, &few) == 0);
        totals = copy();
        ASSERT_EQ(totals.entries, 1501);
        assert_equal();
        ASSERT_OK(tree_remove(src, "new", &err));
        ASSERT_OK(tree_remove(dst, "new", &err));
        ASSERT(!is_there(src, "new") && !is_there(dst, "new"));
}

TEST(a_tree_too_deep_is_refused_and_can_be_removed)
{
        begin();
        make_deep(TREE_DEPTH_MAX + 1);
        ASSERT_ERR(treecopy(src, dst, NULL, NULL, &err), ERR_REFUSED, "in each other");
        ASSERT_OK(tree_remove(src, "new", &err));
        ASSERT_OK(tree_remove(dst, "new", &err));
}

/* The tenant: turn one name into all sorts of things as quickly as possible. */
static void tenant(void)
{
        char canary[64];

        (void)snprintf(canary, sizeof(canary), "%s/canary", test_tmpdir());
        for (unsigned i = 0;; i++) {
                (void)unlinkat(src, "spare", 0);
                (void)unlinkat(src, "spare", AT_REMOVEDIR);
                switch (i % 5) {
                case 0:
                        (void)symlinkat(canary, src, "spare");
                        break;
                case 1:
                        (void)mkfifoat(src, "spare", 0666);
                        break;
                case 2:
                        (void)mkdirat(src, "spare", 0777);
                        break;
                case 3:
                        (void)symlinkat("../canaries", src, "spare");
                        break;
                default:
                        put(src, "spare", "honest");
                }
                (void)renameat2(src, "spare", src, "name", RENAME_EXCHANGE);
        }
}

TEST(a_name_that_keeps_changing_is_never_followed_and_never_blocks)
{
        struct timespec start, now;
        unsigned rounds = 0;
        pid_t pid;

        begin();
        put(src, "../canary", "stolen");
        ASSERT(mkdirat(src, "../canaries", 0755) == 0);
        put(src, "../canaries/stolen", "stolen");
        put(src, "name", "honest");
        put(src, "spare", "honest");
        pid = fork();
        ASSERT(pid >= 0);
        if (pid == 0)
                tenant();
        alarm(20); /* a copy that blocks on the FIFO is killed by this */
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
                struct stat st;

                copy();
                rounds++;
                if (fstatat(dst, "name", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
                    st.st_size > 0) {
                        char *text;

                        ASSERT_OK(file_read(dst, "name", 100, &text, NULL, &err));
                        ASSERT_STR(text, "honest");
                        free(text);
                }
                ASSERT(!is_there(dst, "name/stolen") || S_ISLNK(stat_of(dst, "name").st_mode));
                clock_gettime(CLOCK_MONOTONIC, &now);
        } while (now.tv_sec - start.tv_sec < 2);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        printf("# %u copies\n", rounds);
        ASSERT(rounds > 10);
}

TEST(a_leased_file_is_an_error_and_not_a_wait)
{
        struct timespec start, now;
        int pipe_fds[2];
        char c;
        pid_t pid;

        begin();
        put(src, "file", "x");
        ASSERT(pipe(pipe_fds) == 0);
        pid = fork();
        if (pid == 0) {
                int fd = openat(src, "file", O_RDWR);

                signal(SIGIO, SIG_IGN);
                _exit(fcntl(fd, F_SETLEASE, F_WRLCK) < 0 || write(pipe_fds[1], "x", 1) != 1 ||
                      pause() != 0);
        }
        close(pipe_fds[1]);
        ASSERT(read(pipe_fds[0], &c, 1) == 1);
        clock_gettime(CLOCK_MONOTONIC, &start);
        ASSERT_ERR(treecopy(src, dst, NULL, NULL, &err), ERR_BUSY, "lease");
        clock_gettime(CLOCK_MONOTONIC, &now);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        ASSERT(now.tv_sec - start.tv_sec < 5);
}
