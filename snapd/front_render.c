/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/front.h"

static const char *const dirs[] = { [FRONT_LINK] = "link", [FRONT_FROM] = "from" };

static bool is_known(const struct front_passes *passes, enum front_kind kind, const char *name)
{
        for (size_t i = 0; i < passes->n; i++)
                if (passes->items[i].kind == kind && strcmp(passes->items[i].name, name) == 0)
                        return true;
        return false;
}

/* What is not in the catalog goes first: a link that was taken back must not lead anywhere because
 * something else could not be written. */
static int drop_others(int dir_fd, const struct front_passes *passes, enum front_kind kind,
                       struct err *err)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (dir == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read 'front/%s'", dirs[kind]);
        while ((entry = readdir(dir)) != NULL)
                if (entry->d_name[0] != '.' && !is_known(passes, kind, entry->d_name) &&
                    unlinkat(dir_fd, entry->d_name, 0) < 0 && errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot remove 'front/%s/%s'",
                                        dirs[kind], entry->d_name);
        return 0;
}

/* The web server looks a name up and cannot list them: who knows a token has it from us. */
static int render_passes(int front_fd, const struct front_passes *passes, enum front_kind kind,
                         struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;

        if (safepath_mkdirs(front_fd, dirs[kind], 0711, 0, 0, &dir_fd, err) < 0 ||
            drop_others(dir_fd, passes, kind, err) < 0)
                return -1;
        for (size_t i = 0; i < passes->n; i++) {
                char target[48];

                if (passes->items[i].kind != kind)
                        continue;
                (void)snprintf(target, sizeof(target), "../../versions/%" PRIu64,
                               passes->items[i].version);
                if (file_link_replace(dir_fd, passes->items[i].name, target, err) < 0)
                        return -1;
        }
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

int front_render(struct catalog *catalog, const char *site, int home_fd, struct err *err)
{
        CLEANUP(closep) int front_fd = -1;
        struct front_temporary temporary = { 0 };
        struct front_passes passes;
        int has = front_temporary(catalog, site, &temporary, err), ret;

        if (has < 0 || front_passes(catalog, site, &passes, err) < 0)
                return -1;
        ret = safepath_mkdirs(home_fd, "front", 0755, 0, 0, &front_fd, err);
        if (ret == 0)
                ret = render_passes(front_fd, &passes, FRONT_LINK, err);
        if (ret == 0)
                ret = render_passes(front_fd, &passes, FRONT_FROM, err);
        if (ret == 0)
                ret = render_mode(front_fd, has ? &temporary : NULL, err);
        front_passes_done(&passes);
        return ret < 0 ? err_wrap(err, "'front' of '%s'", site) : 0;
}

void front_clear(int home_fd)
{
        struct front_passes none = { 0 };
        CLEANUP(closep) int front_fd = -1;
        struct err err;

        if (safepath_open(home_fd, "front", O_RDONLY | O_DIRECTORY, &front_fd, &err) < 0)
                return;
        for (enum front_kind kind = FRONT_LINK; kind <= FRONT_FROM; kind++) {
                CLEANUP(closep) int dir_fd = -1;

                if (safepath_open(front_fd, dirs[kind], O_RDONLY | O_DIRECTORY, &dir_fd, &err) ==
                            0 &&
                    drop_others(dir_fd, &none, kind, &err) == 0)
                        (void)unlinkat(front_fd, dirs[kind], AT_REMOVEDIR);
        }
        for (enum front_mode mode = FRONT_OPEN; mode < FRONT_MODES; mode++)
                (void)unlinkat(front_fd, front_mode_name(mode), 0);
        (void)unlinkat(home_fd, "front", AT_REMOVEDIR);
}
