/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "dbdump/sqlite_helper.h"
#include "dbdump/sqlite_mode.h"

#define RECORD_MAX (SQLITE_DIR_ENTRIES * (NAME_MAX + 16))
#define ACL_NAME   "system.posix_acl_access"
#define FILE_MODE  0640
#define DIR_MODE   0750
#define SELF       "." /* the directory's own line in the record */

/* One line is "MODE w|- NAME" and a NUL, since names may hold anything else.  A tenant can have
 * written it while the directory was his, so it decides about nothing but his own files. */
static void recall_line(struct sqlite_dir *dir, const char *line)
{
        char *end;
        unsigned long mode = strtoul(line, &end, 8);

        if (end == line || end[0] != ' ' || end[1] == '\0' || end[2] != ' ')
                return;
        if (strcmp(end + 3, SELF) == 0)
                dir->mode = mode & 0777;
        for (size_t i = 0; i < dir->n; i++)
                if (strcmp(dir->entries[i].name, end + 3) == 0) {
                        dir->entries[i].mode = mode & 0777;
                        dir->entries[i].wal |=
                                end[1] == 'w' && dir->entries[i].kind == SQLITE_KIND_DATABASE;
                }
}

int sqlite_mode_recall(struct sqlite_dir *dir, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n, len;

        if (sqlite_dir_find(dir, SQLITE_DIR_RECORD) == NULL)
                return 0;
        if (file_read(dir->fd, SQLITE_DIR_RECORD, RECORD_MAX, &text, &n, err) < 0)
                return -1;
        for (size_t at = 0; at < n; at += len + 1) {
                len = strlen(text + at);
                recall_line(dir, text + at);
        }
        return 0;
}

/* The record, and what a crash left of writing it.  It may come back with a crash: that is one of
 * an interrupted attempt, which the next call goes on from. */
static int remove_record(const struct sqlite_dir *dir, struct err *err)
{
        static const char *const names[] = { SQLITE_DIR_RECORD ".partial", SQLITE_DIR_RECORD };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (unlinkat(dir->fd, names[i], 0) < 0 && errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot remove '%s'", names[i]);
        return 0;
}

/* Readable by nobody but root, and whole: what it says is the only way back. */
static int write_record(const struct sqlite_dir *dir, struct err *err)
{
        CLEANUP(freep) char *text = malloc(RECORD_MAX);
        size_t n;

        if (text == NULL)
                return err_oom(err);
        n = (size_t)snprintf(text, RECORD_MAX, "%o - %s", dir->mode, SELF) + 1;
        for (size_t i = 0; i < dir->n; i++)
                n += (size_t)snprintf(text + n, RECORD_MAX - n, "%o %c %s", dir->entries[i].mode,
                                      dir->entries[i].wal ? 'w' : '-', dir->entries[i].name) +
                     1;
        return file_replace(dir->fd, SQLITE_DIR_RECORD, text, n, 0600, err);
}

/* An access list of two users: root and the tenant, who may read (and enter, if ${enter}).  The
 * tenant's group is not asked, which other tenants may share.  Fails on file systems without. */
static int let_read(int fd, uid_t tenant, bool enter)
{
        struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry user_obj, user, group_obj, mask, other;
        } acl = {
                .header.a_version = htole32(POSIX_ACL_XATTR_VERSION),
        };
        uint16_t read = enter ? ACL_READ | ACL_EXECUTE : ACL_READ;
        uint32_t nobody = htole32((uint32_t)ACL_UNDEFINED_ID);

        acl.user_obj = (struct posix_acl_xattr_entry){ htole16(ACL_USER_OBJ),
                                                       htole16(read | ACL_WRITE), nobody };
        acl.user =
                (struct posix_acl_xattr_entry){ htole16(ACL_USER), htole16(read), htole32(tenant) };
        acl.group_obj = (struct posix_acl_xattr_entry){ htole16(ACL_GROUP_OBJ), 0, nobody };
        acl.mask = (struct posix_acl_xattr_entry){ htole16(ACL_MASK), htole16(read), nobody };
        acl.other = (struct posix_acl_xattr_entry){ htole16(ACL_OTHER), 0, nobody };
        return fsetxattr(fd, ACL_NAME, &acl, sizeof(acl), 0);
}

/* Give a file or directory to root, for the tenant to read, or back to the tenant.  In between, and
 * after a crash there, the tenant can read it: what he may comes before the owner on the way to
 * root and after it on the way back. */
static int give_fd(int fd, const char *name, uid_t uid, uid_t tenant, gid_t gid, mode_t mode,
                   struct err *err)
{
        bool taken = uid != tenant;

