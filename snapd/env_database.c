/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/safepath.h"
#include "snapd/env.h"
#include "snapd/remote.h"

/*
 * The connection to a site's database.  SQLite's driver is called here and does its reading in a
 * helper; a server's is called through a process of its own.
 */

#define TIMEOUT_MSEC    10000
#define AWAY_SEC        30 /* how long a server may be away when it is needed */
#define AWAY_PAUSE_NSEC 200000000
#define RUN_AS          "sitesnap-db"
#define CREDENTIALS     "/run/credentials/sitesnap.service"

static const struct remote_engine servers[] = {
#ifdef SITESNAP_MARIADB
        { "mariadb", NULL, true },
#endif
#ifdef SITESNAP_POSTGRES
        { "postgres", NULL, false },
#endif
        { NULL, NULL, false },
};

/* A password that others can read is none. */
static int check_secret(int fd, const char *path, struct err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the password in '%s' is not root's alone: chown root, chmod 600",
                                path);
        return 0;
}

static int open_secret(const char *directory, const char *name, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1, fd = -1;

        if (safepath_valid(name, err) < 0 || safepath_open_trusted(directory, &dir_fd, err) < 0 ||
            safepath_open(dir_fd, name, O_RDONLY, &fd, err) < 0 || check_secret(fd, name, err) < 0)
                return err_wrap(err, "the password of the database, '%s/%s'", directory, name);
        *ret_fd = steal_fd(&fd);
        return 0;
}

/* -1 when none is configured: then the server knows us by who we are. */
static int secret_of(const struct site_database *database, int *ret_fd, struct err *err)
{
        const char *credentials = getenv("CREDENTIALS_DIRECTORY"), *name;
        char directory[1024];

        *ret_fd = -1;
        if (database->secret_credential != NULL)
                return open_secret(credentials == NULL ? CREDENTIALS : credentials,
                                   database->secret_credential, ret_fd, err);
        if (database->secret_file == NULL)
                return 0;
        name = strrchr(database->secret_file, '/') + 1;
        (void)snprintf(directory, sizeof(directory), "%.*s",
                       name - database->secret_file > 1 ? (int)(name - database->secret_file) - 1
                                                        : 1,
                       database->secret_file);
        return open_secret(directory, name, ret_fd, err);
}

static int user_of(const struct site_database *database, uid_t *ret_uid, gid_t *ret_gid,
                   struct err *err)
{
        const char *name = database->run_as == NULL ? RUN_AS : database->run_as;
        struct passwd entry, *found = NULL;
        char buf[4096];
        int os = getpwnam_r(name, &entry, buf, sizeof(buf), &found);

        if (found == NULL)
                return err_fail(err, ERR_NOT_FOUND, os,
                                "no user '%s' on this machine, as whom to connect: make it, or "
                                "name another with run_as in [database]",
                                name);
        *ret_uid = found->pw_uid;
        *ret_gid = found->pw_gid;
        return 0;
}

static enum db_way way_of(const char *word)
{
        static const struct {
                const char *word;
                enum db_way way;
        } ways[] = {
                { "snapshot", DB_WAY_SNAPSHOT },
                { "files", DB_WAY_FILES },
                { "dump", DB_WAY_DUMP },
        };

        for (size_t i = 0; word != NULL && i < sizeof(ways) / sizeof(ways[0]); i++)
                if (strcmp(ways[i].word, word) == 0)
                        return ways[i].way;
        return DB_WAY_AUTO;
}

static int open_server(struct step_env *env, struct err *err)
{
        const struct site_database *database = &env->site->database;
        CLEANUP(closep) int secret_fd = -1;
        struct db_conf conf = {
                .root_fd = -1,
                .owner_uid = env->site->uid,
                .owner_gid = env->site->gid,
                .socket_path = database->socket,
                .host = database->host,
                .port = (uint16_t)database->port,
                .user = database->user != NULL     ? database->user
                        : database->run_as != NULL ? database->run_as
                                                   : RUN_AS,
                .timeout_msec = TIMEOUT_MSEC,
                .database = database->database,
                .table_prefix = database->table_prefix,
                .app_user = database->app_user,
                .way = way_of(database->way),
                .streams = database->streams,
        };
        const struct remote_engine *engine = servers;
        uid_t uid;
        gid_t gid;

        while (engine->name != NULL && strcmp(engine->name, database->engine) != 0)
                engine++;
        if (engine->name == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "this build has no driver for '%s' databases", database->engine);
        if (user_of(database, &uid, &gid, err) < 0 || secret_of(database, &secret_fd, err) < 0)
                return -1;
        conf.secret_fd = secret_fd;
        env->database_driver = &remote_driver;
        return remote_open(engine, &conf, uid, gid, &env->database, err);
}

static int open_files(struct step_env *env, struct err *err)
{
        struct db_conf conf = {
                .owner_uid = env->site->uid,
                .owner_gid = env->site->gid,
                .secret_fd = -1,
                .timeout_msec = TIMEOUT_MSEC,
        };
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        if (env->db_fd < 0 &&
            safepath_open(home_fd, "db", O_RDONLY | O_DIRECTORY, &env->db_fd, err) < 0)
                return err_wrap(err, "'%s'", env->site->home);
        conf.root_fd = env->db_fd;
        env->database_driver = &db_driver_sqlite;
        return db_driver_sqlite.open(&conf, &env->database, err);
}

void env_database_forget(struct step_env *env)
{
        if (env->database != NULL)
                env->database_driver->close(env->database);
        env->database = NULL;
}

/* A server that is restarted, by its package or after a crash, is back before long. */
static int open_patiently(struct step_env *env, struct err *err)
{
        const struct timespec pause = { .tv_nsec = AWAY_PAUSE_NSEC };
        int64_t until = clock_boot_usec() + AWAY_SEC * (int64_t)USEC_PER_SEC;
        bool told = false;

        while (open_server(env, err) < 0) {
                if (!env->must || err->code != ERR_IO || clock_boot_usec() >= until)
                        return -1;
                if (!told)
                        env_note(env, "waits for the database server: %s", err->msg);
                told = true;
                (void)nanosleep(&pause, NULL);
        }
        return 0;
}

int env_database(struct step_env *env, struct db **ret_db, struct err *err)
{
        const struct site *site = env->site;

        if (site->database.engine == NULL)
                return err_fail(err, ERR_INVALID, 0, "'%s' has no database", site->name);
        if (env->database != NULL && env->database_driver == &remote_driver &&
            !remote_alive(env->database))
                env_database_forget(env);
        if (env->database == NULL) {
                if ((site_database_serves(site) ? open_patiently : open_files)(env, err) < 0)
                        return err_wrap(err, "the database of '%s'", site->name);
        }
        *ret_db = env->database;
        return 0;
}
