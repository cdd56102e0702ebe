/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/bundle.h"
#include "snapd/role.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define SOMEBODY 33

static struct err err;

#define RECORD                                                                                     \
        "{\"format\": 1, \"site\": \"shop\", \"engine\": \"\", \"version\": "                      \
        "{\"number\": 7, \"label\": \"six\\u001b[2J\"}}"
#define LOTS (UINT64_C(1) << 40)

/* An archive in the making, and where it is unpacked. */
struct world {
        char dir[400];
        int file_fd, dir_fd;
        struct archive *archive;
};

static struct world world_new(void)
{
        static unsigned n;
        static const char *top;
        struct world world = { 0 };
        char path[512];

        if (top == NULL)
                top = test_tmpdir();
        (void)snprintf(world.dir, sizeof(world.dir), "%s/%u", top, n++);
        (void)snprintf(path, sizeof(path), "%s/new", world.dir);
        ASSERT(mkdir(world.dir, 0700) == 0 && mkdir(path, 0700) == 0);
        world.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        world.file_fd = open(world.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ASSERT(world.dir_fd >= 0 && world.file_fd >= 0);
        world.archive = archive_write_new();
        ASSERT(archive_write_set_format_pax(world.archive) == ARCHIVE_OK &&
               archive_write_add_filter_zstd(world.archive) == ARCHIVE_OK &&
               archive_write_open_fd(world.archive, world.file_fd) == ARCHIVE_OK);
        return world;
}

static void world_done(struct world *world)
{
        (void)close(world->dir_fd);
        (void)close(world->file_fd);
        (void)archive_write_free(world->archive);
}

struct member {
        const char *path;
        mode_t mode;
        const char *symlink, *hardlink, *xattr, *text;
        bool acl, sparse;
};

static void put(struct world *world, const struct member *member)
{
        static const char holes[1 << 20];
        struct archive_entry *entry = archive_entry_new();
        size_t n = member->text == NULL ? 0 : strlen(member->text);

        archive_entry_copy_pathname(entry, member->path);
        archive_entry_set_mode(entry, member->mode);
        archive_entry_set_mtime(entry, 1000000000, 5);
        archive_entry_set_size(entry, (int64_t)n);
        if (member->symlink != NULL)
                archive_entry_copy_symlink(entry, member->symlink);
        if (member->hardlink != NULL)
                archive_entry_copy_hardlink(entry, member->hardlink);
        if (member->xattr != NULL)
                archive_entry_xattr_add_entry(entry, member->xattr, "y", 1);
        if (member->acl)
                (void)archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS,
                                                  ARCHIVE_ENTRY_ACL_READ, ARCHIVE_ENTRY_ACL_USER,
                                                  33, "www-data");
        if (member->sparse) {
                archive_entry_set_size(entry, sizeof(holes));
                archive_entry_sparse_add_entry(entry, 0, 4096);
        }
        ASSERT(archive_write_header(world->archive, entry) >= ARCHIVE_WARN);
        if (n > 0)
                ASSERT(archive_write_data(world->archive, member->text, n) == (la_ssize_t)n);
        if (member->sparse)
                ASSERT(archive_write_data(world->archive, holes, sizeof(holes)) > 0);
        archive_entry_free(entry);
}

static void put_head(struct world *world)
{
        put(world, &(struct member){ BUNDLE_RECORD, S_IFREG | 0600, .text = RECORD });
        put(world, &(struct member){ "tree", S_IFDIR | 0755 });
        put(world, &(struct member){ "tree/file", S_IFREG | 0644, .text = "hello" });
}

static int unpack(struct world *world, uint64_t bytes_max)
{
        struct bundle_unpack job = { .in_fd = world->file_fd,
                                     .dir_fd = world->dir_fd,
                                     .bytes_max = bytes_max };
        struct bundle_facts facts;

        if (world->archive != NULL) {
                ASSERT(archive_write_close(world->archive) == ARCHIVE_OK);
                (void)archive_write_free(world->archive);
                world->archive = NULL;
        }
        ASSERT(lseek(world->file_fd, 0, SEEK_SET) == 0);
        return bundle_unpack(&job, &facts, &err);
}

