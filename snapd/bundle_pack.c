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

#include "fsdrivers/tree.h"
#include "fsdrivers/treelinks.h"
#include "snapd/bundle_digest.h"

#define PIECE_BYTES    (4U << 20) /* of a dump */
#define BUFFER_BYTES   (256U << 10)
#define XATTR_LIST_MAX 65536
#define XATTR_MAX      65536
#define LEVEL          "3" /* of zstd: as quick as a disk */

struct packing {
        const struct bundle_pack *pack;
        struct archive *archive;
        EVP_MD_CTX *digest;
        FILE *manifest;
        char *manifest_text;
        size_t manifest_n;
        char *buffer;
        uint64_t bytes, members;
        unsigned char *piece; /* of the dump */
        size_t piece_n;
        unsigned pieces;
};

/* Where the walk is. */
struct place {
        struct packing *p;
        const char *prefix, *path;
        int dir_fd;
        struct tree_todo *todo;
        struct treelinks *links;
};

static void packing_done(struct packing *p)
{
        if (p->archive != NULL)
                (void)archive_write_free(p->archive);
        if (p->manifest != NULL)
                (void)fclose(p->manifest);
        EVP_MD_CTX_free(p->digest);
        free(p->manifest_text);
        free(p->buffer);
        free(p->piece);
}

static int archive_failed(struct packing *p, struct err *err)
{
        int os = archive_errno(p->archive);
        const char *text = archive_error_string(p->archive);

        return err_fail(err, os == ENOSPC || os == EDQUOT ? ERR_NO_SPACE : ERR_IO,
                        os > 0 && os < 4096 ? os : 0, "cannot write the archive%s%s",
                        text == NULL ? "" : ": ", text == NULL ? "" : text);
}

static void leave_out(struct packing *p, const char *path, const char *why)
{
        p->pack->left_out(path, why, p->pack->arg);
}

static int begin_member(struct packing *p, const struct bundle_member *member,
                        struct archive_entry *entry, struct err *err)
{
        if (++p->members > BUNDLE_MEMBERS_MAX)
                return err_fail(err, ERR_REFUSED, 0, "there are more than %d files",
                                BUNDLE_MEMBERS_MAX);
        archive_entry_copy_pathname(entry, member->path);
        archive_entry_set_mode(entry, (member->mode & S_IFMT) | (member->mode & 0777));
        if (member->hard)
                archive_entry_copy_hardlink(entry, member->target);
        else if (member->target != NULL)
                archive_entry_copy_symlink(entry, member->target);
        archive_entry_set_mtime(entry, member->mtime.tv_sec, member->mtime.tv_nsec);
        archive_entry_set_size(entry,
                               S_ISREG(member->mode) && !member->hard ? (int64_t)member->size : 0);
        return archive_write_header(p->archive, entry) < ARCHIVE_WARN ? archive_failed(p, err) : 0;
}

static int write_data(struct packing *p, const void *bytes, size_t n, struct err *err)
{
        const char *at = bytes;

        if (bundle_digest_add(p->digest, bytes, n, err) < 0)
                return -1;
        while (n > 0) {
                la_ssize_t done = archive_write_data(p->archive, at, n);

                if (done <= 0)
                        return archive_failed(p, err);
                at += done;
                n -= (size_t)done;
                p->bytes += (uint64_t)done;
        }
        return p->pack->progress(p->bytes, p->pack->arg, err);
}

static int end_member(struct packing *p, const struct bundle_member *member, struct err *err)
{
        bundle_manifest_row(p->manifest, member);
        if (ferror(p->manifest))
                return err_oom(err);
        return archive_write_finish_entry(p->archive) < ARCHIVE_WARN ? archive_failed(p, err) : 0;
}

/* A member that is made here and not found. */
static int pack_bytes(struct packing *p, const char *path, const void *bytes, size_t n,
                      struct err *err)
{
        struct archive_entry *entry = archive_entry_new();
        struct bundle_member member = { .path = path, .mode = S_IFREG | 0600, .size = n };
        int r = entry == NULL ? err_oom(err) : begin_member(p, &member, entry, err);

        archive_entry_free(entry);
        if (r < 0 || bundle_digest_begin(&p->digest, err) < 0 || write_data(p, bytes, n, err) < 0 ||
            bundle_digest_end(p->digest, member.digest, err) < 0)
                return -1;
        return end_member(p, &member, err);
}

/* What cannot be read is not there: it was removed, or the file system has none. */
static int take_xattrs(struct packing *p, int fd, struct bundle_member *member,
                       struct archive_entry *entry, struct err *err)
{
        CLEANUP(freep) char *names = malloc(XATTR_LIST_MAX);
        ssize_t n;

        (void)p;
        if (names == NULL)
                return err_oom(err);
        n = flistxattr(fd, names, XATTR_LIST_MAX);
        for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
                CLEANUP(freep) char *value = NULL;
                ssize_t size;

