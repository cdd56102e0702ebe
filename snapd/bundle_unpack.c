/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/safepath.h"
#include "snapd/bundle_digest.h"

#define BUFFER_BYTES (256U << 10)
#define MEMBER_COST  4096 /* a name and an inode are not free */
#define ENGINE_FILES BUNDLE_DATABASE "/"

/* A directory gets its mode and time when all is in it. */
struct late {
        char *path;
        mode_t mode;
        struct timespec mtime;
};

struct unpacking {
        const struct bundle_unpack *unpack;
        struct archive *archive;
        struct archive_entry *entry;
        EVP_MD_CTX *digest;
        FILE *manifest;
        char *manifest_text;
        size_t manifest_n;
        char *buffer;
        uint64_t bytes, members;
        struct late *late;
        size_t n_late, late_room;
        struct bundle_facts facts;
};

/* The member that is being read. */
struct reading {
        struct unpacking *u;
        struct bundle_member m;
        char path[1100];
        bool kept; /* it is written, not only compared */
};

static void unpacking_done(struct unpacking *u)
{
        if (u->archive != NULL)
                (void)archive_read_free(u->archive);
        if (u->manifest != NULL)
                (void)fclose(u->manifest);
        for (size_t i = 0; i < u->n_late; i++)
                free(u->late[i].path);
        EVP_MD_CTX_free(u->digest);
        free(u->late);
        free(u->manifest_text);
        free(u->buffer);
}

static int damaged(struct unpacking *u, const char *what, struct err *err)
{
        const char *text = archive_error_string(u->archive);

        return err_fail(err, ERR_CORRUPT, 0, "the archive is damaged or is none of ours: %s%s%s",
                        what, text == NULL ? "" : ": ", text == NULL ? "" : text);
}

static int refuse(const struct reading *r, const char *why, struct err *err)
{
        return err_fail(err, ERR_REFUSED, 0, "'%s' in the archive %s; nothing was imported",
                        r->path, why);
}

static int spend(struct unpacking *u, uint64_t bytes, struct err *err)
{
        if (bytes > u->unpack->bytes_max || u->bytes > u->unpack->bytes_max - bytes)
                return err_fail(err, ERR_NO_SPACE, 0,
                                "the archive holds more than the %" PRIu64
                                " MiB that are free here; nothing was imported",
                                u->unpack->bytes_max >> 20);
        u->bytes += bytes;
        return 0;
}

/* Its bytes, all of them and no more, to ${fd} or to ${memory}; either may be none. */
static int read_content(struct reading *r, int fd, char *memory, struct err *err)
{
        struct unpacking *u = r->u;
        uint64_t left = r->m.size;

        if (bundle_digest_begin(&u->digest, err) < 0)
                return -1;
        for (;;) {
                la_ssize_t n = archive_read_data(u->archive, u->buffer, BUFFER_BYTES);

                if (n < 0)
                        return damaged(u, r->path, err);
                if ((uint64_t)n > left || (n == 0 && left > 0))
                        return damaged(u, r->path, err);
                if (n == 0)
                        break;
                if (bundle_digest_add(u->digest, u->buffer, (size_t)n, err) < 0 ||
                    (fd >= 0 && file_write_all(fd, u->buffer, (size_t)n, err) < 0))
                        return -1;
                if (memory != NULL)
                        memcpy(memory + (r->m.size - left), u->buffer, (size_t)n);
                left -= (uint64_t)n;
                if (u->unpack->progress != NULL &&
                    u->unpack->progress(u->bytes - left, u->unpack->arg, err) < 0)
                        return -1;
        }
        return bundle_digest_end(u->digest, r->m.digest, err);
}