#define FILE_MODE (S_IFREG | 0644)

static const char long_name[] =
        "tree/"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaa";

TEST(each_attack_is_refused_by_name_and_touches_nothing_outside)
{
        static const struct {
                struct member member;
                const char *text;
        } attacks[] = {
                { { "/etc/evil", FILE_MODE, .text = "x" }, "'/etc/evil' is not a relative path" },
                { { "tree/../../evil", FILE_MODE, .text = "x" }, "'tree/../../evil' is not" },
                { { "tree//evil", FILE_MODE, .text = "x" }, "'tree//evil' is not" },
                { { "tree/./evil", FILE_MODE, .text = "x" }, "'tree/./evil' is not" },
                { { "tree/new\nline", FILE_MODE, .text = "x" }, "control characters" },
                { { long_name, FILE_MODE, .text = "x" }, "too long" },
                { { "evil", FILE_MODE, .text = "x" }, "'evil' in the archive has no place" },
                { { "tree", FILE_MODE, .text = "x" }, "'tree' in the archive has no place" },
                { { "database/../x", FILE_MODE, .text = "x" }, "'database/../x' is not" },
                { { "database/evil", FILE_MODE, .text = "x" }, "'database/evil' in the archive" },
                { { "database/00000000", S_IFDIR | 0755 }, "has no place" },
                { { "tree/file", FILE_MODE, .text = "x" },
                  "'tree/file' in the archive is there "
                  "twice" },
                { { "tree/file/x", FILE_MODE, .text = "x" }, "lies in something else" },
                { { "tree/none/x", FILE_MODE, .text = "x" }, "comes before its directory" },
                { { "tree/inside/x", FILE_MODE, .text = "x" }, "lies in something else" },
                { { "tree/abs", S_IFLNK | 0777, .symlink = "/etc/passwd" },
                  "'tree/abs' in the archive is a symbolic link that leads out" },
                { { "tree/up", S_IFLNK | 0777, .symlink = ".." }, "leads out of the tree" },
                { { "tree/up", S_IFLNK | 0777, .symlink = "inside/../.." }, "leads out" },
                { { "tree/hard", FILE_MODE, .hardlink = "/etc/passwd" },
                  "'tree/hard' in the archive is a hard link that leads out" },
                { { "tree/hard", FILE_MODE, .hardlink = "tree/../../x" }, "leads out" },
                { { "tree/hard", FILE_MODE, .hardlink = "record.json" }, "leads out" },
                { { "tree/hard", FILE_MODE, .hardlink = "tree/none" }, "to no file before it" },
                { { "tree/hard", FILE_MODE, .hardlink = "tree/inside" }, "to no file before it" },
                { { "tree/dev", S_IFCHR | 0644 }, "'tree/dev' in the archive is neither a file" },
                { { "tree/dev", S_IFBLK | 0644 }, "is neither a file" },
                { { "tree/pipe", S_IFIFO | 0644 }, "'tree/pipe' in the archive is neither a file" },
                { { "tree/suid", S_IFREG | 04755, .text = "x" },
                  "'tree/suid' in the archive is setuid" },
                { { "tree/sgid", S_IFDIR | 02755 }, "is setuid, setgid" },
                { { "tree/sticky", S_IFDIR | 01777 }, "is setuid, setgid or sticky" },
                { { "tree/acl", FILE_MODE, .text = "x", .acl = true }, "access control list" },
                { { "tree/cap", FILE_MODE, .text = "x", .xattr = "security.capability" },
                  "an extended attribute that is not a user's" },
                { { "tree/over", FILE_MODE, .text = "x", .xattr = "user.overlay.opaque" },
                  "an extended attribute that is not a user's" },
                { { "tree/over", FILE_MODE, .text = "x", .xattr = "trusted.overlay.whiteout" },
                  "an extended attribute that is not a user's" },
                { { "tree/sparse", FILE_MODE, .sparse = true }, "sparse file" },
        };

        for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
                struct world world = world_new();
                char path[512];

                put_head(&world);
                put(&world, &(struct member){ "tree/inside", S_IFLNK | 0777, .symlink = "file" });
                put(&world, &attacks[i].member);
                ASSERT_ERR(unpack(&world, LOTS), ERR_REFUSED, attacks[i].text);
                (void)snprintf(path, sizeof(path), "%s/evil", world.dir);
                ASSERT(access(path, F_OK) < 0 && access("/etc/evil", F_OK) < 0);
                world_done(&world);
        }
}

