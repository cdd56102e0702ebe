/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/fault.h"
#include "snapd/render.h"
#include "snapd/rewrite.h"
#include "snapd/worker.h"

#define OPCACHE_USEC  2500000
#define CONFIG_MAX    (1024 * 1024)
#define VALUE_MAX_LEN 4096

/* What a {word} in a rule's value stands for. */
struct words {
        const char *database, *database_dir, *database_name, *database_schema, *database_user,
                *database_host, *database_port, *database_socket, *home, *site, *version;
};

/* Their text, where it has to be made. */
struct word_texts {
        char dir[1200], user[256], port[16], version[24];
};

static const char *text_of(const char *text)
{
        return text == NULL ? "" : text;
}

static void words_fill(const struct site *site, const struct view *view, struct word_texts *texts,
                       struct words *words)
{
        const struct site_database *database = &site->database;
        const char *user = text_of(database->app_user);

        (void)snprintf(texts->version, sizeof(texts->version), "%" PRIu64, view->version);
        (void)snprintf(texts->port, sizeof(texts->port), "%u",
                       database->port != 0 ? database->port
                       : database->engine != NULL && strcmp(database->engine, "postgres") == 0
                               ? 5432
                               : 3306);
        /* MariaDB's users have a host behind them, which no configuration file names. */
        (void)snprintf(texts->user, sizeof(texts->user), "%.*s", (int)strcspn(user, "@"), user);
        /* The copy itself and no link to it: PHP remembers for two minutes where a link led
         * (realpath_cache_ttl) and would go on with another version's database. */
        (void)snprintf(texts->dir, sizeof(texts->dir), "%s/db/%s", site->home, view->database);
        *words = (struct words){
                .database = view->database,
                .database_dir = texts->dir,
                /* Where schemas lie in one database, that is what a client connects to. */
                .database_name = database->database != NULL ? database->database : view->database,
                .database_schema = view->database,
                .database_user = texts->user,
                .database_host = database->host == NULL ? "localhost" : database->host,
                .database_port = texts->port,
                .database_socket = text_of(database->socket),
                .home = site->home,
                .site = site->name,
                .version = texts->version,
        };
}

static const char *word_value(const struct words *words, const char *word, size_t n)
{
        const struct {
                const char *name, *value;
        } table[] = {
                { "database", words->database },
                { "database_dir", words->database_dir },
                { "database_name", words->database_name },
                { "database_schema", words->database_schema },
                { "database_user", words->database_user },
                { "database_host", words->database_host },
                { "database_port", words->database_port },
                { "database_socket", words->database_socket },
                { "home", words->home },
                { "site", words->site },
                { "version", words->version },
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strlen(table[i].name) == n && memcmp(table[i].name, word, n) == 0)
                        return table[i].value;
        return NULL;
}

static int expand(const struct words *words, const char *value, char *out, size_t size,
                  struct err *err)
{
        size_t used = 0;

        while (*value != '\0') {
                size_t n = *value == '{' ? strcspn(value, "}") : 0;
                const char *text = value;
                size_t len = 1;

                if (n > 1 && value[n] == '}') {
                        text = word_value(words, value + 1, n - 1);
                        if (text == NULL)
                                return site_word_known(value + 1, n - 1, err);
                        len = strlen(text);
                        value += n + 1;
                } else {
                        value++;
                }
                if (used + len >= size)
                        return err_fail(err, ERR_INVALID, 0, "the value is too long");
                memcpy(out + used, text, len);
                used += len;
        }
        out[used] = '\0';
        return 0;
}

/* Rules of one file, ready for the worker. */
struct job {
        const char *file;
        struct rewrite_rule *rules;
        size_t n;
};

/* Runs as the site's user with nothing but these two descriptors. */
static int rewrite_worker(int in_fd, int out_fd, const void *arg, struct err *err)
{
        const struct job *job = arg;
        CLEANUP(freep) char *in = NULL;
        CLEANUP(freep) char *out = NULL;
        size_t n_in, n_out;

        if (file_read_fd(in_fd, CONFIG_MAX, &in, &n_in, err) < 0 ||
            rewrite_apply(job->file, in, n_in, job->rules, job->n, &out, &n_out, err) < 0)
                return -1;
        return file_write_all(out_fd, out, n_out, err);
}

/* "N.changed" is as old as the last change of what is rendered for versions/N. */
static void changed_name(uint64_t version, char *name, size_t size)
{
        (void)snprintf(name, size, "%" PRIu64 ".changed", version);
}

/* After it, the file has this content; what is the same stays the same file. */
static int keep(int dir_fd, uint64_t version, const char *name, const char *data, size_t n,
                int *ret_fd, struct err *err)
{
        CLEANUP(freep) char *before = NULL;
        char changed[32];
        size_t n_before = 0;
        bool had = file_read(dir_fd, name, CONFIG_MAX, &before, &n_before, err) == 0;

        changed_name(version, changed, sizeof(changed));
        if (had && n_before == n && memcmp(before, data, n) == 0)
                return safepath_open(dir_fd, name, O_RDONLY, ret_fd, err);
        if (file_replace(dir_fd, name, data, n, 0600, err) < 0 ||
            (had && file_replace(dir_fd, changed, "", 0, 0600, err) < 0))
                return -1;
        return safepath_open(dir_fd, name, O_RDONLY, ret_fd, err);
}

/* The rendered file is the tenant's, with the mode of the one it stands for; it lies where nobody
 * but root can go and is seen only through its bind mount. */