static int check_entry(struct reading *r, struct err *err)
{
        struct archive_entry *entry = r->u->entry;
        mode_t type = archive_entry_filetype(entry);
        unsigned long set, clear;
        int acl = ARCHIVE_ENTRY_ACL_TYPE_ACCESS | ARCHIVE_ENTRY_ACL_TYPE_DEFAULT |
                  ARCHIVE_ENTRY_ACL_TYPE_NFS4;

        if (!r->m.hard && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
                return refuse(r, "is neither a file nor a directory nor a symbolic link", err);
        if ((archive_entry_perm(entry) & 07000) != 0)
                return refuse(r, "is setuid, setgid or sticky", err);
        if (archive_entry_acl_reset(entry, acl) > 0)
                return refuse(r, "has an access control list", err);
        archive_entry_fflags(entry, &set, &clear);
        if (set != 0 || clear != 0)
                return refuse(r, "has file flags", err);
        if (archive_entry_sparse_count(entry) > 0)
                return refuse(r, "is a sparse file", err);
        if (archive_entry_size(entry) < 0 ||
            (archive_entry_size(entry) > 0 && (r->m.hard || type != AE_IFREG)))
                return refuse(r, "has content where there can be none", err);
        return 0;
}

/* Only what was written before, in the same tree. */
static int check_target(const struct reading *r, struct err *err)
{
        const char *slash = strchr(r->path, '/');
        struct err why;

        if (r->m.target == NULL)
                return refuse(r, "leads nowhere", err);
        if (!r->m.hard)
                return bundle_link_check(r->path, r->m.target, &why) < 0
                               ? refuse(r, "is a symbolic link that leads out of the tree", err)
                               : 0;
        if (bundle_path_check(r->m.target, &why) < 0 || slash == NULL ||
            strncmp(r->path, r->m.target, (size_t)(slash - r->path) + 1) != 0)
                return refuse(r, "is a hard link that leads out of the tree", err);
        return 0;
}

static int take_xattrs(struct reading *r, struct err *err)
{
        struct archive_entry *entry = r->u->entry;
        const char *name;
        const void *value;
        size_t n;

        (void)archive_entry_xattr_reset(entry);
        while (archive_entry_xattr_next(entry, &name, &value, &n) == ARCHIVE_OK) {
                if (!bundle_xattr_check(name))
                        return refuse(r, "has an extended attribute that is not a user's", err);
                if (spend(r->u, n, err) < 0 ||
                    bundle_digest_xattr(name, value, n, r->m.xattrs, err) < 0)
                        return -1;
        }
        return 0;
}

static int take_entry(struct reading *r, struct err *err)
{
        struct archive_entry *entry = r->u->entry;
        const char *path = archive_entry_pathname(entry);
        size_t n = path == NULL ? 0 : strlen(path);
        struct err why;

        if (n == 0 || n >= sizeof(r->path))
                return err_fail(err, ERR_REFUSED, 0,
                                "the archive has a member whose name is empty or too long; nothing "
                                "was imported");
        memcpy(r->path, path, n + 1);
        r->m.path = r->path;
        r->m.hard = archive_entry_hardlink(entry) != NULL;
        r->m.mode = archive_entry_filetype(entry) | (archive_entry_perm(entry) & 0777);
        if (r->m.hard)
                r->m.mode = S_IFREG;
        /* tar has directories with a slash behind. */
        if (S_ISDIR(r->m.mode) && n > 1 && r->path[n - 1] == '/')
                r->path[n - 1] = '\0';
        if (bundle_path_check(r->path, &why) < 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "a name in the archive is refused (%s); nothing was imported",
                                why.msg);
        r->m.target = r->m.hard ? archive_entry_hardlink(entry) : archive_entry_symlink(entry);
        r->m.mtime.tv_sec = archive_entry_mtime(entry);
        r->m.mtime.tv_nsec = archive_entry_mtime_nsec(entry);
        if (check_entry(r, err) < 0)
                return -1;
        if (!r->m.hard && !S_ISLNK(r->m.mode))
                r->m.target = NULL;
        else if (check_target(r, err) < 0)
                return -1;
        r->m.size = (uint64_t)archive_entry_size(entry);
        return take_xattrs(r, err);
}

static bool is_in(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && path[n] == '/' && path[n + 1] != '\0';
}

/* The trees are whatever they are; a dump is pieces with plain names. */
static int sort_member(struct reading *r, struct err *err)
{
        bool file = S_ISREG(r->m.mode) && !r->m.hard;

        if (strcmp(r->path, BUNDLE_TREE) == 0 && S_ISDIR(r->m.mode))
                r->kept = true;
        else if (is_in(r->path, BUNDLE_TREE))
                r->kept = true;
        else if (is_in(r->path, BUNDLE_SHARED))
                r->kept = false;
        else if (is_in(r->path, BUNDLE_DATABASE) && file &&
                 strspn(r->path + sizeof(ENGINE_FILES) - 1, "0123456789") == 8 &&
                 strlen(r->path) == sizeof(ENGINE_FILES) - 1 + 8)
                r->kept = true;
        else
                return refuse(r, "has no place in a bundle", err);
        return 0;
}

static int there_already(const struct reading *r, struct err *err)
{
        return errno == EEXIST
                       ? refuse(r, "is there twice", err)
                       : err_fail(err, errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_IO,
                                  errno, "cannot make '%s'", r->path);
}

static int write_xattrs(struct reading *r, int fd, struct err *err)
{
        const char *name;
        const void *value;
        size_t n;

        (void)archive_entry_xattr_reset(r->u->entry);
        while (archive_entry_xattr_next(r->u->entry, &name, &value, &n) == ARCHIVE_OK)
                if (fsetxattr(fd, name, value, n, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set '%s' of '%s'", name,
                                        r->path);
        return 0;
}

static int write_file(struct reading *r, int parent_fd, const char *name, struct err *err)
{
        CLEANUP(closep)
        int fd =
                openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        const struct timespec times[2] = { r->m.mtime, r->m.mtime };

        if (fd < 0)
                return there_already(r, err);
        if (read_content(r, fd, NULL, err) < 0 || write_xattrs(r, fd, err) < 0)
                return -1;
        if (fchmod(fd, r->m.mode & 0777) < 0 || futimens(fd, times) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set mode and time of '%s'", r->path);
        return 0;
}

static int write_dir(struct reading *r, int parent_fd, const char *name, struct err *err)
{
        struct unpacking *u = r->u;
        CLEANUP(closep) int fd = -1;

        if (mkdirat(parent_fd, name, 0700) < 0)
                return there_already(r, err);
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", r->path);
        if (write_xattrs(r, fd, err) < 0)
                return -1;
        if (u->n_late == u->late_room) {
                size_t room = u->late_room == 0 ? 256 : u->late_room * 2;
                struct late *more = realloc(u->late, room * sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                u->late = more;
                u->late_room = room;
        }
        u->late[u->n_late] = (struct late){ strdup(r->path), r->m.mode & 0777, r->m.mtime };
        return u->late[u->n_late++].path == NULL ? err_oom(err) : 0;
}

static int write_link(struct reading *r, int parent_fd, const char *name, struct err *err)
{
        const struct timespec times[2] = { r->m.mtime, r->m.mtime };
        CLEANUP(closep) int target_fd = -1;
        const char *target;
        struct stat st;

        if (!r->m.hard) {
                if (symlinkat(r->m.target, parent_fd, name) < 0)
                        return there_already(r, err);
                return utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0
                               ? err_fail(err, ERR_IO, errno, "cannot set the time of '%s'",
                                          r->path)
                               : 0;
        }
        if (safepath_open_parent(r->u->unpack->dir_fd, r->m.target, &target_fd, &target, err) < 0 ||
            fstatat(target_fd, target, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return refuse(r, "is a hard link to no file before it", err);
        return linkat(target_fd, target, parent_fd, name, 0) < 0 ? there_already(r, err) : 0;
}

static int write_member(struct reading *r, struct err *err)
{
        int dir_fd = r->u->unpack->dir_fd;
        CLEANUP(closep) int parent_fd = -1;
        const char *name;

        if (spend(r->u, r->m.size + MEMBER_COST, err) < 0)
                return -1;
        if (is_in(r->path, BUNDLE_DATABASE) && mkdirat(dir_fd, BUNDLE_DATABASE, 0700) < 0 &&
            errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make '" BUNDLE_DATABASE "'");
        if (safepath_open_parent(dir_fd, r->path, &parent_fd, &name, err) < 0)
                return refuse(r, "comes before its directory, or lies in something else", err);
        if (r->m.hard || S_ISLNK(r->m.mode))
                return write_link(r, parent_fd, name, err);
        return (S_ISDIR(r->m.mode) ? write_dir : write_file)(r, parent_fd, name, err);
}

static int text_member(const json_t *object, const char *key, char *buf, size_t size,
                       struct err *err)
{
        const char *text = json_get_string(object, key);

        if (text != NULL && strlen(text) >= size)
                return err_fail(err, ERR_CORRUPT, 0, "'%s' in the archive's record is too long",
                                key);
        (void)snprintf(buf, size, "%s", text == NULL ? "" : text);
        for (char *c = buf; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = '?';
        return 0;
}

static int read_record(struct reading *r, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        CLEANUP(json_decrefp) json_t *record = NULL;
        struct bundle_facts *facts = &r->u->facts;
        const json_t *version;
        struct err why;

        if (strcmp(r->path, BUNDLE_RECORD) != 0 || !S_ISREG(r->m.mode) || r->m.hard ||
            r->m.size == 0 || r->m.size > BUNDLE_RECORD_MAX)
                return err_fail(err, ERR_CORRUPT, 0,
                                "this is no archive that 'export' made: it does not begin with "
                                "'" BUNDLE_RECORD "'");
        text = malloc(r->m.size);
        if (text == NULL)
                return err_oom(err);
        if (read_content(r, -1, text, err) < 0)
                return -1;
        if (json_parse(text, r->m.size, &record, &why) < 0)
                return err_fail(err, ERR_CORRUPT, 0, "the archive's record is not JSON: %s",
                                why.msg);
        if (json_get_u64(record, "format") != BUNDLE_FORMAT)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the archive is of format %" PRIu64 ", and this sitesnap reads %d",
                                json_get_u64(record, "format"), BUNDLE_FORMAT);
        version = json_object_get(record, "version");
        facts->number = json_get_u64(version, "number");
        memcpy(facts->record, r->m.digest, sizeof(facts->record));
        return text_member(record, "site", facts->site, sizeof(facts->site), err) < 0 ||
                               text_member(record, "engine", facts->engine, sizeof(facts->engine),
                                           err) < 0 ||
                               text_member(version, "label", facts->label, sizeof(facts->label),
                                           err) < 0
                       ? -1
                       : 0;
}

/* Which member the first difference at ${at} is about. */
static int differs(struct unpacking *u, size_t at, struct err *err)
{
        const char *row = u->manifest_text, *path;
        size_t n = 0;

        if (at >= u->manifest_n)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the archive lacks members that its manifest has; nothing was "
                                "imported");
        while (at > 0 && row[at - 1] != '\n')
                at--;
        path = strstr(row + at, "\": \"");
        path = path == NULL ? NULL : strstr(path + 4, "\": \"");
        if (path != NULL)
                n = strcspn(path + 4, "\"\n");
        return err_fail(err, ERR_CORRUPT, 0,
                        "'%.*s' in the archive is not what its manifest says: it was changed after "
                        "it was written; nothing was imported",
                        (int)(n < 300 ? n : 300), path == NULL ? "?" : path + 4);
}

static int compare_manifest(struct reading *r, struct err *err)
{
        struct unpacking *u = r->u;
        size_t at = 0;

        if (fflush(u->manifest) != 0)
                return err_oom(err);
        for (;;) {
                la_ssize_t n = archive_read_data(u->archive, u->buffer, BUFFER_BYTES);

                if (n < 0)
                        return damaged(u, r->path, err);
                if (n == 0)
                        break;
                for (size_t i = 0; i < (size_t)n; i++, at++)
                        if (at >= u->manifest_n || u->buffer[i] != u->manifest_text[at])
                                return differs(u, at, err);
        }
        return at < u->manifest_n ? differs(u, at, err) : 0;
}

/* 1: there is a member; 0: the end. */
static int next_member(struct unpacking *u, struct reading *r, struct err *err)
{
        int status = archive_read_next_header(u->archive, &u->entry);

        *r = (struct reading){ .u = u };
        if (status == ARCHIVE_EOF)
                return 0;
        if (status != ARCHIVE_OK)
                return damaged(u, "a header", err);
        if (++u->members > BUNDLE_MEMBERS_MAX + 2)
                return err_fail(err, ERR_REFUSED, 0, "the archive has more than %d members",
                                BUNDLE_MEMBERS_MAX);
        return take_entry(r, err) < 0 ? -1 : 1;
}

static int begin(struct unpacking *u, struct err *err)
{
        u->archive = archive_read_new();
        u->manifest = open_memstream(&u->manifest_text, &u->manifest_n);
        u->buffer = malloc(BUFFER_BYTES);
        if (u->archive == NULL || u->manifest == NULL || u->buffer == NULL)
                return err_oom(err);
        if (archive_read_support_filter_zstd(u->archive) != ARCHIVE_OK ||
            archive_read_support_format_tar(u->archive) != ARCHIVE_OK)
                return err_fail(err, ERR_UNSUPPORTED, 0, "this libarchive reads no tar with zstd");
        if (archive_read_open_fd(u->archive, u->unpack->in_fd, BUFFER_BYTES) != ARCHIVE_OK)
                return damaged(u, "its beginning", err);
        return 0;
}

static int finish_dirs(struct unpacking *u, struct err *err)
{
        for (size_t i = u->n_late; i-- > 0;) {
                const struct late *late = &u->late[i];
                const struct timespec times[2] = { late->mtime, late->mtime };
                CLEANUP(closep) int fd = -1;

                if (safepath_open(u->unpack->dir_fd, late->path, O_RDONLY | O_DIRECTORY, &fd, err) <
                    0)
                        return -1;
                if (fchmod(fd, late->mode) < 0 || futimens(fd, times) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set mode and time of '%s'",
                                        late->path);
        }
        return 0;
}

static int take_all(struct unpacking *u, struct err *err)
{
        struct reading r;
        int more;

        while ((more = next_member(u, &r, err)) > 0 && strcmp(r.path, BUNDLE_MANIFEST) != 0) {
                if (sort_member(&r, err) < 0 ||
                    (r.kept                           ? write_member(&r, err)
                     : S_ISREG(r.m.mode) && !r.m.hard ? read_content(&r, -1, NULL, err)
                                                      : 0) < 0)
                        return -1;
                bundle_manifest_row(u->manifest, &r.m);
        }
        if (more < 0)
                return -1;
        if (more == 0)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the archive ends before its manifest; nothing was imported");
        if (compare_manifest(&r, err) < 0)
                return -1;
        more = next_member(u, &r, err);
        if (more < 0)
                return -1;
        return more > 0 ? refuse(&r, "comes after the manifest", err) : finish_dirs(u, err);
}

int bundle_unpack(const struct bundle_unpack *unpack, struct bundle_facts *ret_facts,
                  struct err *err)
{
        struct unpacking u = { .unpack = unpack };
        struct reading r;
        int ret = begin(&u, err);

        if (ret == 0)
                ret = next_member(&u, &r, err);
        if (ret == 0)
                ret = err_fail(err, ERR_CORRUPT, 0, "the archive is empty");
        else if (ret > 0)
                ret = read_record(&r, err);
        if (ret == 0 && unpack->dir_fd >= 0) {
                bundle_manifest_row(u.manifest, &r.m);
                ret = take_all(&u, err);
        }
        if (ret == 0)
                *ret_facts = u.facts;
        unpacking_done(&u);
        return ret;
}
