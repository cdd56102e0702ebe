/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/safepath.h"
#include "snapd/lost.h"
#include "snapd/lost_text.h"
#include "snapd/view.h"

#define TEXT_MAX  (24U << 20) /* bytes; an answer has at most 32 MiB, and JSON needs escapes */
#define PATHS_MAX 1000        /* that are listed by name */
#define DEPTH_MAX 64

enum lost_format lost_format_by_name(const char *name)
{
        static const char *const names[] = { [LOST_SQL] = "sql", [LOST_CSV] = "csv" };

        if (name == NULL)
                return LOST_COUNTS;
        for (enum lost_format i = LOST_SQL; i < LOST_FORMATS; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return LOST_FORMATS;
}

/* Rows. */

struct counting {
        const char *engine, *only;
        enum lost_format format;
        json_t *tables; /* by the order in which they come */
        json_t *table;  /* the one that comes now; borrowed */
        FILE *out;
};

static json_t *count_table(struct counting *counting, const struct db_row_change *row)
{
        const char *now = json_string_value(json_object_get(counting->table, "table"));

        if (now != NULL && strcmp(now, row->table) == 0)
                return counting->table;
        counting->table = json_pack("{s:o, s:I, s:I, s:I, s:b}", "table",
                                    view_text(row->table, strlen(row->table), NULL), "inserted",
                                    (json_int_t)0, "changed", (json_int_t)0, "deleted",
                                    (json_int_t)0, "whole", row->whole);
        if (json_array_append_new(counting->tables, counting->table) < 0)
                counting->table = NULL;
        return counting->table;
}

static int count_row(const struct db_row_change *row, void *arg, struct err *err)
{
        static const char *const words[] = { "inserted", "changed", "deleted" };
        struct counting *counting = arg;
        json_t *table, *number;

        if (counting->only != NULL && strcmp(counting->only, row->table) != 0)
                return 0;
        table = count_table(counting, row);
        number = json_object_get(table, words[row->change]);
        if (number == NULL)
                return err_oom(err);
        (void)json_integer_set(number, json_integer_value(number) + 1);
        if (counting->format == LOST_SQL &&
            lost_text_sql(counting->out, counting->engine, row, err) < 0)
                return -1;
        if (counting->format == LOST_CSV)
                lost_text_csv(counting->out, row);
        if (counting->out != NULL && ftell(counting->out) > (long)TEXT_MAX)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the rows of '%s' and before it are more than %u MiB of text: take "
                                "one table at a time with --table, or the counts alone",
                                row->table, TEXT_MAX >> 20);
        return 0;
}

static int compare(struct step_env *env, const char *from, const char *to,
                   struct counting *counting, struct err *err)
{
        struct db *db;

        if (from[0] == '\0' || to[0] == '\0' || strcmp(from, to) == 0)
                return 0;
        if (env_database(env, &db, err) < 0)
                return -1;
        if (env->database_driver->diff == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the driver for %s cannot compare",
                                env->site->database.engine);
        return env->database_driver->diff(db, from, to, count_row, counting, err);
}

static int compare_to_text(struct step_env *env, const char *from, const char *to,
                           struct counting *counting, char **ret_text, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n = 0;
        int ret;

        if (counting->format == LOST_COUNTS)
                return compare(env, from, to, counting, err);
        counting->out = open_memstream(&text, &n);
        if (counting->out == NULL)
                return err_oom(err);
        if (counting->format == LOST_CSV)
                lost_text_csv_head(counting->out);
        ret = compare(env, from, to, counting, err);
        if (fclose(counting->out) != 0 && ret == 0)
                ret = err_oom(err);
        if (ret == 0)
                *ret_text = STEAL(text);
        return ret;
}

/* When they parted: when the first version was made that only one of them comes from. */

static const struct version *find(const struct version_list *list, uint64_t number)
{
        for (size_t i = 0; i < list->n; i++)
                if (list->items[i].number == number)
                        return &list->items[i];
        return NULL;
}

/* Does ${number} come from ${ancestor}, or is it that one?  Of pruned ones nobody knows. */
static bool comes_from(const struct version_list *list, uint64_t number, uint64_t ancestor)
{
        const struct version *at = find(list, number);

        /* Parents have lower numbers, so it ends. */
        while (at != NULL && at->number != ancestor)
                at = at->parent < at->number ? find(list, at->parent) : NULL;
        return at != NULL;
}

static void part_at(const struct version_list *list, uint64_t one, uint64_t other, int64_t *usec)
{
        const struct version *at = find(list, one);

        while (at != NULL && !comes_from(list, other, at->number)) {
                if (*usec == 0 || at->created_usec < *usec)
                        *usec = at->created_usec;
                at = at->parent < at->number ? find(list, at->parent) : NULL;
        }
}

/* Files.  Only their names and times are looked at, beneath descriptors that follow no link. */

