/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/sqlite_copy.h"
#include "dbdump/sqlite_dump.h"

#define BUFFER_BYTES 65536
#define SPACE_SPARE  (4 << 20)

static int put_header(enum sqlite_dump_kind kind, mode_t mode, uint64_t bytes, const char *name,
                      db_sink sink, void *arg, struct err *err)
{
        struct sqlite_dump_header header = {
                .magic = SQLITE_DUMP_MAGIC,
                .kind = htole32(kind),
                .mode = htole32(mode),
                .bytes = htole64(bytes),
        };

        (void)snprintf(header.name, sizeof(header.name), "%s", name);
        return sink(&header, sizeof(header), arg, err);
}

/* A log may grow while it is read, by nobody who changes the instant: what it was first counts. */
static int put_file(struct sqlite_hold *hold, uid_t uid, const char *name, mode_t mode,
                    db_sink sink, void *arg, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char buffer[BUFFER_BYTES];
        struct stat st;
        uint64_t left;

        if (sqlite_dir_open_file(hold->dir, name, uid, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        left = (uint64_t)st.st_size;
        if (put_header(SQLITE_DUMP_FILE, mode, left, name, sink, arg, err) < 0)
                return -1;
        while (left > 0) {
                ssize_t n = read(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_fail(err, ERR_IO, n < 0 ? errno : 0,
                                        "'%s' was cut short while it was read", name);
                if (sink(buffer, (size_t)n, arg, err) < 0)
                        return -1;
                left -= (uint64_t)n;
        }
        return 0;
}

int sqlite_dump_write(struct sqlite_hold *hold, uid_t uid, db_sink sink, void *arg, struct err *err)
{
        for (size_t i = 0; i < hold->dir->n; i++) {
                const struct sqlite_entry *entry = &hold->dir->entries[i];
                char log[NAME_MAX + 8];
                struct err why;

                if (entry->kind == SQLITE_KIND_DIR &&
                    put_header(SQLITE_DUMP_DIR, entry->mode, 0, entry->name, sink, arg, err) < 0)
                        return -1;
                if (entry->kind != SQLITE_KIND_DATABASE && entry->kind != SQLITE_KIND_FILE)
                        continue;
                if (put_file(hold, uid, entry->name, entry->mode, sink, arg, err) < 0)
                        return -1;
                (void)snprintf(log, sizeof(log), "%s-wal", entry->name);
                if (entry->kind == SQLITE_KIND_DATABASE && entry->wal &&
                    put_file(hold, uid, log, entry->mode, sink, arg, &why) < 0 &&
                    why.code != ERR_NOT_FOUND) {
                        *err = why;
                        return -1;
                }
        }
        if (hold->held && sqlite_hold_check(hold, err) < 0)
                return -1;
        return put_header(SQLITE_DUMP_END, hold->dir->mode & 0777, 0, "", sink, arg, err);
}

/* It grows as a copy does. */
struct growing {
        const struct sqlite_load *load;
        struct sqlite_growth growth;
        unsigned entries;
};

static int take(const struct sqlite_load *load, void *bytes, size_t n, struct err *err)
{
        char *at = bytes;

        while (n > 0) {
                ssize_t done = load->source(at, n, load->arg, err);

                if (done < 0)
                        return -1;
                if (done == 0)
                        return err_fail(err, ERR_CORRUPT, 0, "the dump ends too early");
                at += done;
                n -= (size_t)done;
        }
        return 0;
}

/* One name, of a file that a schema may have and that is not our own record. */
static int check_header(struct growing *growing, const struct sqlite_dump_header *header,
                        struct err *err)
{
        struct statvfs st;

        if (memcmp(header->magic, SQLITE_DUMP_MAGIC, sizeof(header->magic)) != 0 ||
            header->name[sizeof(header->name) - 1] != '\0' || header->kind > SQLITE_DUMP_DIR ||
            (header->mode & ~0777u) != 0)
                return err_fail(err, ERR_CORRUPT, 0, "this is no dump of SQLite databases");
        if (header->kind == SQLITE_DUMP_END)
                return 0;
        if (safepath_valid(header->name, err) < 0 || strchr(header->name, '/') != NULL ||
            strncmp(header->name, ".sitesnap", 9) == 0)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the dump has a file with a name that it may "
                                "not have");
        if (++growing->entries > SQLITE_DIR_ENTRIES)
                return err_fail(err, ERR_CORRUPT, 0, "the dump has more than %d files",
                                SQLITE_DIR_ENTRIES);
        if (fstatvfs(growing->growth.new_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot see how much space there is");
        if ((uint64_t)st.f_bavail * st.f_frsize < SPACE_SPARE ||
            header->bytes > (uint64_t)st.f_bavail * st.f_frsize - SPACE_SPARE)
                return err_fail(err, ERR_NO_SPACE, 0,
                                "'%s' needs %" PRIu64 " MB and there are %" PRIu64 " MB free",
                                header->name, header->bytes >> 20,
                                (uint64_t)st.f_bavail * st.f_frsize >> 20);
        return 0;
}

static int make_file(struct growing *growing, const struct sqlite_dump_header *header,
                     struct err *err)
{
        const struct sqlite_load *load = growing->load;
        CLEANUP(closep)
        int fd = openat(growing->growth.new_fd, header->name,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        char buffer[BUFFER_BYTES];

        if (fd < 0)
                return errno == EEXIST
                               ? err_fail(err, ERR_CORRUPT, 0, "the dump has '%s' twice",
                                          header->name)
                               : err_fail(err, ERR_IO, errno, "cannot make '%s'", header->name);
        if (fchown(fd, load->uid, load->gid) < 0 || fchmod(fd, header->mode | 0600) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", header->name);
        for (uint64_t left = header->bytes; left > 0;) {
                size_t n = left < sizeof(buffer) ? (size_t)left : sizeof(buffer);

                if (take(load, buffer, n, err) < 0 || file_write_all(fd, buffer, n, err) < 0)
                        return -1;
                left -= n;
        }
        return 0;
}

static int take_files(struct growing *growing, struct err *err)
{
        const struct sqlite_load *load = growing->load;
        struct sqlite_dump_header header;
        int fd;

        for (;;) {
                if (take(load, &header, sizeof(header), err) < 0)
                        return -1;
                header.kind = le32toh(header.kind);
                header.mode = le32toh(header.mode);
                header.bytes = le64toh(header.bytes);
                if (check_header(growing, &header, err) < 0)
                        return -1;
                if (header.kind == SQLITE_DUMP_END)
                        return fchmod(growing->growth.new_fd, header.mode | 0700) < 0
                                       ? err_fail(err, ERR_IO, errno, "cannot set a mode")
                                       : 0;
                if (header.kind == SQLITE_DUMP_FILE) {
                        if (make_file(growing, &header, err) < 0)
                                return -1;
                        continue;
                }
                if (safepath_mkdirs(growing->growth.new_fd, header.name, header.mode | 0700,
                                    load->uid, load->gid, &fd, err) < 0)
                        return -1;
                (void)close(fd);
        }
}

/* As the tenant: open each, look at every page, and bring it into one file. */
static int check_databases(struct growing *growing, struct err *err)
{
        const struct sqlite_load *load = growing->load;
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;

        if (sqlite_dir_open(growing->growth.partial_fd, SQLITE_COPY_NEW, load->uid, &dir, err) < 0)
                return -1;
        if (sqlite_dir_databases(dir) == 0)
                return err_fail(err, ERR_CORRUPT, 0, "there is no database in the dump");
        if (sqlite_hold_start_helper(dir, load->uid, load->gid, 0, 0, &helper, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(helper, SQLITE_OP_INTEGRITY, dir->entries[i].name, 0, -1,
                                      err) < 0)
                        return -1;
        /* Its view would keep the log. */
        sqlite_helper_stop(STEAL(helper));
        if (sqlite_helper_start(dir->fd, load->uid, load->gid, &helper, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(helper, SQLITE_OP_SETTLE, dir->entries[i].name,
                                      (dir->entries[i].wal ? SQLITE_CALL_WAL : 0) |
                                              SQLITE_CALL_UNSYNCED,
                                      growing->growth.new_fd, err) < 0)
                        return -1;
        return 0;
}

static int publish(struct growing *growing, struct err *err)
{
        if (syncfs(growing->growth.new_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync '%s'", growing->growth.partial);
        return sqlite_copy_publish(&growing->growth, err);
}

int sqlite_dump_load(const struct sqlite_load *load, struct err *err)
{
        struct growing growing = { .load = load };
        CLEANUP(sqlite_growth_donep) struct sqlite_growth *growth = &growing.growth;
        struct err ignored;

        sqlite_growth_init(growth, load->root_fd, load->to, load->uid, load->gid);
        if (sqlite_copy_check_name(load->root_fd, load->to, err) < 0)
                return -1;
        if (sqlite_copy_begin(growth, err) == 0 && take_files(&growing, err) == 0 &&
            check_databases(&growing, err) == 0 && publish(&growing, err) == 0)
                return 0;
        if (sqlite_dir_remove(load->root_fd, growth->partial, &ignored) < 0)
                return err_wrap(err, "loading '%s' (which leaves '%s')", load->to, growth->partial);
        return err_wrap(err, "loading '%s'", load->to);
}