                if (!bundle_xattr_check(name))
                        continue;
                value = malloc(XATTR_MAX);
                if (value == NULL)
                        return err_oom(err);
                size = fgetxattr(fd, name, value, XATTR_MAX);
                if (size < 0)
                        continue;
                archive_entry_xattr_add_entry(entry, name, value, (size_t)size);
                if (bundle_digest_xattr(name, value, (size_t)size, member->xattrs, err) < 0)
                        return -1;
        }
        return 0;
}

/* The header has said how much comes: of a file that shrinks meanwhile the rest is zeros, and of
 * one that grows the rest is not taken. */
static int take_content(struct packing *p, int fd, struct bundle_member *member, struct err *err)
{
        uint64_t left = member->size;
        bool torn = false;

        if (bundle_digest_begin(&p->digest, err) < 0)
                return -1;
        while (left > 0) {
                size_t want = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
                ssize_t n = torn ? 0 : read(fd, p->buffer, want);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_fail(err, ERR_IO, errno, "cannot read '%s'", member->path);
                if (n == 0) {
                        torn = true;
                        memset(p->buffer, 0, want);
                        n = (ssize_t)want;
                }
                if (write_data(p, p->buffer, (size_t)n, err) < 0)
                        return -1;
                left -= (uint64_t)n;
        }
        if (torn)
                leave_out(p, member->path, "was cut short while it was read; the rest is zeros");
        return bundle_digest_end(p->digest, member->digest, err);
}