TEST(a_link_behind_a_link_leads_nowhere_else)
{
        ASSERT_OK(bundle_link_check("tree/a/b", "../c", &err));
        ASSERT_OK(bundle_link_check("tree/a/b", "./c/d", &err));
        ASSERT_OK(bundle_link_check("tree/a/b", "..", &err));
        ASSERT_ERR(bundle_link_check("tree/a/b", "../..", &err), ERR_REFUSED, "'tree/a/b'");
        ASSERT_ERR(bundle_link_check("tree/a/b/c", "d/../x", &err), ERR_REFUSED, "leads out");
        ASSERT_ERR(bundle_link_check("tree/a", "", &err), ERR_REFUSED, "leads out");
        ASSERT_ERR(bundle_link_check("tree/a", "b\033", &err), ERR_REFUSED, "control character");
}

TEST(more_than_there_is_room_for_is_refused)
{
        static char zeros[1 << 20];
        struct world world = world_new();

        memset(zeros, '0', sizeof(zeros) - 1);
        put_head(&world);
        for (int i = 0; i < 20; i++) {
                char path[64];

                (void)snprintf(path, sizeof(path), "tree/%d", i);
                put(&world, &(struct member){ path, FILE_MODE, .text = zeros });
        }
        ASSERT_ERR(unpack(&world, 10 << 20), ERR_NO_SPACE, "more than the 10 MiB that are free");
        ASSERT_EQ(faccessat(world.dir_fd, "tree/9", F_OK, 0), -1);
}

TEST(what_is_no_bundle_is_refused)
{
        struct world world = world_new();

        put(&world, &(struct member){ "tree", S_IFDIR | 0755 });
        ASSERT_ERR(unpack(&world, LOTS), ERR_CORRUPT, "does not begin with 'record.json'");
        ASSERT_OK(ftruncate(world.file_fd, 0));
        ASSERT_ERR(unpack(&world, LOTS), ERR_CORRUPT, "");
        ASSERT_OK(file_write_all(world.file_fd, "PK\003\004 not ours", 13, &err));
        ASSERT_ERR(unpack(&world, LOTS), ERR_CORRUPT, "damaged or is none of ours");
}

TEST(a_later_format_is_told)
{
        struct world world = world_new();

        put(&world, &(struct member){ BUNDLE_RECORD, FILE_MODE, .text = "{\"format\": 2}" });
        ASSERT_ERR(unpack(&world, LOTS), ERR_UNSUPPORTED, "of format 2");
}

TEST(a_bundle_without_its_manifest_or_with_another_is_refused)
{
        struct world world = world_new();

        put_head(&world);
        ASSERT_ERR(unpack(&world, LOTS), ERR_CORRUPT, "ends before its manifest");
        world_done(&world);
        world = world_new();
        put_head(&world);
        put(&world, &(struct member){ BUNDLE_MANIFEST, FILE_MODE, .text = "{}" });
        ASSERT_ERR(unpack(&world, LOTS), ERR_CORRUPT,
                   "'record.json' in the archive is not what its manifest says");
        world_done(&world);
}