        if (fchown(fd, (uid_t)-1, gid) < 0 ||
            (taken && let_read(fd, tenant, mode == DIR_MODE) < 0 && fchmod(fd, mode) < 0) ||
            fchown(fd, uid, gid) < 0)
                return err_fail(err, ERR_IO, errno, "cannot change the owner of '%s'", name);
        /* A list that is not there is as good as removed. */
        if (!taken &&
            ((fremovexattr(fd, ACL_NAME) < 0 && errno != ENODATA && errno != EOPNOTSUPP) ||
             fchmod(fd, mode) < 0))
                return err_fail(err, ERR_IO, errno, "cannot set the mode of '%s'", name);
        return 0;
}

/* What was given, in order, and is not synced yet.  One after the other would cost a sync each: the
 * first of them takes what the file system was told before along. */
struct given {
        size_t n;
        int fds[SQLITE_DIR_ENTRIES + 1];
};

static void given_done(struct given *given)
{
        while (given->n > 0)
                (void)close(given->fds[--given->n]);
}

/* What was given first is durable first. */
static int given_sync(struct given *given, struct err *err)
{
        for (size_t i = 0; i < given->n; i++)
                if (fsync(given->fds[i]) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot sync what was changed");
        given_done(given);
        return 0;
}

/* The listing says a file is root's or the tenant's by turns, in every state a crash can leave. */
static int give_entry(const struct sqlite_dir *dir, const struct sqlite_entry *entry, uid_t uid,
                      uid_t to_uid, gid_t gid, mode_t mode, struct given *given, struct err *err)
{
        struct sqlite_dir either = *dir;
        CLEANUP(closep) int fd = -1;

        either.read_only = true;
        if (entry->kind == SQLITE_KIND_DIR) {
                if (safepath_open(dir->fd, entry->name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                        return -1;
        } else if (sqlite_dir_open_file(&either, entry->name, uid, O_RDONLY, &fd, err) < 0) {
                return -1;
        }
        if (give_fd(fd, entry->name, to_uid, uid, gid, mode, err) < 0)
                return -1;
        given->fds[given->n++] = steal_fd(&fd);
        return 0;
}

/* The directory itself, through a descriptor that can be synced (the listing's is O_PATH). */
static int give_self(const struct sqlite_dir *dir, uid_t uid, uid_t tenant, gid_t gid, mode_t mode,
                     struct given *given, struct err *err)
{
        CLEANUP(closep) int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the directory");
        if (give_fd(fd, "the directory", uid, tenant, gid, mode, err) < 0)
                return -1;
        given->fds[given->n++] = steal_fd(&fd);
        return 0;
}

/* A read lease is given only on a file that nobody has open for writing, and no new writer can
 * have come: the file is root's by now. */
static int check_no_writer(const struct sqlite_dir *dir, const char *name, uid_t uid,
                           struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (sqlite_dir_open_file(dir, name, uid, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
                return 0;
        if (errno == EAGAIN)
                return err_fail(err, ERR_BUSY, 0,
                                "'%s' is still open for writing in a process of the site's; it "
                                "has to end or close it",
                                name);
        return err_fail(err, ERR_IO, errno, "cannot see who has '%s' open", name);
}

/* Put every database of the listing into the journal mode it is to have. */
static int settle_all(const struct sqlite_dir *dir, bool frozen, uid_t uid, gid_t gid,
                      struct err *err)
{
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;

        if (sqlite_helper_start(dir->fd, uid, gid, &helper, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++) {
                const struct sqlite_entry *entry = &dir->entries[i];

                if (entry->kind == SQLITE_KIND_DATABASE &&
                    sqlite_helper_ask(helper, SQLITE_OP_SETTLE, entry->name,
                                      entry->wal && !frozen ? SQLITE_CALL_WAL : 0, dir->fd,
                                      err) < 0)
                        return -1;
        }
        return 0;
}

/* Put down how everything is, and switch to DELETE mode.  When somebody is in the way, what was
 * switched goes back. */
static int prepare_freeze(struct sqlite_dir *dir, uid_t uid, gid_t gid, struct err *err)
{
        struct err ignored;

        /* A record that is there already is an interrupted attempt's: what that switched to
         * DELETE mode was WAL before. */
        if (sqlite_mode_recall(dir, err) < 0 || write_record(dir, err) < 0)
                return -1;
        if (settle_all(dir, true, uid, gid, err) == 0)
                return 0;
        /* With the record in place the next attempt goes on from any state. */
        if (settle_all(dir, false, uid, gid, &ignored) < 0 || remove_record(dir, &ignored) < 0)
                return err_wrap(err, "some databases stay in DELETE mode until the next attempt");
        return -1;
}

/* Everything is root's; is it also as it should be? */
static int check_frozen(int root_fd, const char *name, uid_t uid, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;

        if (sqlite_dir_open(root_fd, name, uid, &dir, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++) {
                if (dir->entries[i].kind == SQLITE_KIND_DIR)
                        continue;
                if (dir->entries[i].wal)
                        return err_fail(err, ERR_BUSY, 0,
                                        "'%s' went back to WAL mode meanwhile; somebody still "
                                        "uses it",
                                        dir->entries[i].name);
                if (check_no_writer(dir, dir->entries[i].name, uid, err) < 0)
                        return -1;
        }
        return 0;
}

/* Write down, switch, take the directory, take its entries, look for who is still in it. */
int sqlite_mode_freeze(int root_fd, const char *name, uid_t uid, gid_t gid, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(given_done) struct given given = { 0 };

        if (sqlite_dir_open(root_fd, name, uid, &dir, err) < 0)
                return -1;
        if (!dir->read_only && prepare_freeze(dir, uid, gid, err) < 0)
                return err_wrap(err, "making '%s' read-only", name);
        /* The directory first: from here on the tenant adds and replaces nothing. */
        if (give_self(dir, 0, uid, gid, DIR_MODE, &given, err) < 0)
                return -1;
        sqlite_dir_close(STEAL(dir));
        if (sqlite_dir_open(root_fd, name, uid, &dir, err) < 0)
                return -1;
        for (size_t i = 0; i < dir->n; i++) {
                const struct sqlite_entry *entry = &dir->entries[i];
                mode_t mode = entry->kind == SQLITE_KIND_DIR ? DIR_MODE : FILE_MODE;

                if (entry->kind != SQLITE_KIND_RECORD &&
                    give_entry(dir, entry, uid, 0, gid, mode, &given, err) < 0)
                        return err_wrap(err, "making '%s' read-only", name);
        }
        if (given_sync(&given, err) < 0)
                return err_wrap(err, "making '%s' read-only", name);
        if (check_frozen(root_fd, name, uid, err) < 0)
                return err_wrap(err, "making '%s' read-only", name);
        return file_sync_dir(dir->fd, err);
}

/* Is it the tenant's, and no attempt to take it from him was interrupted?  Then he may have put
 * anything into it, which is no reason why the site could not go on with it. */
static bool is_untouched(int root_fd, const char *name, uid_t uid)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;
        struct err ignored;

        return safepath_open(root_fd, name, O_RDONLY | O_DIRECTORY, &fd, &ignored) == 0 &&
               fstat(fd, &st) == 0 && st.st_uid == uid &&
               faccessat(fd, SQLITE_DIR_RECORD, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
               faccessat(fd, SQLITE_DIR_RECORD ".partial", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

/* Give back the entries, then the directory, switch, and only then forget what was written down. */
int sqlite_mode_thaw(int root_fd, const char *name, uid_t uid, gid_t gid, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(given_done) struct given given = { 0 };

        if (sqlite_dir_name_valid(name, err) < 0)
                return -1;
        if (is_untouched(root_fd, name, uid))
                return 0;
        if (sqlite_dir_open(root_fd, name, uid, &dir, err) < 0)
                return -1;
        if (!dir->read_only && sqlite_dir_find(dir, SQLITE_DIR_RECORD) == NULL)
                return remove_record(dir, err);
        if (sqlite_mode_recall(dir, err) < 0)
                return err_wrap(err, "making '%s' writable", name);
        for (size_t i = 0; i < dir->n; i++)
                if (dir->entries[i].kind != SQLITE_KIND_RECORD &&
                    give_entry(dir, &dir->entries[i], uid, uid, gid, dir->entries[i].mode, &given,
                               err) < 0)
                        return err_wrap(err, "making '%s' writable", name);
        if (give_self(dir, uid, uid, gid, dir->mode, &given, err) < 0 ||
            given_sync(&given, err) < 0)
                return err_wrap(err, "making '%s' writable", name);
        if (settle_all(dir, false, uid, gid, err) == 0)
                return remove_record(dir, err);

        /* On a full disk it goes on with the journal mode it was kept with: a rollback must not
         * wait for room.  The record stays, so that the next call sets the mode. */
        return err->code == ERR_NO_SPACE ? 0 : err_wrap(err, "making '%s' writable", name);
}
