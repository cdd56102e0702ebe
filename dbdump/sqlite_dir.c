/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/dbdriver.h"
#include "dbdump/sqlite_dir.h"

#define MAGIC               "SQLite format 3" /* with its NUL the first 16 bytes */
#define HEADER_BYTES        20                /* up to the write and read version, which say WAL */
#define HEADER_READ_VERSION 19
#define VERSION_WAL         2

int sqlite_dir_name_valid(const char *name, struct err *err)
{
        size_t n = strlen(name);

        if (safepath_valid(name, err) < 0)
                return -1;
        if (strchr(name, '/') != NULL || n >= DB_NAME_MAX)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not a name of one component with at most %d bytes", name,
                                DB_NAME_MAX - 1);
        if (n >= 8 && strcmp(name + n - 8, ".partial") == 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' names something unfinished", name);
        return 0;
}

/* Whole, or what a crash left of writing it. */
static bool is_record(const char *name)
{
        return strcmp(name, SQLITE_DIR_RECORD) == 0 ||
               strcmp(name, SQLITE_DIR_RECORD ".partial") == 0;
}

int sqlite_dir_open_file(const struct sqlite_dir *dir, const char *name, uid_t uid, int flags,
                         int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        /* Root's record stands in the tenant's directory while that changes hands. */
        bool of_root = dir->read_only || is_record(name);
        struct stat st;

        if (safepath_open(dir->fd, name, flags, &fd, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (!S_ISREG(st.st_mode))
                return err_fail(err, ERR_UNSUPPORTED, 0, "'%s' is not a regular file", name);
        if (st.st_uid != uid && !(of_root && st.st_uid == 0))
                return err_fail(err, ERR_REFUSED, 0, "'%s' belongs to uid %u, not to the site (%u)",
                                name, st.st_uid, uid);
        /* Removed between the opening and now, as a journal is when its last user closes. */
        if (st.st_nlink == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' is not there any more", name);
        if (st.st_nlink != 1)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' has %lu names; a hard link may lead out of the site", name,
                                (unsigned long)st.st_nlink);
        *ret_fd = steal_fd(&fd);
        return 0;
}

/* Fill entry from the file itself: size, mode and whether it is a database. */
static int look_at_file(const struct sqlite_dir *dir, uid_t uid, struct sqlite_entry *entry,
                        struct err *err)
{
        CLEANUP(closep) int fd = -1;
        unsigned char head[HEADER_BYTES] = { 0 };
        struct stat st;

        if (sqlite_dir_open_file(dir, entry->name, uid, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || pread(fd, head, sizeof(head), 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot read '%s'", entry->name);
        entry->mode = st.st_mode & 0777;
        entry->bytes = (uint64_t)st.st_size;
        entry->kind = SQLITE_KIND_FILE;
        if (memcmp(head, MAGIC, sizeof(MAGIC)) == 0) {
                entry->kind = SQLITE_KIND_DATABASE;
                entry->wal = head[HEADER_READ_VERSION] == VERSION_WAL;
        } else if (is_record(entry->name)) {
                entry->kind = SQLITE_KIND_RECORD;
        }
        return 0;
}

/* A directory is made anew in a copy when nothing in it has content. */
static int look_at_dir(const struct sqlite_dir *dir, struct sqlite_entry *entry, struct err *err)
{
        CLEANUP(closedirp) DIR *list = NULL;
        struct dirent *de;
        struct stat st;
        int fd;

        if (safepath_open(dir->fd, entry->name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        list = fdopendir(fd);
        if (list == NULL) {
                (void)close(fd);
                return err_oom(err);
        }
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", entry->name);
        entry->mode = st.st_mode & 0777;
        entry->kind = SQLITE_KIND_DIR;
        while ((de = readdir(list)) != NULL) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                /* One that is gone by now was empty enough: locks come and go. */
                if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (!S_ISREG(st.st_mode) || st.st_size != 0)
                        return err_fail(err, ERR_UNSUPPORTED, 0,
                                        "the directory '%s' in it has content ('%s'); "
                                        "databases and files lie side by side",
                                        entry->name, de->d_name);
        }
        return 0;
}

static int look_at(const struct sqlite_dir *dir, uid_t uid, struct sqlite_entry *entry,
                   struct err *err)
{
        struct stat st;

        /* The kind is decided without opening: a FIFO would count as a reader, a socket fails. */
        if (fstatat(dir->fd, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot stat '%s'", entry->name);
        if (S_ISREG(st.st_mode))
                return look_at_file(dir, uid, entry, err);
        if (S_ISDIR(st.st_mode))
                return look_at_dir(dir, entry, err);
        return err_fail(err, ERR_UNSUPPORTED, 0, "'%s' in it is not a file; take it out of there",
                        entry->name);
}

static int by_name(const void *a, const void *b)
{
        const struct sqlite_entry *x = a, *y = b;

        return strcmp(x->name, y->name);
}

/* A listing is short and looked through seldom: no index. */
const struct sqlite_entry *sqlite_dir_find(const struct sqlite_dir *dir, const char *name)
{
        for (size_t i = 0; i < dir->n; i++)
                if (strcmp(dir->entries[i].name, name) == 0)
                        return &dir->entries[i];
        return NULL;
}

/* Files that belong to a database share its name; sorted, the database comes before them. */
static void mark_sides(struct sqlite_dir *dir)
{
        static const char *const tails[] = { "-wal", "-shm", "-journal", "-mj" };

        for (size_t i = 0; i < dir->n; i++) {
                struct sqlite_entry *entry = &dir->entries[i];
                char *dash = strrchr(entry->name, '-');
                const struct sqlite_entry *base;
                bool side = false;

                for (size_t t = 0; dash != NULL && t < sizeof(tails) / sizeof(tails[0]); t++)
                        side |= strncmp(dash, tails[t], strlen(tails[t])) == 0 &&
                                (dash[strlen(tails[t])] == '\0' || strcmp(tails[t], "-mj") == 0);
                if (!side || entry->kind == SQLITE_KIND_DIR)
                        continue;
                *dash = '\0';
                base = sqlite_dir_find(dir, entry->name);
                *dash = '-';
                if (base != NULL && base != entry && base->kind == SQLITE_KIND_DATABASE) {
                        entry->kind = SQLITE_KIND_SIDE;
                        entry->wal = false;
                }
        }
}

/* What vanishes while we look (a journal, a lock) was not part of the schema. */
static int list_entries(struct sqlite_dir *dir, uid_t uid, struct err *err)
{
        CLEANUP(closedirp) DIR *list = NULL;
        struct dirent *de;
        int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || (list = fdopendir(fd)) == NULL) {
                if (fd >= 0)
                        (void)close(fd);
                return err_fail(err, ERR_IO, errno, "cannot list it");
        }
        while (errno = 0, (de = readdir(list)) != NULL) {
                struct sqlite_entry *entry = &dir->entries[dir->n];
                struct err why;

                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                if (dir->n == SQLITE_DIR_ENTRIES)
                        return err_fail(err, ERR_UNSUPPORTED, 0, "it has more than %d entries",
                                        SQLITE_DIR_ENTRIES);
                memset(entry, 0, sizeof(*entry));
                (void)snprintf(entry->name, sizeof(entry->name), "%s", de->d_name);
                if (look_at(dir, uid, entry, &why) == 0) {
                        dir->n++;
                } else if (why.code != ERR_NOT_FOUND) {
                        *err = why;
                        return -1;
                }
        }
        if (errno != 0)
                return err_fail(err, ERR_IO, errno, "cannot list it");
        /* Sorted, so that a database comes before its sides. */
        qsort(dir->entries, dir->n, sizeof(dir->entries[0]), by_name);
        mark_sides(dir);
        return 0;
}

int sqlite_dir_open(int root_fd, const char *name, uid_t uid, struct sqlite_dir **ret_dir,
                    struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = calloc(1, sizeof(*dir));
        struct stat st;

        if (dir == NULL)
                return err_oom(err);
        dir->fd = -1;
        dir->entries = calloc(SQLITE_DIR_ENTRIES, sizeof(dir->entries[0]));
        if (dir->entries == NULL)
                return err_oom(err);
        if (sqlite_dir_name_valid(name, err) < 0 ||
            safepath_open(root_fd, name, O_PATH | O_DIRECTORY, &dir->fd, err) < 0)
                return err_wrap(err, "the SQLite directory '%s'", name);
        if (fstat(dir->fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (st.st_uid != uid && st.st_uid != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the SQLite directory '%s' belongs to uid %u, not to the site (%u)",
                                name, st.st_uid, uid);
        /* Root's means taken from the tenant (sqlite_mode.h); any other owner is a mistake. */
        dir->mode = st.st_mode & 0777;
        dir->read_only = st.st_uid == 0 && uid != 0;
        if (list_entries(dir, uid, err) < 0)
                return err_wrap(err, "the SQLite directory '%s'", name);
        *ret_dir = STEAL(dir);
        return 0;
}

void sqlite_dir_close(struct sqlite_dir *dir)
{
        if (dir == NULL)
                return;
        if (dir->fd >= 0)
                (void)close(dir->fd);
        free(dir->entries);
        free(dir);
}

size_t sqlite_dir_databases(const struct sqlite_dir *dir)
{
        size_t n = 0;

        for (size_t i = 0; i < dir->n; i++)
                n += dir->entries[i].kind == SQLITE_KIND_DATABASE;
        return n;
}

uint64_t sqlite_dir_bytes(const struct sqlite_dir *dir)
{
        uint64_t bytes = 0;

        for (size_t i = 0; i < dir->n; i++)
                bytes += dir->entries[i].bytes;
        return bytes;
}

/* Files come and go (locks, logs); what counts for a hold is which databases there are and how they
 * journal. */
bool sqlite_dir_same(const struct sqlite_dir *a, const struct sqlite_dir *b)
{
        for (size_t i = 0; i < a->n; i++) {
                const struct sqlite_entry *other = sqlite_dir_find(b, a->entries[i].name);

                if (a->entries[i].kind == SQLITE_KIND_DATABASE &&
                    (other == NULL || other->kind != SQLITE_KIND_DATABASE ||
                     other->wal != a->entries[i].wal))
                        return false;
        }
        return sqlite_dir_databases(a) == sqlite_dir_databases(b);
}

/* Take a directory from its tenant, so that nobody adds to it while it is emptied. */
static int open_to_empty(int at_fd, const char *name, DIR **ret_list, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (safepath_open(at_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        if (geteuid() == 0 && (fchown(fd, 0, 0) < 0 || fchmod(fd, 0700) < 0))
                return err_fail(err, ERR_IO, errno, "cannot take '%s'", name);
        *ret_list = fdopendir(fd);
        if (*ret_list == NULL)
                return err_oom(err);
        (void)steal_fd(&fd); /* the list has it now */
        return 0;
}

/* Empty one directory: files go, directories in it move up into top under a number, so that no
 * depth of nesting needs more than two descriptors. */
static int empty_dir(int at_fd, const char *name, int top_fd, unsigned *number, struct err *err)
{
        CLEANUP(closedirp) DIR *list = NULL;
        struct dirent *de;
        char up[32];

        if (open_to_empty(at_fd, name, &list, err) < 0)
                return -1;
        while (errno = 0, (de = readdir(list)) != NULL) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                if (unlinkat(dirfd(list), de->d_name, 0) == 0 || errno == ENOENT)
                        continue;
                if (errno != EISDIR && errno != EPERM)
                        return err_fail(err, ERR_IO, errno, "cannot remove '%s'", de->d_name);
                do {
                        (void)snprintf(up, sizeof(up), ".removing.%u", (*number)++);
                } while (faccessat(top_fd, up, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
                if (renameat(dirfd(list), de->d_name, top_fd, up) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot remove '%s'", de->d_name);
        }
        if (errno != 0)
                return err_fail(err, ERR_IO, errno, "cannot list '%s'", name);
        if (unlinkat(at_fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", name);
        return 0;
}

/* One round removes the files of the top and one level of directories; what was nested in them
 * waits in the top for the next round. */
static int remove_rounds(int root_fd, const char *name, struct err *err)
{
        CLEANUP(closedirp) DIR *top = NULL;
        struct dirent *de;
        unsigned number = 0;
        bool again = true;

        if (open_to_empty(root_fd, name, &top, err) < 0)
                return -1;
        while (again) {
                again = false;
                rewinddir(top);
                while (errno = 0, (de = readdir(top)) != NULL) {
                        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                                continue;
                        again = true;
                        if (unlinkat(dirfd(top), de->d_name, 0) == 0 || errno == ENOENT)
                                continue;
                        if (errno != EISDIR && errno != EPERM)
                                return err_fail(err, ERR_IO, errno, "cannot remove '%s'",
                                                de->d_name);
                        if (empty_dir(dirfd(top), de->d_name, dirfd(top), &number, err) < 0)
                                return -1;
                }
                if (errno != 0)
                        return err_fail(err, ERR_IO, errno, "cannot list '%s'", name);
        }
        if (unlinkat(root_fd, name, AT_REMOVEDIR) < 0)
                return err_fail(err, ERR_IO, errno, "cannot remove '%s'", name);
        return file_sync_dir(root_fd, err);
}

/* ERR_NOT_FOUND can also come from within, when somebody else removes: then it is going as well. */
int sqlite_dir_remove(int root_fd, const char *name, struct err *err)
{
        struct err why;

        if (remove_rounds(root_fd, name, &why) == 0 || why.code == ERR_NOT_FOUND)
                return 0;
        *err = why;
        return -1;
}