/* What a reader that has been taken over could do. */
TEST(the_reader_reaches_its_directory_and_nothing_else)
{
        struct world world;
        int fd;

        root_begin();
        test_need_sandbox();
        world = world_new();
        ASSERT_EQ(fchown(world.dir_fd, SOMEBODY, SOMEBODY), 0);
        ASSERT_OK(sandbox_beneath(world.dir_fd, &err));
        ASSERT_OK(sandbox_enter(&roles[WORKER_UNPACK].sandbox, SOMEBODY, SOMEBODY, &err));
        ASSERT_EQ(getuid(), SOMEBODY);
        fd = openat(world.dir_fd, "own", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(fd >= 0);
        ASSERT_EQ(mkdirat(world.dir_fd, "dir", 0700), 0);
        ASSERT_EQ(linkat(world.dir_fd, "own", world.dir_fd, "dir/second", 0), 0);
        /* Everybody may read it, but for Landlock. */
        if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) != -1 || errno != ENOSYS)
                ASSERT_EQ(openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC), -1);
        ASSERT_EQ(socket(AF_INET, SOCK_STREAM, 0), -1);
        ASSERT_EQ(errno, EPERM);
        ASSERT_EQ(socket(AF_UNIX, SOCK_STREAM, 0), -1);
        ASSERT_EQ(kill(getppid(), 0), -1);
        ASSERT_EQ(errno, EPERM);
        ASSERT_EQ(fork(), -1);
        ASSERT_EQ(execl("/bin/true", "true", NULL), -1);
        ASSERT_EQ(mknodat(world.dir_fd, "fifo", S_IFIFO | 0600, 0), -1);
        ASSERT_EQ(unlinkat(world.dir_fd, "own", 0), -1);
        ASSERT_EQ(chmod("own", 04755), -1);
        /* A sanitizer's search for leaks at exit() forks, which is forbidden in here. */
        _exit(0);
}

/* Writing and reading. */

static int no_progress(uint64_t bytes, void *arg, struct err *e)
{
        (void)bytes;
        (void)arg;
        (void)e;
        return 0;
}

static void count_left_out(const char *path, const char *why, void *arg)
{
        (void)path;
        (void)why;
        ++*(unsigned *)arg;
}

static int dump(db_sink sink, void *sink_arg, void *arg, struct err *e)
{
        static const char bytes[100000];

        (void)arg;
        for (int i = 0; i < 50; i++)
                if (sink(bytes, sizeof(bytes), sink_arg, e) < 0)
                        return -1;
        return 0;
}

static void pack_to(struct world *world, int tree_fd, unsigned *left_out)
{
        struct bundle_tree tree = { BUNDLE_TREE, tree_fd };
        struct bundle_pack pack = { .out_fd = world->file_fd,
                                    .record = RECORD,
                                    .trees = &tree,
                                    .n_trees = 1,
                                    .dump = dump,
                                    .progress = no_progress,
                                    .left_out = count_left_out,
                                    .arg = left_out };

        (void)archive_write_free(world->archive);
        world->archive = NULL;
        ASSERT_OK(ftruncate(world->file_fd, 0));
        ASSERT(lseek(world->file_fd, 0, SEEK_SET) == 0);
        ASSERT_OK(bundle_pack(&pack, &err));
}