struct walk {
        int64_t since_usec;
        uint64_t files, bytes;
        json_t *paths;
        char path[PATH_MAX];
};

/* Take a file down; a directory is opened, to be gone into.  What has gone meanwhile, or has a path
 * that is too long for anybody, is none. */
static int look_at(struct walk *walk, int dir_fd, const char *name)
{
        struct err ignored;
        struct stat st;
        int fd = -1;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -1;
        if (S_ISDIR(st.st_mode))
                return safepath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, &fd, &ignored) == 0 ? fd
                                                                                               : -1;
        if ((int64_t)st.st_ctim.tv_sec * USEC_PER_SEC + st.st_ctim.tv_nsec / 1000 <=
            walk->since_usec)
                return -1;
        walk->files++;
        walk->bytes += (uint64_t)st.st_size;
        if (json_array_size(walk->paths) < PATHS_MAX)
                (void)json_array_append_new(walk->paths,
                                            view_text(walk->path, strlen(walk->path), NULL));
        return -1;
}

static int walk_dir(struct walk *walk, int dir_fd, unsigned depth, struct err *err)
{
        CLEANUP(closep) int own_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        CLEANUP(closedirp) DIR *dir = own_fd < 0 ? NULL : fdopendir(own_fd);
        size_t n = strlen(walk->path);
        struct dirent *entry;

        if (dir == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read '%s'", walk->path);
        (void)steal_fd(&own_fd);
        while ((entry = readdir(dir)) != NULL) {
                CLEANUP(closep) int fd = -1;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                    n + strlen(entry->d_name) + 2 > sizeof(walk->path))
                        continue;
                (void)snprintf(walk->path + n, sizeof(walk->path) - n, "/%s", entry->d_name);
                fd = look_at(walk, dir_fd, entry->d_name);
                if (fd >= 0 && depth < DEPTH_MAX && walk_dir(walk, fd, depth + 1, err) < 0)
                        return -1;
                walk->path[n] = '\0';
        }
        return 0;
}

static int walk_shared(struct step_env *env, struct walk *walk, struct err *err)
{
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        for (size_t i = 0; i < env->site->n_shared; i++) {
                CLEANUP(closep) int fd = -1;
                char path[1100];

                (void)snprintf(path, sizeof(path), "shared/%s", env->site->shared[i]);
                (void)snprintf(walk->path, sizeof(walk->path), "%s", env->site->shared[i]);
                if (safepath_open(home_fd, path, O_RDONLY | O_DIRECTORY, &fd, err) < 0 ||
                    walk_dir(walk, fd, 0, err) < 0)
                        return err_wrap(err, "the shared '%s'", env->site->shared[i]);
        }
        return 0;
}

static int answer(struct step_env *env, const struct version *from, const struct version *to,
                  const struct version_list *versions, struct counting *counting,
                  json_t **ret_answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *paths = json_array();
        CLEANUP(freep) char *text = NULL;
        struct walk walk = { .paths = paths };
        char parted[CLOCK_ISO_MAX];

        part_at(versions, from->number, to->number, &walk.since_usec);
        part_at(versions, to->number, from->number, &walk.since_usec);
        clock_iso(walk.since_usec, true, parted);
        if (compare_to_text(env, from->database, to->database, counting, &text, err) < 0 ||
            walk_shared(env, &walk, err) < 0)
                return -1;
        *ret_answer = json_pack("{s:s, s:I, s:I, s:s, s:O, s:{s:I, s:I, s:O}, s:o?}", "site",
                                env->site->name, "from", (json_int_t)from->number, "to",
                                (json_int_t)to->number, "parted", parted, "tables",
                                counting->tables, "uploads", "files", (json_int_t)walk.files,
                                "bytes", (json_int_t)walk.bytes, "paths", paths, "text",
                                text == NULL ? NULL : view_text(text, strlen(text), NULL));
        return 0;
}

int lost_writes(struct step_env *env, uint64_t from, uint64_t to, const char *table,
                enum lost_format format, json_t **ret_answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *tables = json_array();
        struct counting counting = { .engine = env->site->database.engine,
                                     .only = table,
                                     .format = format,
                                     .tables = tables };
        struct version_list versions = { 0 };
        struct version gone;
        int ret = 0;

        if (catalog_versions(env->catalog, env->site->name, &versions, err) < 0)
                return -1;
        for (int i = 0; i < 2 && ret == 0; i++)
                if (find(&versions, i == 0 ? from : to) == NULL)
                        ret = catalog_version(env->catalog, env->site->name, i == 0 ? from : to,
                                              &gone, err);
        if (ret == 0 && from == to)
                ret = err_fail(err, ERR_INVALID, 0, "version %" PRIu64 " is named twice", from);
        if (ret == 0)
                ret = answer(env, find(&versions, from), find(&versions, to), &versions, &counting,
                             ret_answer, err);
        version_list_done(&versions);
        return ret;
}
