/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

#define LINES_MAX 20000
#define INODES_MAX 4000

/* Written without the drivers' own ways of walking and comparing, so that a mistake in those is
 * not made twice. */
struct lines {
        struct lines *next; /* all there are: they live as long as the test */
        char *text;
        char *line[LINES_MAX];
        size_t n;
        struct {
                ino_t inode;
                char *path;
        } seen[INODES_MAX];
        size_t n_seen;
};

static void add_line(struct lines *lines, const char *path, const char *text)
{
        if (lines->n == LINES_MAX || asprintf(&lines->line[lines->n++], "%s%s", path, text) < 0)
                test_fail(__FILE__, __LINE__, "the tree is too large to be listed");
}

static unsigned long content_sum(int fd)
{
        unsigned long sum = 5381;
        unsigned char buf[65536];
        ssize_t n;

        while ((n = read(fd, buf, sizeof(buf))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        sum = sum * 33 + buf[i];
        return sum;
}

static int by_text(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The attributes of one entry, by a path through /proc since a FIFO or a link has no other. */
static void add_xattrs(struct lines *lines, int dir_fd, const char *name, const char *path)
{
        char proc[NAME_MAX + 64], names[4096], line[8400];
        ssize_t n;

        (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", dir_fd, name);
        n = llistxattr(proc, names, sizeof(names));
        for (char *at = names; n > 0 && at < names + n; at += strlen(at) + 1) {
                unsigned char value[2048];
                ssize_t len = lgetxattr(proc, at, value, sizeof(value));
                size_t used;

                if (strncmp(at, "trusted.overlay.", 16) == 0)
                        continue;
                used = (size_t)snprintf(line, sizeof(line), " xattr %s=", at);
                for (ssize_t i = 0; i < len; i++)
                        used += (size_t)snprintf(line + used, sizeof(line) - used, "%02x",
                                                 value[i]);
                add_line(lines, path, line);
        }
}

/* The name under which an inode was met first; NULL: now is the first time.  A link from outside
 * the tree is nobody's business, so the count of links alone says nothing. */
static const char *first_name(struct lines *lines, ino_t inode, const char *path)
{
        for (size_t i = 0; i < lines->n_seen; i++)
                if (lines->seen[i].inode == inode)
                        return lines->seen[i].path;
        if (lines->n_seen == INODES_MAX)
                test_fail(__FILE__, __LINE__, "too many hard links to be listed");
        lines->seen[lines->n_seen].inode = inode;
        lines->seen[lines->n_seen++].path = strdup(path);
        return NULL;
}

static void add_entry(struct lines *lines, int dir_fd, const char *name, const char *path)
{
        char line[5000], target[4096] = "";
        unsigned long sum = 0;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                test_fail(__FILE__, __LINE__, "'%s' is listed but not there: %s", path,
                          strerror(errno));
        if (S_ISREG(st.st_mode)) {
                CLEANUP(closep) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

                if (fd < 0)
                        test_fail(__FILE__, __LINE__, "cannot open '%s': %s", path,
                                  strerror(errno));
                sum = content_sum(fd);
        }
        if (S_ISLNK(st.st_mode))
                (void)!readlinkat(dir_fd, name, target, sizeof(target) - 1);
        (void)snprintf(line, sizeof(line), " mode %o owner %u:%u mtime %lld.%09ld size %lld "
                       "sum %lx -> %s", st.st_mode, st.st_uid, st.st_gid,
                       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                       S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size, sum, target);
        add_line(lines, path, line);
        if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
                const char *first = first_name(lines, st.st_ino, path);

                (void)snprintf(line, sizeof(line), " is %s", first == NULL ? "" : first);
                if (first != NULL)
                        add_line(lines, path, line);
        }
        add_xattrs(lines, dir_fd, name, path);
}

static void add_dir(struct lines *lines, int parent_fd, const char *name, const char *path)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        char *names[LINES_MAX / 4];
        struct dirent *entry;
        size_t n = 0;

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (dir == NULL)
                test_fail(__FILE__, __LINE__, "cannot read '%s': %s", path, strerror(errno));
        while ((entry = readdir(dir)) != NULL && n < LINES_MAX / 4)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        names[n++] = strdup(entry->d_name);
        qsort(names, n, sizeof(names[0]), by_text);
        for (size_t i = 0; i < n; i++) {
                char child[PATH_MAX];

                (void)snprintf(child, sizeof(child), "%s/%s", path, names[i]);
                add_entry(lines, fd, names[i], child);
                if (is_dir(fd, names[i]))
                        add_dir(lines, fd, names[i], child);
                free(names[i]);
        }
}

char *listing(int fd)
{
        static struct lines *all;
        struct lines *lines = calloc(1, sizeof(*lines));
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        ASSERT(lines != NULL && out != NULL);
        add_entry(lines, fd, ".", ".");
        add_dir(lines, fd, ".", ".");
        qsort(lines->line, lines->n, sizeof(lines->line[0]), by_text);
        for (size_t i = 0; i < lines->n; i++)
                (void)fprintf(out, "%s\n", lines->line[i]);
        (void)fclose(out);
        lines->text = text;
        lines->next = all;
        all = lines;
        return text;
}

char *listing_of(struct world *world, fs_id id)
{
        CLEANUP(closep) int fd = world_mount(world, id, true);

        return listing(fd);
}

void expect_same(const char *a, const char *b)
{
        while (*a == *b && *a != '\0') {
                size_t n = strcspn(a, "\n");

                if (strncmp(a, b, n + 1) != 0)
                        break;
                a += n + 1;
                b += n + 1;
        }
        if (*a != *b || *a != '\0')
                test_fail(__FILE__, __LINE__, "the trees differ: '%.*s' and '%.*s'",
                          (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}
