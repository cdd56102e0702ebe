/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BUNDLE_H
#define SNAPD_BUNDLE_H

/*
 * Bundles: one version of a site as one file, a tar archive (pax) compressed with zstd.
 *
 *   record.json        what the version is and how it came to be; always first
 *   tree/...           its files
 *   shared/...         what all versions share, where that was asked for
 *   database/00000000  the database's dump, in pieces
 *   manifest.json      a line for each member before it, with everything that was kept of it and
 *                      the SHA-256 of its content; always last
 *
 * Kept of a member are its type (file, directory, symlink, hard link), permissions, time of change
 * and attributes user.*.  Owners, setuid and the like are not: what is imported belongs to the
 * site's user.
 *
 * Reading one is reading a stranger's bytes: libarchive sees them only in a process that is the
 * site's user and sees a directory that is made for it (bundle_child.h).  The reader makes the
 * manifest anew of what it reads, and compares: nobody parses the one that came along.
 *
 * Both ends apply the same policy: what the reader refuses, the writer leaves out and names.
 * Reader and writer are the module "archive" (snapd/module.h).
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/error.h"
#include "dbdump/dbdriver.h"

#define BUNDLE_FORMAT       1
#define BUNDLE_RECORD       "record.json"
#define BUNDLE_MANIFEST     "manifest.json"
#define BUNDLE_TREE         "tree"
#define BUNDLE_SHARED       "shared"
#define BUNDLE_DATABASE     "database"
#define BUNDLE_MEMBERS_MAX  1000000
#define BUNDLE_RECORD_MAX   (8U << 20)
#define BUNDLE_DEPTH_MAX    64
#define BUNDLE_DIGEST_BYTES 32

/* bundle_path_check(path, err): May a member have this name?  ERR_REFUSED says why not: absolute,
 * with '.' or '..', with control characters, or too long or deep. */
int bundle_path_check(const char *path, struct err *err) MUST_CHECK;

/* bundle_link_check(path, target, err): Does the symlink ${path}, two or more components, lead to a
 * place inside its first component, by its text?  ERR_REFUSED. */
int bundle_link_check(const char *path, const char *target, struct err *err) MUST_CHECK;

/* bundle_xattr_check(name): Is the attribute one that a member may have? */
bool bundle_xattr_check(const char *name);

/* A member as the manifest has it. */
struct bundle_member {
        const char *path;
        mode_t mode;        /* S_IFREG, S_IFDIR, S_IFLNK and 0777 */
        bool hard;          /* a second name of ${target} */
        const char *target; /* of a symlink or a second name, else NULL */
        struct timespec mtime;
        uint64_t size;
        unsigned char digest[BUNDLE_DIGEST_BYTES]; /* of a file's content */
        unsigned char xattrs[BUNDLE_DIGEST_BYTES]; /* of each attribute, one xor the other */
};

/* bundle_manifest_row(out, member): The line of ${member}, the same for the same member. */
void bundle_manifest_row(FILE *out, const struct bundle_member *member);

/* Writing. */
struct bundle_tree {
        const char *prefix; /* "tree", "shared/uploads" */
        int dir_fd;
};
struct bundle_pack {
        int out_fd;
        const char *record; /* JSON */
        const struct bundle_tree *trees;
        size_t n_trees;
        int (*dump)(db_sink sink, void *sink_arg, void *arg, struct err *err); /* or NULL */
        int (*progress)(uint64_t bytes, void *arg, struct err *err);           /* -1 stops */
        void (*left_out)(const char *path, const char *why, void *arg);
        void *arg;
};
/* bundle_pack(pack, err): After it ${out_fd} has a whole bundle, not synced.  It may be any file
 * that can be written. */
typedef int (*bundle_pack_function)(const struct bundle_pack *pack, struct err *err);
int bundle_pack(const struct bundle_pack *pack, struct err *err) MUST_CHECK;

/* What is known of a bundle after a look at its first member. */
struct bundle_facts {
        char site[64], label[256], engine[32];
        uint64_t number;
        unsigned char record[BUNDLE_DIGEST_BYTES]; /* the digest of record.json */
};

/* Reading. */
struct bundle_unpack {
        int in_fd;
        int dir_fd;         /* -1: only look at the first member */
        uint64_t bytes_max; /* that may be written, directories and names counted */
        int (*progress)(uint64_t bytes, void *arg, struct err *err); /* or NULL; -1 stops */
        void *arg;
};
/* bundle_unpack(unpack, ret_facts, err): After it "tree" and "database" of the bundle lie in
 * ${dir_fd}, are what the manifest says, and belong to who runs this; shared directories were read
 * and compared, and are not written.  ERR_REFUSED: a member that the policy has no place for;
 * ERR_CORRUPT: not a bundle, or not as it was written; ERR_NO_SPACE: more than ${bytes_max};
 * ERR_UNSUPPORTED: of a later format.  All of them name the member.  What was written before a
 * failure is left. */
typedef int (*bundle_unpack_function)(const struct bundle_unpack *unpack,
                                      struct bundle_facts *ret_facts, struct err *err);
int bundle_unpack(const struct bundle_unpack *unpack, struct bundle_facts *ret_facts,
                  struct err *err) MUST_CHECK;

#endif
