/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/pgserver.h"
#include "tests/lib/test.h"

#define SHMEM_LINE 7 /* of postmaster.pid: the segment's key and number */

/* Shared with the children that run the tests: one of them may restart the server. */
static struct state {
        volatile pid_t pid;
        char bin[128], dir[128];
} * state;
static pid_t program;
static char value[1 << 16];

static void run_as_postgres(const char *const *argv, bool wait_for)
{
        const struct passwd *user = getpwnam("postgres");
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                int log = openat(AT_FDCWD, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

                if (user == NULL || log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
                    initgroups("postgres", user->pw_gid) < 0 ||
                    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
                    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0 ||
                    (!wait_for && setpgid(0, 0) < 0) ||
                    /* One that a test starts again outlives the test. */
                    (getppid() == program && prctl(PR_SET_PDEATHSIG, SIGQUIT) < 0))
                        _exit(9);
                execv(argv[0], (char *const *)argv);
                _exit(8);
        }
        if (wait_for) {
                if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
                        state->bin[0] = '\0';
                return;
        }
        state->pid = pid;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

/* One that is killed leaves its segment, and a file of it says which; what else it shares lies in
 * its directory. */
static void forget_memory(void)
{
        char path[160], line[128] = "";
        int id = -1;
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/data/postmaster.pid", state->dir);
        file = fopen(path, "re");
        if (file == NULL)
                return;
        for (int i = 0; i < SHMEM_LINE && fgets(line, sizeof(line), file) != NULL; i++)
                continue;
        if (sscanf(line, "%*u %d", &id) == 1)
                (void)shmctl(id, IPC_RMID, NULL);
        (void)fclose(file);
}

static void launch(void)
{
        const char *at = getenv("TEST_PG_LISTEN");
        char bin[160], data[160], socket[160], listen[80];
        const char *const argv[] = { bin,
                                     "-D",
                                     data,
                                     "-k",
                                     socket,
                                     "-c",
                                     listen,
                                     "-c",
                                     "fsync=off",
                                     "-c",
                                     "max_connections=60",
                                     "-c",
                                     "log_min_messages=warning",
                                     "-c",
                                     "autovacuum=off",
                                     "-c",
                                     "shared_buffers=64MB",
                                     "-c",
                                     "dynamic_shared_memory_type=mmap",
                                     NULL };

        (void)snprintf(bin, sizeof(bin), "%s/postgres", state->bin);
        (void)snprintf(data, sizeof(data), "%s/data", state->dir);
        (void)snprintf(socket, sizeof(socket), "%s", state->dir);
        (void)snprintf(listen, sizeof(listen), "listen_addresses=%s", at == NULL ? "" : at);
        run_as_postgres(argv, false);
}

static bool answers(void)
{
        for (int ms = 0; ms < 30000; ms += 20) {
                PGconn *conn = pg_connect("postgres", "postgres");

                if (conn != NULL) {
                        PQfinish(conn);
                        return true;
                }
                (void)usleep(20000);
        }
        return false;
}

static void find_programs(void)
{
        const char *said = getenv("TEST_PG");
        glob_t found;

        if (said != NULL) {
                (void)snprintf(state->bin, sizeof(state->bin), "%s", said);
        } else if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0) {
                (void)snprintf(state->bin, sizeof(state->bin), "%s", found.gl_pathv[0]);
                globfree(&found);
        }
}

/* Before any test, in the program that all tests are children of. */
__attribute__((constructor)) static void begin_program(void)
{
        const struct passwd *user = getpwnam("postgres");
        const char *tmp = getenv("TEST_TMP");
        char bin[160], data[160];
        const char *const argv[] = { bin,         "-D",          data, "-A",   "trust",
                                     "--no-sync", "--no-locale", "-E", "UTF8", NULL };

        program = getpid();
        state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
        if (state == MAP_FAILED || geteuid() != 0 || user == NULL)
                return;
        find_programs();
        (void)snprintf(state->dir, sizeof(state->dir), "%s/sitesnap-pg.%d",
                       tmp == NULL ? "/var/tmp" : tmp, program);
        (void)snprintf(bin, sizeof(bin), "%s/initdb", state->bin);
        (void)snprintf(data, sizeof(data), "%s/data", state->dir);
        if (state->bin[0] == '\0' || mkdir(state->dir, 0755) < 0 ||
            chown(state->dir, user->pw_uid, user->pw_gid) < 0 || chdir(state->dir) < 0) {
                state->bin[0] = '\0';
                return;
        }
        run_as_postgres(argv, true);
        if (state->bin[0] != '\0')
                launch();
}

