/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/front.h"

enum kind { LINK, FROM, TESTER, STAY, KINDS };

static const char *const dirs[KINDS] = {
        [LINK] = "link", [FROM] = "from", [TESTER] = "tester", [STAY] = "stay"
};

/* What one of the directories has in it. */
struct entry {
        enum kind kind;
        char name[FRONT_NAME_MAX];
        uint64_t version;
};

struct entries {
        struct entry *items;
        size_t n;
};

static bool is_known(const struct entries *entries, enum kind kind, const char *name)
{
        for (size_t i = 0; i < entries->n; i++)
                if (entries->items[i].kind == kind && strcmp(entries->items[i].name, name) == 0)
                        return true;
        return false;
}

/* What is not in the catalog goes first: a link that was taken back must not lead anywhere because
 * something else could not be written. */
static int drop_others(int dir_fd, const struct entries *entries, enum kind kind, struct err *err)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (dir == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read 'front/%s'", dirs[kind]);
        while ((entry = readdir(dir)) != NULL)
                if (entry->d_name[0] != '.' && !is_known(entries, kind, entry->d_name) &&
                    unlinkat(dir_fd, entry->d_name, 0) < 0 && errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot remove 'front/%s/%s'",
                                        dirs[kind], entry->d_name);
        return 0;
}

/* A kind of which nothing is wanted. */
static int drop_kind(int front_fd, enum kind kind, struct err *err)
{
        const struct entries none = { 0 };
        CLEANUP(closep) int dir_fd = -1;

        if (safepath_open(front_fd, dirs[kind], O_RDONLY | O_DIRECTORY, &dir_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (drop_others(dir_fd, &none, kind, err) < 0)
                return -1;
        if (unlinkat(front_fd, dirs[kind], AT_REMOVEDIR) < 0)
                return err_fail(err, ERR_IO, errno, "cannot remove 'front/%s'", dirs[kind]);
        return 0;
}

static int render_entry(int dir_fd, const struct entry *entry, struct err *err)
{
        char target[48];

        if (entry->kind == TESTER)
                return file_replace(dir_fd, entry->name, "", 0, 0644, err);
        (void)snprintf(target, sizeof(target), "../../versions/%" PRIu64, entry->version);
        return file_link_replace(dir_fd, entry->name, target, err);
}

/* The web server looks a name up and cannot list them: who knows a token has it from us. */
static int render_kind(int front_fd, const struct entries *entries, enum kind kind, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;

        if (safepath_mkdirs(front_fd, dirs[kind], 0711, 0, 0, &dir_fd, err) < 0 ||
            drop_others(dir_fd, entries, kind, err) < 0)
                return -1;
        for (size_t i = 0; i < entries->n; i++)
                if (entries->items[i].kind == kind &&
                    render_entry(dir_fd, &entries->items[i], err) < 0)
                        return -1;
        return file_sync_dir(dir_fd, err);
}

/* A file or a link named as the mode; of all others none. */
static int render_mode(int front_fd, const struct front_temporary *temporary, struct err *err)
{
        char target[48];

        for (enum front_mode mode = FRONT_OPEN; mode < FRONT_MODES; mode++)
                if ((temporary == NULL || mode != temporary->mode) &&
                    unlinkat(front_fd, front_mode_name(mode), 0) < 0 && errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot remove 'front/%s'",
                                        front_mode_name(mode));
        if (temporary == NULL || temporary->mode == FRONT_OPEN)
                return file_sync_dir(front_fd, err);
        if (temporary->mode == FRONT_READ_ONLY || temporary->mode == FRONT_CLOSED)
                return file_replace(front_fd, front_mode_name(temporary->mode), "", 0, 0644, err);
        (void)snprintf(target, sizeof(target), "../versions/%" PRIu64, temporary->version);
        return file_link_replace(front_fd, front_mode_name(temporary->mode), target, err);
}

static int entry_add(struct entries *entries, enum kind kind, const char *name, uint64_t version,
                     struct err *err)
{
        struct entry *items = reallocarray(entries->items, entries->n + 1, sizeof(*items));

        if (items == NULL)
                return err_oom(err);
        entries->items = items;
        items[entries->n] = (struct entry){ .kind = kind, .version = version };
        (void)snprintf(items[entries->n++].name, sizeof(items->name), "%s", name);
        return 0;
}

/* The active version is among them before it is left, so that its sessions find it right after the
 * flip. */
static int add_stays(struct catalog *catalog, const struct site *site, struct entries *entries,
                     struct err *err)
{
        struct catalog_site row;
        uint64_t stays[2];
        char name[FRONT_NAME_MAX];
        int ret = 0;

        if (site->front.sticky_sec == 0)
                return 0;
        if (catalog_site(catalog, site->name, &row, err) < 0)
                return -1;
        stays[0] = row.active;
        stays[1] = row.last_good < row.active ? row.last_good : 0;
        catalog_site_done(&row);
        for (size_t i = 0; i < 2 && ret == 0; i++) {
                (void)snprintf(name, sizeof(name), "%" PRIu64, stays[i]);
                if (stays[i] != 0)
                        ret = entry_add(entries, STAY, name, stays[i], err);
        }
        return ret;
}

static int add_passes(struct catalog *catalog, const char *site, struct entries *entries,
                      struct err *err)
{
        struct front_passes passes;
        int ret = 0;

        if (front_passes(catalog, site, &passes, err) < 0)
                return -1;
        for (size_t i = 0; i < passes.n && ret == 0; i++) {
                const struct front_pass *pass = &passes.items[i];

                ret = entry_add(entries, pass->kind == FRONT_LINK ? LINK : FROM, pass->name,
                                pass->version, err);
                if (ret == 0 && pass->kind == FRONT_FROM)
                        ret = entry_add(entries, TESTER, pass->name, pass->version, err);
        }
        front_passes_done(&passes);
        return ret;
}

int front_render(struct catalog *catalog, const struct site *site, int home_fd, struct err *err)
{
        CLEANUP(closep) int front_fd = -1;
        struct front_temporary temporary = { 0 };
        struct entries entries = { 0 };
        int has = front_temporary(catalog, site->name, &temporary, err), ret = has < 0 ? -1 : 0;

        if (ret == 0)
                ret = add_passes(catalog, site->name, &entries, err);
        if (ret == 0)
                ret = add_stays(catalog, site, &entries, err);
        if (ret == 0)
                ret = safepath_mkdirs(home_fd, "front", 0755, 0, 0, &front_fd, err);
        for (enum kind kind = LINK; kind < KINDS && ret == 0; kind++)
                ret = kind == STAY && site->front.sticky_sec == 0
                              ? drop_kind(front_fd, kind, err)
                              : render_kind(front_fd, &entries, kind, err);
        if (ret == 0)
                ret = render_mode(front_fd, has > 0 ? &temporary : NULL, err);
        free(entries.items);
        return ret < 0 ? err_wrap(err, "'front' of '%s'", site->name) : 0;
}

bool front_has_stays(int home_fd)
{
        return faccessat(home_fd, "front/stay", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void front_clear(int home_fd)
{
        CLEANUP(closep) int front_fd = -1;
        struct err err;

        if (safepath_open(home_fd, "front", O_RDONLY | O_DIRECTORY, &front_fd, &err) < 0)
                return;
        for (enum kind kind = LINK; kind < KINDS; kind++)
                (void)!drop_kind(front_fd, kind, &err);
        for (enum front_mode mode = FRONT_OPEN; mode < FRONT_MODES; mode++)
                (void)unlinkat(front_fd, front_mode_name(mode), 0);
        (void)unlinkat(home_fd, "front", AT_REMOVEDIR);
}