static int pack_regular(struct place *here, const char *name, const char *path, struct err *err)
{
        struct packing *p = here->p;
        struct archive_entry *entry;
        struct bundle_member member = { .path = path };
        CLEANUP(closep) int fd = -1;
        struct treelink *first;
        struct statx stx;
        struct stat st;
        int r = 0;

        if (tree_open_file(here->dir_fd, name, &fd, &st, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        member.mode = S_IFREG | (st.st_mode & 0777);
        member.mtime = st.st_mtim;
        member.size = (uint64_t)st.st_size;
        if (st.st_nlink > 1) {
                if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
                first = treelinks_find(here->links, &stx);
                if (first == NULL && treelinks_add(here->links, &stx, path, err) < 0)
                        return -1;
                member.hard = first != NULL;
                member.target = first == NULL ? NULL : first->path;
        }
        entry = archive_entry_new();
        if (entry == NULL)
                return err_oom(err);
        if (!member.hard)
                r = take_xattrs(p, fd, &member, entry, err);
        if (r == 0)
                r = begin_member(p, &member, entry, err);
        archive_entry_free(entry);
        if (r < 0 || (!member.hard && take_content(p, fd, &member, err) < 0))
                return -1;
        return end_member(p, &member, err);
}

static int pack_link(struct place *here, const char *name, const char *path, const struct stat *st,
                     struct err *err)
{
        CLEANUP(freep) char *target = NULL;
        struct bundle_member member = { .path = path,
                                        .mode = S_IFLNK | 0777,
                                        .mtime = st->st_mtim };
        struct archive_entry *entry;
        struct err why;
        int r;

        if (tree_readlink(here->dir_fd, name, &target, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (bundle_link_check(path, target, &why) < 0) {
                leave_out(here->p, path, "is a symbolic link that leads out of the tree");
                return 0;
        }
        member.target = target;
        entry = archive_entry_new();
        if (entry == NULL)
                return err_oom(err);
        r = begin_member(here->p, &member, entry, err);
        archive_entry_free(entry);
        return r < 0 ? -1 : end_member(here->p, &member, err);
}

static int pack_name(const char *name, void *arg, struct err *err)
{
        struct place *here = arg;
        CLEANUP(freep) char *below = tree_join(here->path, name);
        CLEANUP(freep) char *path = below == NULL ? NULL : tree_join(here->prefix, below);
        struct stat st;
        struct err why;

        if (path == NULL)
                return err_oom(err);
        if (fstatat(here->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (bundle_path_check(path, &why) < 0) {
                leave_out(here->p, path,
                          "has a name that is too long, too deep, or has control "
                          "characters");
                return 0;
        }
        if (st.st_mode & 07000 && !S_ISLNK(st.st_mode))
                leave_out(here->p, path, "loses its setuid, setgid or sticky bit");
        if (S_ISDIR(st.st_mode))
                return tree_todo_push(here->todo, STEAL(below), 0, err);
        if (S_ISREG(st.st_mode))
                return pack_regular(here, name, path, err);
        if (S_ISLNK(st.st_mode))
                return pack_link(here, name, path, &st, err);
        leave_out(here->p, path, "is neither a file nor a directory nor a symbolic link");
        return 0;
}

static int pack_dir(struct place *here, struct err *err)
{
        CLEANUP(freep)
        char *path =
                here->path[0] == '\0' ? strdup(here->prefix) : tree_join(here->prefix, here->path);
        struct bundle_member member = { .path = path };
        struct archive_entry *entry;
        struct stat st;
        int r;

        if (path == NULL)
                return err_oom(err);
        if (fstat(here->dir_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        member.mode = S_IFDIR | (st.st_mode & 0777);
        member.mtime = st.st_mtim;
        entry = archive_entry_new();
        if (entry == NULL)
                return err_oom(err);
        r = take_xattrs(here->p, here->dir_fd, &member, entry, err);
        if (r == 0)
                r = begin_member(here->p, &member, entry, err);
        archive_entry_free(entry);
        if (r < 0 || end_member(here->p, &member, err) < 0)
                return -1;
        return tree_each(here->dir_fd, pack_name, here, err);
}

static int pack_tree(struct packing *p, const struct bundle_tree *tree, struct err *err)
{
        struct tree_todo todo = { 0 };
        struct treelinks links = { 0 };
        int r = tree_todo_push(&todo, strdup(""), 0, err), mark;
        char *path;

        while (r == 0 && (path = tree_todo_pop(&todo, &mark)) != NULL) {
                struct place here = { p, tree->prefix, path, -1, &todo, &links };

                r = tree_open(tree->dir_fd, path, &here.dir_fd, err);
                if (r == 0) {
                        r = pack_dir(&here, err);
                        closep(&here.dir_fd);
                } else if (path[0] != '\0' &&
                           (err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED)) {
                        leave_out(p, path, "was changed or is another mount");
                        r = 0;
                }
                free(path);
        }
        tree_todo_done(&todo);
        treelinks_done(&links);
        return r;
}

static int flush_piece(struct packing *p, struct err *err)
{
        char path[64];

        (void)snprintf(path, sizeof(path), BUNDLE_DATABASE "/%08u", p->pieces++);
        if (pack_bytes(p, path, p->piece, p->piece_n, err) < 0)
                return -1;
        p->piece_n = 0;
        return 0;
}

/* How long a dump is nobody knows before its end, and a member's length comes first. */
static int on_dump(const void *bytes, size_t size, void *arg, struct err *err)
{
        struct packing *p = arg;
        const unsigned char *at = bytes;

        while (size > 0) {
                size_t n = PIECE_BYTES - p->piece_n;

                n = n < size ? n : size;
                memcpy(p->piece + p->piece_n, at, n);
                p->piece_n += n;
                at += n;
                size -= n;
                if (p->piece_n == PIECE_BYTES && flush_piece(p, err) < 0)
                        return -1;
        }
        return 0;
}

static int pack_database(struct packing *p, struct err *err)
{
        p->piece = malloc(PIECE_BYTES);
        if (p->piece == NULL)
                return err_oom(err);
        if (p->pack->dump(on_dump, p, p->pack->arg, err) < 0)
                return err_wrap(err, "dumping the database");
        return flush_piece(p, err);
}

static int begin(struct packing *p, struct err *err)
{
        p->archive = archive_write_new();
        p->manifest = open_memstream(&p->manifest_text, &p->manifest_n);
        p->buffer = malloc(BUFFER_BYTES);
        if (p->archive == NULL || p->manifest == NULL || p->buffer == NULL)
                return err_oom(err);
        /* Names are bytes: one that is not ASCII, in no locale, gets a header that says so. */
        if (archive_write_set_format_pax(p->archive) != ARCHIVE_OK ||
            archive_write_set_format_option(p->archive, "pax", "xattrheader", "SCHILY") !=
                    ARCHIVE_OK ||
            archive_write_add_filter_zstd(p->archive) != ARCHIVE_OK ||
            archive_write_set_filter_option(p->archive, "zstd", "compression-level", LEVEL) !=
                    ARCHIVE_OK ||
            archive_write_open_fd(p->archive, p->pack->out_fd) != ARCHIVE_OK)
                return archive_failed(p, err);
        return 0;
}

static int make(struct packing *p, struct err *err)
{
        const struct bundle_pack *pack = p->pack;

        if (begin(p, err) < 0 ||
            pack_bytes(p, BUNDLE_RECORD, pack->record, strlen(pack->record), err) < 0)
                return -1;
        for (size_t i = 0; i < pack->n_trees; i++)
                if (pack_tree(p, &pack->trees[i], err) < 0)
                        return -1;
        if (pack->dump != NULL && pack_database(p, err) < 0)
                return -1;
        if (fflush(p->manifest) != 0)
                return err_oom(err);
        if (pack_bytes(p, BUNDLE_MANIFEST, p->manifest_text, p->manifest_n, err) < 0)
                return -1;
        return archive_write_close(p->archive) != ARCHIVE_OK ? archive_failed(p, err) : 0;
}

int bundle_pack(const struct bundle_pack *pack, struct err *err)
{
        struct packing p = { .pack = pack };
        int r = make(&p, err);

        packing_done(&p);
        return r;
}