__attribute__((destructor)) static void end_program(void)
{
        if (getpid() != program || state == MAP_FAILED || state->dir[0] == '\0')
                return;
        if (state->pid > 0) {
                (void)kill(state->pid, SIGQUIT);
                /* One that a test restarted is not our child. */
                for (int ms = 0; ms < 5000 && kill(state->pid, 0) == 0; ms += 10) {
                        (void)waitpid(state->pid, NULL, WNOHANG);
                        (void)usleep(10000);
                }
        }
        forget_memory();
        (void)chdir("/");
        (void)nftw(state->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *pg_socket(void)
{
        return state->dir;
}

int pg_pid(void)
{
        return state->pid;
}

/* Whoever listens is gone; a process that nobody waited for may still have the number. */
void pg_stop(int signal)
{
        PGconn *conn;

        ASSERT(kill(state->pid, signal) == 0);
        for (int ms = 0; ms < 20000 && (conn = pg_connect("postgres", "postgres")) != NULL;
             ms += 10) {
                PQfinish(conn);
                (void)usleep(10000);
        }
}

void pg_start_again(void)
{
        char path[160], lock[160];

        /* What a killed server leaves behind; its children end by themselves. */
        forget_memory();
        (void)snprintf(path, sizeof(path), "%s/data/postmaster.pid", state->dir);
        (void)snprintf(lock, sizeof(lock), "%s/.s.PGSQL.5432.lock", state->dir);
        for (int tries = 0; tries < 50; tries++) {
                (void)unlink(path);
                (void)unlink(lock);
                launch();
                (void)usleep(300000);
                if (waitpid(state->pid, NULL, WNOHANG) == 0 && answers())
                        return;
        }
        test_fail(__FILE__, __LINE__, "the server does not start again");
}

PGconn *pg_connect(const char *user, const char *database)
{
        const char *const keys[] = { "host", "port", "user", "dbname", NULL };
        const char *const values[] = { state->dir, "5432", user, database, NULL };
        PGconn *conn = PQconnectdbParams(keys, values, 0);

        if (PQstatus(conn) == CONNECTION_OK)
                return conn;
        PQfinish(conn);
        return NULL;
}

const char *pg_value(const char *user, const char *database, const char *sql)
{
        PGconn *conn = pg_connect(user, database);
        PGresult *result;
        bool rows;

        if (conn == NULL)
                test_fail(__FILE__, __LINE__, "%s cannot connect to %s", user, database);
        result = PQexec(conn, sql);
        rows = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0;
        if (!rows && PQresultStatus(result) != PGRES_COMMAND_OK &&
            PQresultStatus(result) != PGRES_TUPLES_OK)
                test_fail(__FILE__, __LINE__, "%.200s: %s", sql, PQresultErrorMessage(result));
        (void)snprintf(value, sizeof(value), "%s",
                       !rows                       ? ""
                       : PQgetisnull(result, 0, 0) ? "(null)"
                                                   : PQgetvalue(result, 0, 0));
        PQclear(result);
        PQfinish(conn);
        return value;
}

void pg_do(const char *user, const char *database, const char *sql)
{
        (void)pg_value(user, database, sql);
}

/* Statements that are made by a statement, each by itself: databases know no transaction. */
static void do_each(const char *sql)
{
        PGconn *conn = pg_connect("postgres", "postgres");
        PGresult *list = PQexec(conn, sql);

        for (int i = 0; i < PQntuples(list); i++)
                pg_do("postgres", "postgres", PQgetvalue(list, i, 0));
        PQclear(list);
        PQfinish(conn);
}

void pg_begin(void)
{
        if (geteuid() != 0)
                test_skip("needs root to run a server as its own user");
        if (state->bin[0] == '\0')
                test_skip("no PostgreSQL server is installed, or it makes no cluster");
        if (!answers())
                test_fail(__FILE__, __LINE__, "the server in %s does not answer", state->dir);
        do_each("SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE "
                "datname NOT IN ('postgres', 'template0', 'template1')");
        do_each("SELECT format('DROP OWNED BY %I CASCADE', rolname) FROM pg_roles WHERE rolname "
                "NOT "
                "LIKE 'pg\\_%' AND rolname <> 'postgres'");
        do_each("SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname NOT LIKE "
                "'pg\\_%' AND rolname <> 'postgres'");
        pg_do("postgres", "postgres",
              "CREATE ROLE sitesnap LOGIN CREATEDB; CREATE ROLE shop LOGIN; "
              "CREATE ROLE shop_kept; CREATE ROLE shop_load; "
              "GRANT shop, shop_kept, shop_load TO sitesnap; "
              "CREATE ROLE locked LOGIN PASSWORD 's3cret'");
}
