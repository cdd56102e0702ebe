/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/safepath.h"
#include "snapd/bundle.h"

#define NAME_BYTES_MAX 255

int bundle_path_check(const char *path, struct err *err)
{
        struct err why;
        size_t depth = 0;

        if (safepath_valid(path, &why) < 0)
                return err_fail(err, ERR_REFUSED, 0, "%s", why.msg);
        for (const char *at = path; *at != '\0'; depth++) {
                size_t n = strcspn(at, "/");

                if (n > NAME_BYTES_MAX)
                        return err_fail(err, ERR_REFUSED, 0, "'%s' has a name that is too long",
                                        path);
                at += n + (at[n] == '/');
        }
        if (depth > BUNDLE_DEPTH_MAX)
                return err_fail(err, ERR_REFUSED, 0, "'%s' is nested deeper than %d", path,
                                BUNDLE_DEPTH_MAX);
        return 0;
}

int bundle_link_check(const char *path, const char *target, struct err *err)
{
        long depth = -1; /* below the first component, of the link's directory */
        bool down = false;

        for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
                depth++;
        if (target[0] == '\0' || target[0] == '/')
                depth = -1;
        for (const char *at = target; depth >= 0 && *at != '\0';) {
                size_t n = strcspn(at, "/");

                /* Behind a name '..' may be anywhere: the name may be a link, too. */
                if (n == 2 && strncmp(at, "..", 2) == 0)
                        depth = down ? -1 : depth - 1;
                else if (n > 0 && !(n == 1 && at[0] == '.'))
                        down = true;
                at += n + (at[n] == '/');
        }
        if (depth < 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is a symbolic link that leads out of the tree", path);
        for (const unsigned char *c = (const unsigned char *)target; *c != '\0'; c++)
                if (*c < 0x20 || *c == 0x7f)
                        return err_fail(err, ERR_REFUSED, 0,
                                        "'%s' is a symbolic link with a control character", path);
        return 0;
}

/* user.overlay.* are marks that an overlay would believe. */
bool bundle_xattr_check(const char *name)
{
        return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

static void put_hex(FILE *out, const void *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                (void)fprintf(out, "%02x", ((const unsigned char *)bytes)[i]);
}

/* Not every name is UTF-8, which JSON has only: of one that is not, the bytes are told. */
static void put_text(FILE *out, const char *key, const char *text)
{
        json_t *string = json_string(text);

        (void)fprintf(out, ", \"%s%s\": ", key, string == NULL ? "_hex" : "");
        if (string != NULL) {
                (void)json_dumpf(string, out, JSON_ENCODE_ANY);
        } else {
                (void)fputc('"', out);
                put_hex(out, text, strlen(text));
                (void)fputc('"', out);
        }
        json_decref(string);
}

void bundle_manifest_row(FILE *out, const struct bundle_member *member)
{
        static const unsigned char none[BUNDLE_DIGEST_BYTES];
        const char *type = member->hard            ? "hard link"
                           : S_ISDIR(member->mode) ? "directory"
                           : S_ISLNK(member->mode) ? "symlink"
                                                   : "file";

        (void)fprintf(out, "{\"type\": \"%s\"", type);
        put_text(out, "path", member->path);
        if (member->target != NULL)
                put_text(out, "target", member->target);
        if (!member->hard && !S_ISLNK(member->mode))
                (void)fprintf(out, ", \"mode\": \"%04o\"", member->mode & 0777);
        if (!member->hard)
                (void)fprintf(out, ", \"mtime\": \"%" PRId64 ".%09ld\"",
                              (int64_t)member->mtime.tv_sec, member->mtime.tv_nsec);
        if (strcmp(type, "file") == 0) {
                (void)fprintf(out, ", \"size\": %" PRIu64 ", \"sha256\": \"", member->size);
                put_hex(out, member->digest, sizeof(member->digest));
                (void)fputc('"', out);
        }
        if (memcmp(member->xattrs, none, sizeof(none)) != 0) {
                (void)fputs(", \"xattrs\": \"", out);
                put_hex(out, member->xattrs, sizeof(member->xattrs));
                (void)fputc('"', out);
        }
        (void)fputs("}\n", out);
}