static int store(struct step_env *env, const struct view *view, size_t index, const char *data,
                 size_t n, const struct stat *like, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1, fd = -1;
        char path[64], name[64];

        (void)snprintf(path, sizeof(path), "sites/%s/rendered", env->site->name);
        (void)snprintf(name, sizeof(name), "%" PRIu64 "-%zu", view->version, index);
        if (safepath_mkdirs(env->dirs->state_fd, path, 0700, 0, 0, &dir_fd, err) < 0 ||
            keep(dir_fd, view->version, name, data, n, &fd, err) < 0)
                return -1;
        if (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 0777) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", name);
        *ret_fd = steal_fd(&fd);
        return 0;
}

/* What becomes of a rendered file. */
typedef int (*render_put)(struct step_env *env, const struct view *view, int tree_fd,
                          const struct job *job, size_t index, const char *data, size_t n,
                          const struct stat *like, struct err *err);

static int render_file(struct step_env *env, const struct view *view, int tree_fd,
                       const struct job *job, size_t index, render_put put, struct err *err)
{
        CLEANUP(closep) int in_fd = -1;
        CLEANUP(freep) char *data = NULL;
        struct stat st;
        size_t n;

        if (safepath_open(tree_fd, job->file, O_RDONLY, &in_fd, err) < 0)
                return -1;
        if (fstat(in_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat it");
        if (!S_ISREG(st.st_mode))
                return err_fail(err, ERR_REFUSED, 0, "it is not a regular file");
        if (worker_call(WORKER_RENDER, env->site->uid, env->site->gid, rewrite_worker, job, in_fd,
                        CONFIG_MAX, &data, &n, err) < 0)
                return -1;
        return put(env, view, tree_fd, job, index, data, n, &st, err);
}

/* All rules of a file are applied together, in the order they were written. */
static int render_each(struct step_env *env, const struct view *view, int tree_fd, render_put put,
                       struct err *err)
{
        const struct site *site = env->site;
        CLEANUP(freep) struct rewrite_rule *rules = calloc(site->n_rules + 1, sizeof(*rules));
        CLEANUP(freep) char *values = malloc((site->n_rules + 1) * VALUE_MAX_LEN);
        struct word_texts texts;
        struct words words;

        if (rules == NULL || values == NULL)
                return err_oom(err);
        words_fill(site, view, &texts, &words);
        for (size_t i = 0; i < site->n_rules; i++) {
                struct job job = { .file = site->rules[i].file, .rules = rules };
                bool seen = false;

                for (size_t j = 0; j < i; j++)
                        seen |= strcmp(site->rules[j].file, job.file) == 0;
                for (size_t j = i; !seen && j < site->n_rules; j++) {
                        char *value = values + j * VALUE_MAX_LEN;

                        if (strcmp(site->rules[j].file, job.file) != 0)
                                continue;
                        if (expand(&words, site->rules[j].value, value, VALUE_MAX_LEN, err) < 0)
                                return err_wrap(err, "the rule for '%s'", job.file);
                        rules[job.n++] = (struct rewrite_rule){ .kind = site->rules[j].kind,
                                                                .key = site->rules[j].key,
                                                                .value = value };
                }
                if (!seen && render_file(env, view, tree_fd, &job, i, put, err) < 0)
                        return err_wrap(err, "the configuration file '%s'", job.file);
        }
        return 0;
}

static int put_bound(struct step_env *env, const struct view *view, int tree_fd,
                     const struct job *job, size_t index, const char *data, size_t n,
                     const struct stat *like, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        return store(env, view, index, data, n, like, &fd, err) < 0
                       ? -1
                       : mount_nest(tree_fd, job->file, fd, MOUNT_READ_ONLY | MOUNT_NOEXEC, err);
}

/* Nobody but root is in the tree: it gets its own file, under the name it has. */
static int put_inside(struct step_env *env, const struct view *view, int tree_fd,
                      const struct job *job, size_t index, const char *data, size_t n,
                      const struct stat *like, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        const char *name = NULL;

        (void)env;
        (void)view;
        (void)index;
        if (safepath_open_parent(tree_fd, job->file, &parent_fd, &name, err) < 0 ||
            file_replace(parent_fd, name, data, n, 0600, err) < 0 ||
            safepath_open(parent_fd, name, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 0777) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", name);
        return 0;
}

int render_all(struct step_env *env, const struct view *view, int mount_fd, struct err *err)
{
        return render_each(env, view, mount_fd, put_bound, err);
}

int render_into(struct step_env *env, const struct view *view, int tree_fd, struct err *err)
{
        return render_each(env, view, tree_fd, put_inside, err);
}

void render_await(struct step_env *env, uint64_t version)
{
        CLEANUP(closep) int dir_fd = -1;
        char path[64], name[32];
        struct err ignored;
        struct stat st;
        int64_t most = fault_revalidate_usec(OPCACHE_USEC), left;

        (void)snprintf(path, sizeof(path), "sites/%s/rendered", env->site->name);
        changed_name(version, name, sizeof(name));
        if (safepath_open(env->dirs->state_fd, path, O_RDONLY | O_DIRECTORY, &dir_fd, &ignored) <
                    0 ||
            fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        left = st.st_mtim.tv_sec * USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 + most -
               clock_wall_usec();
        /* A clock that was set may say anything. */
        if (left > most)
                left = most;
        if (left > 0) {
                struct timespec pause = { .tv_sec = left / USEC_PER_SEC,
                                          .tv_nsec = left % USEC_PER_SEC * 1000 };

                (void)nanosleep(&pause, NULL);
        }
}
