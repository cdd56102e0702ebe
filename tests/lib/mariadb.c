/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define SERVER     "/usr/sbin/mariadbd"
#define SCRIPTS    "/usr/share/mysql/"
#define START_MSEC 30000
#define PASSWORD   "sitesnap-secret"

static char base[200], datadir[256], socket_path[256];
static pid_t server = -1, owner;
static char answer[1 << 16];

/* Made by the first test of a program, removed by its end: tests are its children. */
static char template[128];
static pid_t program;

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static void remove_template(void)
{
        if (getpid() == program)
                (void)nftw(template, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((constructor)) static void name_template(void)
{
        program = getpid();
        (void)snprintf(template, sizeof(template), "%s/sitesnap-mariadb.%d",
                       getenv("TEST_TMP") == NULL ? "/var/tmp" : getenv("TEST_TMP"), program);
        (void)atexit(remove_template);
}

/* A server that ended without being asked to says why, and the test with it. */
static void tell_why(int status)
{
        char path[300], line[400];
        FILE *log;

        printf("# the server ended with status 0x%x\n", (unsigned)status);
        (void)snprintf(path, sizeof(path), "%s/error.log", base);
        log = fopen(path, "re");
        while (log != NULL && fgets(line, sizeof(line), log) != NULL)
                printf("# %s", line);
        if (log != NULL)
                (void)fclose(log);
        fflush(stdout);
}

static void end_server(void)
{
        int status;

        /* Tests fork, and a child of theirs is nobody's to end it. */
        if (server <= 0 || getpid() != owner)
                return;
        if (waitpid(server, &status, WNOHANG) == server)
                tell_why(status);
        else if (kill(server, SIGKILL) == 0)
                (void)waitpid(server, NULL, 0);
}

/* The same for the first start and all later ones: small, and as durable as on a real disk. */
static void exec_server(const char *directory, const char *how)
{
        const struct passwd *user = getpwnam("mysql");
        char data[300], sock[300], log[300], tmp[300];
        const char *path = tmp + strlen("--tmpdir=");

        (void)snprintf(data, sizeof(data), "--datadir=%s", directory);
        (void)snprintf(sock, sizeof(sock), "--socket=%s", socket_path);
        (void)snprintf(log, sizeof(log), "--log-error=%s/error.log", base);

        /* A server that starts removes every temporary table there is, those of others too. */
        (void)snprintf(tmp, sizeof(tmp), "--tmpdir=%s/server-tmp", test_tmpdir());
        if ((mkdir(path, 0700) < 0 && errno != EEXIST) ||
            chown(path, user->pw_uid, user->pw_gid) < 0)
                _exit(9);
        if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
            setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0 ||
            prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(9);
        (void)execl(SERVER, SERVER, "--no-defaults", data, sock, log, tmp, "--skip-networking",
                    "--skip-name-resolve", "--innodb-log-file-size=16M",
                    "--innodb-buffer-pool-size=64M",
                    "--innodb-data-file-path=ibdata1:4M:autoextend",
                    "--innodb-autoextend-increment=1", "--innodb-buffer-pool-dump-at-shutdown=0",
                    "--innodb-temp-data-file-path=ibtmp1:4M:autoextend", "--event-scheduler=ON",
                    "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci", how,
                    NULL);
        _exit(8);
}

static void copy_directory(const char *from, const char *to)
{
        ASSERT_EQ(root_run((const char *const[]){ "cp", "-a", "--sparse=never", from, to, NULL }),
                  0);
}

/* The system tables, from the scripts that the package brings. */
static void make_template(void)
{
        static const char *const scripts[] = { SCRIPTS "mysql_system_tables.sql",
                                               SCRIPTS "mysql_system_tables_data.sql" };
        const struct passwd *user = getpwnam("mysql");
        char path[200];
        int input, status;
        pid_t pid;

        ASSERT(mkdir(template, 0755) == 0 && chown(template, user->pw_uid, user->pw_gid) == 0);
        (void)snprintf(path, sizeof(path), "%s/data", template);
        input = memfd_create("bootstrap", MFD_CLOEXEC);
        ASSERT(input >= 0 && mkdir(path, 0755) == 0 &&
               chown(path, user->pw_uid, user->pw_gid) == 0);
        ASSERT(dprintf(input, "CREATE DATABASE mysql;\nUSE mysql;\n") > 0);
        for (size_t i = 0; i < 2; i++) {
                CLEANUP(closep) int script = openat(AT_FDCWD, scripts[i], O_RDONLY | O_CLOEXEC);
                struct stat st;

                ASSERT(script >= 0 && fstat(script, &st) == 0);
                while (st.st_size > 0) {
                        ssize_t n =
                                copy_file_range(script, NULL, input, NULL, (size_t)st.st_size, 0);
                        char buffer[8192];

                        if (n < 0) {
                                n = read(script, buffer, sizeof(buffer));
                                ASSERT(n > 0 && write(input, buffer, (size_t)n) == n);
                        }
                        ASSERT(n > 0);
                        st.st_size -= n;
                }
        }
        ASSERT(lseek(input, 0, SEEK_SET) == 0);
        (void)snprintf(base, sizeof(base), "%s", template);
        pid = fork();
        if (pid == 0) {
                if (dup2(input, 0) < 0)
                        _exit(9);
                exec_server(path, "--bootstrap");
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (status != 0)
                tell_why(status);
        ASSERT_EQ(status, 0);
        (void)close(input);
}

MYSQL *mariadb_log_in(const char *user, const char *password, const char *schema)
{
        MYSQL *mysql = mysql_init(NULL);

        (void)mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
        if (mysql_real_connect(mysql, NULL, user, password, schema, 0, socket_path,
                               CLIENT_FOUND_ROWS) != NULL)
                return mysql;
        mysql_close(mysql);
        return NULL;
}

void mariadb_server_start(void)
{
        MYSQL *mysql = NULL;

        owner = getpid();
        server = fork();
        if (server == 0)
                exec_server(datadir, "--loose-sitesnap-test=1");
        ASSERT(server > 0);
        for (int ms = 0; ms < START_MSEC && mysql == NULL; ms += 10) {
                (void)usleep(10000);
                mysql = mariadb_log_in("root", NULL, NULL);
                if (waitpid(server, NULL, WNOHANG) != 0)
                        test_fail(__FILE__, __LINE__, "the server ended, see %s/error.log", base);
        }
        ASSERT(mysql != NULL);
        mysql_close(mysql);
}

void mariadb_server_kill(void)
{
        ASSERT(kill(server, SIGKILL) == 0 && waitpid(server, NULL, 0) == server);
        server = -1;
}

pid_t mariadb_server_pid(void)
{
        return server;
}

const char *mariadb_socket(void)
{
        return socket_path;
}

const char *mariadb_datadir(void)
{
        return datadir;
}

static MYSQL *administrator(void)
{
        static MYSQL *mysql;
        static pid_t opened_by;

        if (mysql != NULL && opened_by == getpid() && mysql_ping(mysql) != 0) {
                mysql_close(mysql);
                mysql = NULL;
        }
        if (mysql == NULL || opened_by != getpid())
                mysql = mariadb_log_in("root", NULL, NULL);
        opened_by = getpid();
        ASSERT(mysql != NULL);
        return mysql;
}

void mariadb_admin(const char *sql)
{
        MYSQL *mysql = administrator();

        while (*sql != '\0') {
                const char *end = strstr(sql, ";\n");
                size_t n = end == NULL ? strlen(sql) : (size_t)(end - sql);

                if (mysql_real_query(mysql, sql, n) != 0)
                        test_fail(__FILE__, __LINE__, "%.*s: %s", (int)n, sql, mysql_error(mysql));
                mysql_free_result(mysql_store_result(mysql));
                sql += end == NULL ? n : n + 2;
        }
}

const char *mariadb_ask(const char *sql)
{
        MYSQL *mysql = administrator();
        MYSQL_RES *result;
        unsigned column;
        MYSQL_ROW row;

        if (mysql_query(mysql, sql) != 0)
                test_fail(__FILE__, __LINE__, "%s: %s", sql, mysql_error(mysql));
        result = mysql_store_result(mysql);
        ASSERT(result != NULL);
        row = mysql_fetch_row(result);
        column = mysql_num_fields(result) - 1;
        (void)snprintf(answer, sizeof(answer), "%s",
                       row == NULL || row[column] == NULL ? "" : row[column]);
        mysql_free_result(result);
        return answer;
}

static int secret(void)
{
        int fd = memfd_create("secret", MFD_CLOEXEC);

        ASSERT(fd >= 0 && dprintf(fd, PASSWORD "\n") > 0);
        return fd;
}

void mariadb_begin(const char *directory, struct db_conf *ret_conf)
{
        const struct passwd *user = getpwnam("mysql");
        char path[200];

        if (access(SERVER, X_OK) < 0 || access(SCRIPTS "mysql_system_tables.sql", R_OK) < 0 ||
            user == NULL)
                test_skip("no MariaDB server is installed");
        root_begin();
        if (access(template, F_OK) < 0)
                make_template();
        (void)snprintf(base, sizeof(base), "%s/server",
                       directory == NULL ? test_tmpdir() : directory);
        (void)snprintf(datadir, sizeof(datadir), "%s/data", base);
        (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", base);
        ASSERT(mkdir(base, 0755) == 0 && chown(base, user->pw_uid, user->pw_gid) == 0);
        (void)snprintf(path, sizeof(path), "%s/data", template);
        copy_directory(path, datadir);
        (void)atexit(end_server);
        mariadb_server_start();
        mariadb_admin("CREATE USER sitesnap@localhost IDENTIFIED BY '" PASSWORD "';\n"
                      "CREATE USER app@localhost IDENTIFIED BY '" MARIADB_APP_PASS "';\n"
                      "GRANT ALL PRIVILEGES ON `snap%`.* TO sitesnap@localhost WITH GRANT OPTION;\n"
                      "GRANT SET USER ON *.* TO sitesnap@localhost;\n"
                      "GRANT SELECT ON mysql.proc TO sitesnap@localhost");
        *ret_conf = (struct db_conf){
                .root_fd = -1,
                .owner_uid = 33,
                .owner_gid = 33,
                .socket_path = socket_path,
                .user = "sitesnap",
                .secret_fd = secret(),
                .app_user = MARIADB_APP "@localhost",
        };
}