static int tree_of(const struct world *world)
{
        char path[512];
        int fd, file;

        (void)snprintf(path, sizeof(path), "%s/source", world->dir);
        ASSERT(mkdir(path, 0750) == 0);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        file = openat(fd, "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0604);
        ASSERT(fd >= 0 && file >= 0);
        ASSERT_OK(file_write_all(file, "content of it", 13, &err));
        ASSERT(close(file) == 0 && linkat(fd, "a", fd, "b", 0) == 0 &&
               symlinkat("a", fd, "link") == 0 && symlinkat("/", fd, "outward") == 0 &&
               mkdirat(fd, "d\xff", 0555) == 0 && mkfifoat(fd, "pipe", 0600) == 0);
        return fd;
}

TEST(what_is_written_is_read_and_what_is_not_kept_is_told)
{
        struct world world = world_new();
        CLEANUP(closep) int fd = tree_of(&world);
        unsigned left_out = 0;
        struct stat a, b;
        char target[16] = "";

        pack_to(&world, fd, &left_out);
        ASSERT_EQ(left_out, 2);
        ASSERT_OK(unpack(&world, LOTS));
        ASSERT_EQ(fstatat(world.dir_fd, "tree/a", &a, 0), 0);
        ASSERT_EQ(fstatat(world.dir_fd, "tree/b", &b, 0), 0);
        ASSERT_EQ(a.st_ino, b.st_ino);
        ASSERT_EQ(a.st_mode & 07777, 0604);
        ASSERT_EQ(readlinkat(world.dir_fd, "tree/link", target, sizeof(target)), 1);
        ASSERT_EQ(fstatat(world.dir_fd, "tree/d\xff", &a, 0), 0);
        ASSERT_EQ(a.st_mode & 07777, 0555);
        ASSERT_EQ(fstatat(world.dir_fd, "tree", &a, 0), 0);
        ASSERT_EQ(a.st_mode & 07777, 0750);
        ASSERT_EQ(fstatat(world.dir_fd, "database/00000000", &a, 0), 0);
        ASSERT_EQ(a.st_size, 4 << 20);
        ASSERT_EQ(fstatat(world.dir_fd, "database/00000001", &a, 0), 0);
        ASSERT_EQ(a.st_size, 5000000 - (4 << 20));
        ASSERT_EQ(fstatat(world.dir_fd, "tree/outward", &a, AT_SYMLINK_NOFOLLOW), -1);
}

TEST(a_first_look_tells_what_it_is_and_writes_nothing)
{
        struct world world = world_new();
        CLEANUP(closep) int fd = tree_of(&world);
        struct bundle_unpack look = { .in_fd = world.file_fd, .dir_fd = -1 };
        struct bundle_facts facts;
        unsigned left_out = 0;

        pack_to(&world, fd, &left_out);
        ASSERT(lseek(world.file_fd, 0, SEEK_SET) == 0);
        ASSERT_OK(bundle_unpack(&look, &facts, &err));
        ASSERT_STR(facts.site, "shop");
        ASSERT_STR(facts.label, "six?[2J");
        ASSERT_EQ(facts.number, 7);
        ASSERT_EQ(faccessat(world.dir_fd, "tree", F_OK, 0), -1);
}

/* Wherever a bit is turned, the whole is refused, or the bit meant nothing. */
TEST(no_turned_bit_changes_what_is_read)
{
        struct world world = world_new();
        CLEANUP(closep) int fd = tree_of(&world);
        unsigned left_out = 0, refused = 0, all = 0;
        struct stat st;

        pack_to(&world, fd, &left_out);
        ASSERT_EQ(fstat(world.file_fd, &st), 0);
        for (off_t at = 0; at < st.st_size; at += 7, all++) {
                char name[32], path[512], byte, turned;

                (void)snprintf(name, sizeof(name), "try%ld", (long)at);
                (void)snprintf(path, sizeof(path), "%s/%s", world.dir, name);
                ASSERT(mkdir(path, 0700) == 0);
                (void)close(world.dir_fd);
                world.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_EQ(pread(world.file_fd, &byte, 1, at), 1);
                turned = (char)(byte ^ 0x10);
                ASSERT_EQ(pwrite(world.file_fd, &turned, 1, at), 1);
                if (unpack(&world, LOTS) < 0) {
                        refused++;
                } else {
                        CLEANUP(freep) char *text = NULL;

                        ASSERT_OK(file_read(world.dir_fd, "tree/a", 100, &text, NULL, &err));
                        ASSERT_STR(text, "content of it");
                }
                ASSERT_EQ(pwrite(world.file_fd, &byte, 1, at), 1);
        }
        (void)printf("# %u of %u turned bits are refused, the others mean nothing\n", refused, all);
        ASSERT(refused > all * 9 / 10);
}
