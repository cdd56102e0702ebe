/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/cleanup.h"
#include "fsdrivers/treexattr.h"

#define LINK_MAX_LEN 32
#define SMALL        1024

/* The list of names, and one value: on the stack as long as they are short, which is nearly
 * always. */
struct bytes {
        char small[SMALL];
        char *big; /* NULL as long as small is enough */
        size_t n;
};

static void bytes_done(struct bytes *b)
{
        free(b->big);
}

static const char *bytes_data(const struct bytes *b)
{
        return b->big != NULL ? b->big : b->small;
}

/* f*xattr(2) refuse O_PATH descriptors; the link in /proc leads to the very inode, also when it
 * is a symlink (Linux 6.13 has getxattrat for this). */
static void fd_link(int fd, char link[static LINK_MAX_LEN])
{
        (void)snprintf(link, LINK_MAX_LEN, "/proc/self/fd/%d", fd);
}

/* The list (name is NULL) or a value.  An attribute that went away meanwhile is ENODATA in errno
 * and -1 without err: the caller decides. */
static ssize_t get(const char *link, const char *name, char *data, size_t room)
{
        return name == NULL ? listxattr(link, data, room) : getxattr(link, name, data, room);
}

/* The list or value, however long. That there is none (any more) is no failure. */
static int bytes_get(struct bytes *b, const char *link, const char *name, bool *ret_there,
                     struct err *err)
{
        ssize_t n = get(link, name, b->small, sizeof(b->small));

        if (n < 0 && errno == ERANGE) {
                size_t room = name == NULL ? XATTR_LIST_MAX : XATTR_SIZE_MAX;

                if (b->big == NULL && (b->big = malloc(XATTR_SIZE_MAX)) == NULL)
                        return err_oom(err);
                n = get(link, name, b->big, room);
        } else {
                free(b->big);
                b->big = NULL;
        }
        *ret_there = n >= 0;
        b->n = n < 0 ? 0 : (size_t)n;
        if (n >= 0 || errno == ENODATA || errno == EOPNOTSUPP)
                return 0;
        return err_fail(err, ERR_IO, errno, "cannot read the extended attribute%s%s",
                        name == NULL ? "s" : " ", name == NULL ? "" : name);
}

/* The list is names with a NUL behind each; NULL begins and ends it. */
static const char *next_name(const struct bytes *list, const char *name)
{
        if (name == NULL)
                name = bytes_data(list);
        else
                name += strlen(name) + 1;
        return name < bytes_data(list) + list->n ? name : NULL;
}

static bool has_prefix(const char *name, const char *prefix)
{
        return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_left_out(const char *name)
{
        return strcmp(name, "security.capability") == 0 || has_prefix(name, "trusted.overlay.");
}

static bool is_acl(const char *name)
{
        return has_prefix(name, "system.posix_acl_");
}

/* Lists have a handful of names. */
static bool has_name(const struct bytes *list, const char *wanted)
{
        for (const char *name = next_name(list, NULL); name != NULL; name = next_name(list, name))
                if (strcmp(name, wanted) == 0)
                        return true;
        return false;
}

/* What the copy has and the source has not, from an earlier run or from the default ACL of the
 * directory it was made in. */
static int remove_surplus(const struct bytes *wanted, const char *link, struct err *err)
{
        CLEANUP(bytes_done) struct bytes list = { .n = 0 };
        bool there;

        if (bytes_get(&list, link, NULL, &there, err) < 0)
                return -1;
        for (const char *name = next_name(&list, NULL); name; name = next_name(&list, name)) {
                if (has_prefix(name, "security.") || has_prefix(name, "btrfs."))
                        continue;
                if (!has_name(wanted, name) && removexattr(link, name) < 0 && errno != ENODATA)
                        return err_fail(err, ERR_IO, errno,
                                        "cannot remove the extended attribute %s", name);
        }
        return 0;
}

int treexattr_copy(int src_fd, int dst_fd, bool fresh, unsigned *ret_lost, struct err *err)
{
        CLEANUP(bytes_done) struct bytes list = { .n = 0 }, value = { .n = 0 };
        char src[LINK_MAX_LEN], dst[LINK_MAX_LEN];
        unsigned lost = 0;
        bool there;

        fd_link(src_fd, src);
        fd_link(dst_fd, dst);
        if (bytes_get(&list, src, NULL, &there, err) < 0)
                return -1;
        if (!fresh && remove_surplus(&list, dst, err) < 0)
                return -1;
        for (const char *name = next_name(&list, NULL); name; name = next_name(&list, name)) {
                if (is_left_out(name)) {
                        lost |= name[0] == 's' ? TREEXATTR_LOST_CAPABILITY : 0;
                        continue;
                }
                if (bytes_get(&value, src, name, &there, err) < 0)
                        return -1;
                if (!there || setxattr(dst, name, bytes_data(&value), value.n, 0) == 0)
                        continue;
                if (errno != EOPNOTSUPP && errno != E2BIG && errno != ERANGE && errno != EPERM)
                        return err_fail(err, ERR_IO, errno, "cannot set the extended attribute %s",
                                        name);
                /* A property of btrfs (compression) is a hint, not content. */
                lost |= has_prefix(name, "btrfs.") ? 0 : TREEXATTR_LOST_UNSUPPORTED;
        }
        *ret_lost = lost;
        return 0;
}

/* Is each attribute of a in b with the same value?  Says which kind is not. */
static int find_missing(const struct bytes *list, const char *a, const char *b, bool *xattrs,
                        bool *acl, struct err *err)
{
        CLEANUP(bytes_done) struct bytes in_a = { .n = 0 }, in_b = { .n = 0 };

        for (const char *name = next_name(list, NULL); name; name = next_name(list, name)) {
                bool a_there, b_there;

                if (is_left_out(name))
                        continue;
                if (bytes_get(&in_a, a, name, &a_there, err) < 0 ||
                    bytes_get(&in_b, b, name, &b_there, err) < 0)
                        return -1;
                if (a_there == b_there && in_a.n == in_b.n &&
                    memcmp(bytes_data(&in_a), bytes_data(&in_b), in_a.n) == 0)
                        continue;
                *xattrs = true;
                *acl = *acl || is_acl(name);
        }
        return 0;
}

int treexattr_diff(int a_fd, int b_fd, bool *ret_xattrs, bool *ret_acl, struct err *err)
{
        CLEANUP(bytes_done) struct bytes a_list = { .n = 0 }, b_list = { .n = 0 };
        char a[LINK_MAX_LEN], b[LINK_MAX_LEN];
        bool there, xattrs = false, acl = false;

        fd_link(a_fd, a);
        fd_link(b_fd, b);
        if (bytes_get(&a_list, a, NULL, &there, err) < 0 ||
            bytes_get(&b_list, b, NULL, &there, err) < 0)
                return -1;
        if (find_missing(&a_list, a, b, &xattrs, &acl, err) < 0 ||
            find_missing(&b_list, b, a, &xattrs, &acl, err) < 0)
                return -1;
        *ret_xattrs = xattrs;
        *ret_acl = acl;
        return 0;
}
