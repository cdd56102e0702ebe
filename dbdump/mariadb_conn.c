/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <mysqld_error.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_said.h"

#define PASSWORD_MAX 1024
#define TIMEOUT_MSEC 10000
/* Between two packets of one answer, or of one long statement of ours. */
#define PACKET_SEC  120
#define MARIADB_MIN 100600
#define MYSQL_MIN   80000

/* What a code of the server means to our callers; anything else is ERR_IO. */
static const struct {
        unsigned number;
        enum err_code code;
} meanings[] = {
        { ER_ACCESS_DENIED_ERROR, ERR_DENIED },
        { ER_DBACCESS_DENIED_ERROR, ERR_DENIED },
        { ER_TABLEACCESS_DENIED_ERROR, ERR_DENIED },
        { ER_COLUMNACCESS_DENIED_ERROR, ERR_DENIED },
        { ER_SPECIFIC_ACCESS_DENIED_ERROR, ERR_DENIED },
        { ER_PROCACCESS_DENIED_ERROR, ERR_DENIED },
        { 1410 /* no right to make a user by a grant */, ERR_DENIED },
        { 1698 /* wrong plugin, as unix_socket for another user */, ERR_DENIED },
        { ER_BAD_DB_ERROR, ERR_NOT_FOUND },
        { ER_NO_SUCH_TABLE, ERR_NOT_FOUND },
        { ER_DB_CREATE_EXISTS, ERR_EXISTS },
        { ER_TABLE_EXISTS_ERROR, ERR_EXISTS },
        { ER_LOCK_WAIT_TIMEOUT, ERR_BUSY },
        { ER_LOCK_DEADLOCK, ERR_BUSY },
        { ER_TABLE_DEF_CHANGED, ERR_BUSY },
        { ER_QUERY_INTERRUPTED, ERR_BUSY },
        { ER_DISK_FULL, ERR_NO_SPACE },
        { ER_RECORD_FILE_FULL, ERR_NO_SPACE },
        { ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, ERR_INVALID },
        { CR_SERVER_LOST, ERR_IO },
};

/* What InnoDB, MyISAM and the SQL layer write when the system's error was ENOSPC or EDQUOT. */
static const char *const full_marks[] = {
        "rrno: 28 ", "rrcode: 28 ", "error 28 ", "rrno: 28)", "rrcode: 122 ", "No space left",
};

static void wipe(char *secret)
{
        if (secret != NULL)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

void mariadb_login_done(struct mariadb_login *login)
{
        free(login->socket_path);
        free(login->host);
        free(login->user);
        wipe(login->password);
        *login = (struct mariadb_login){ 0 };
}

static int copy_text(const char *text, char **ret_copy, struct err *err)
{
        if (text == NULL)
                return 0;
        *ret_copy = strdup(text);
        return *ret_copy == NULL ? err_oom(err) : 0;
}

/* From the file's start, whoever read it before; a pipe is read once. */
static int read_password(int fd, char **ret_password, struct err *err)
{
        char *password = NULL;

        (void)lseek(fd, 0, SEEK_SET);
        if (file_read_fd(fd, PASSWORD_MAX, &password, NULL, err) < 0)
                return err_wrap(err, "the password of the database server");
        password[strcspn(password, "\r\n")] = '\0';
        *ret_password = password;
        return 0;
}

int mariadb_login_make(const struct db_conf *conf, struct mariadb_login *ret_login, struct err *err)
{
        struct mariadb_login login = {
                .port = conf->port,
                .timeout_msec = conf->timeout_msec == 0 ? TIMEOUT_MSEC : conf->timeout_msec,
        };

        if (copy_text(conf->socket_path, &login.socket_path, err) < 0 ||
            copy_text(conf->host, &login.host, err) < 0 ||
            copy_text(conf->user, &login.user, err) < 0 ||
            (conf->secret_fd >= 0 && read_password(conf->secret_fd, &login.password, err) < 0)) {
                mariadb_login_done(&login);
                return -1;
        }
        *ret_login = login;
        return 0;
}

static bool is_full(const char *text)
{
        for (size_t i = 0; i < sizeof(full_marks) / sizeof(full_marks[0]); i++)
                if (strstr(text, full_marks[i]) != NULL)
                        return true;
        return false;
}

static enum err_code meaning_of(unsigned number, const char *text)
{
        if (is_full(text))
                return ERR_NO_SPACE;
        for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
                if (meanings[i].number == number)
                        return meanings[i].code;
        return ERR_IO;
}

int mariadb_fail(struct mariadb_conn *conn, struct err *err, const char *fmt, ...)
{
        unsigned number = mysql_errno(conn->mysql);
        char phrase[256], said[MARIADB_SAID_MAX];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(phrase, sizeof(phrase), fmt, ap);
        va_end(ap);
        if (number == CR_SERVER_LOST || number == CR_SERVER_GONE_ERROR || number == 1927 ||
            number == ER_SERVER_SHUTDOWN)
                conn->broken = true;
        mariadb_said(number, mysql_sqlstate(conn->mysql), mysql_error(conn->mysql), said);
        return err_fail(err, meaning_of(number, said), 0, "%s: %s (%u)", phrase, said, number);
}

/* "10.11.6-MariaDB-..." or "8.0.36"; "5.5.5-" before it is for old replicas. */
static int check_version(struct mariadb_conn *conn, struct err *err)
{
        const char *text = mysql_get_server_info(conn->mysql);
        unsigned major = 0, minor = 0, patch = 0;

        if (text != NULL && strncmp(text, "5.5.5-", 6) == 0)
                text += 6;
        if (text == NULL || sscanf(text, "%u.%u.%u", &major, &minor, &patch) != 3)
                return err_fail(err, ERR_UNSUPPORTED, 0, "a server of an unknown version");
        conn->is_mariadb = strstr(text, "MariaDB") != NULL;
        conn->version = major * 10000 + minor * 100 + patch;
        if (conn->version < (conn->is_mariadb ? MARIADB_MIN : MYSQL_MIN))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the server is version %.80s; MariaDB 10.6 or MySQL 8.0 is needed",
                                text);
        return 0;
}

/* What every session has, whatever the server's defaults are; and what only one of the two knows.
 * max_statement_time and idle_transaction_timeout would end a view while it is read. */
static const char settings[] =
        "SET SESSION sql_mode='STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,"
        "NO_DIR_IN_CREATE,NO_ENGINE_SUBSTITUTION', time_zone='+00:00', foreign_key_checks=0, "
        "unique_checks=1, autocommit=1, sql_quote_show_create=1, wait_timeout=86400, "
        "net_read_timeout=3600, net_write_timeout=3600, sql_safe_updates=0, "
        "sql_select_limit=18446744073709551615, group_concat_max_len=1048576";
static const struct {
        bool mariadb;
        unsigned since;
        const char *text;
} dialect_settings[] = {
        { true, 0,
          "max_statement_time=0, idle_transaction_timeout=0, "
          "idle_write_transaction_timeout=0, idle_readonly_transaction_timeout=0, "
          "check_constraint_checks=0, innodb_strict_mode=0" },
        { true, 101100, "system_versioning_insert_history=1" },
        { false, 0, "max_execution_time=0, show_gipk_in_create_table_and_information_schema=1" },
};

static int begin_session(struct mariadb_conn *conn, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_sql_add(&sql, "%s", settings);
        for (size_t i = 0; i < sizeof(dialect_settings) / sizeof(dialect_settings[0]); i++)
                if (dialect_settings[i].mariadb == conn->is_mariadb &&
                    conn->version >= dialect_settings[i].since)
                        mariadb_sql_add(&sql, ", %s", dialect_settings[i].text);
        /* The server's default is a day, and what takes long on purpose (dropping a copy that is
         * read) has no limit of ours; meanwhile whoever else wants the table queues behind. */
        mariadb_sql_add(&sql, ", lock_wait_timeout=%u", conn->login->timeout_msec / 1000 + 1);
        if (mariadb_run_sql(conn, &sql, conn->login->timeout_msec, err) < 0)
                return -1;
        /* The variable of this has another name before MariaDB 11.1. */
        return mariadb_run(conn, err, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");
}

static void set_options(MYSQL *mysql, const struct mariadb_login *login)
{
        unsigned connect_sec = login->timeout_msec / 1000 + 1, packet_sec = PACKET_SEC, off = 0;
        unsigned long largest = 1UL << 30;

        (void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_sec);
        (void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &packet_sec);
        (void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &packet_sec);
        (void)mysql_options(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &largest);
        (void)mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
        (void)mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
        (void)mysql_options(mysql, MARIADB_OPT_RESTRICTED_AUTH,
                            "mysql_native_password,client_ed25519,caching_sha2_password,"
                            "sha256_password");
}

int mariadb_conn_open(const struct mariadb_login *login, struct mariadb_conn **ret_conn,
                      struct err *err)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *conn = calloc(1, sizeof(*conn));

        if (conn == NULL || (conn->mysql = mysql_init(NULL)) == NULL)
                return err_oom(err);
        conn->login = login;
        conn->limit_msec = login->timeout_msec;
        set_options(conn->mysql, login);
        if (mysql_real_connect(conn->mysql, login->socket_path == NULL ? login->host : NULL,
                               login->user, login->password, NULL,
                               login->socket_path == NULL ? login->port : 0, login->socket_path,
                               0) == NULL)
                return mariadb_fail(conn, err, "cannot log in to the database server at '%s'",
                                    login->socket_path != NULL ? login->socket_path
                                    : login->host != NULL      ? login->host
                                                               : "localhost");
        if (fcntl(mysql_get_socket(conn->mysql), F_SETFD, FD_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "the connection to the database server");
        if (check_version(conn, err) < 0 || begin_session(conn, err) < 0)
                return -1;
        *ret_conn = STEAL(conn);
        return 0;
}

void mariadb_disconnect(struct mariadb_conn *conn)
{
        if (conn == NULL)
                return;
        if (conn->mysql != NULL)
                mysql_close(conn->mysql);
        free(conn);
}

void mariadb_kill(const struct mariadb_conn *conn, bool query_only)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *second = NULL;
        struct err ignored;

        if (mariadb_conn_open(conn->login, &second, &ignored) < 0 ||
            mariadb_run(second, &ignored, "KILL %s %U", query_only ? "QUERY" : "CONNECTION",
                        (uint64_t)mysql_thread_id(conn->mysql)) < 0)
                return;
}

int mariadb_send(struct mariadb_conn *conn, struct mariadb_sql *sql, struct err *err)
{
        if (sql->failed) {
                *err = sql->why;
                return -1;
        }
        if (conn->broken)
                return err_fail(err, ERR_IO, 0, "the connection to the database server was lost");
        if (mysql_send_query(conn->mysql, sql->text, sql->n) != 0)
                return mariadb_fail(conn, err, "the database server does not listen");
        return 0;
}

bool mariadb_wait(const struct mariadb_conn *conn, int msec)
{
        int64_t until = clock_boot_usec() + (int64_t)msec * 1000;
        struct pollfd fd = { .fd = mysql_get_socket(conn->mysql), .events = POLLIN };
        int r;

        while ((r = poll(&fd, 1, msec)) < 0 && errno == EINTR && msec > 0) {
                int64_t left = until - clock_boot_usec();

                msec = left > 0 ? (int)(left / 1000) : 0;
        }
        return r > 0;
}

/* Wait for the answer, and take back a question that takes too long. */
static int answer(struct mariadb_conn *conn, unsigned msec, const char *sql, struct err *err)
{
        char shown[MARIADB_SQL_SHOWN];

        mariadb_sql_shown(sql, shown);
        if (!mariadb_wait(conn, msec == MARIADB_NO_LIMIT ? -1 : (int)msec)) {
                mariadb_kill(conn, false);
                conn->broken = true;
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the database server did not answer '%.60s' within %u ms", shown,
                                msec);
        }
        if (mysql_read_query_result(conn->mysql) != 0)
                return mariadb_fail(conn, err, "'%s'", shown);
        return 0;
}

int mariadb_finish(struct mariadb_conn *conn, struct err *err)
{
        MYSQL_RES *result;

        if (mysql_read_query_result(conn->mysql) != 0)
                return mariadb_fail(conn, err, "the database server");
        /* Nobody asked for rows, and they would be in the way. */
        result = mysql_store_result(conn->mysql);
        mysql_free_result(result);
        return 0;
}

int mariadb_run_sql(struct mariadb_conn *conn, struct mariadb_sql *sql, unsigned msec,
                    struct err *err)
{
        MYSQL_RES *result;

        if (mariadb_send(conn, sql, err) < 0 || answer(conn, msec, sql->text, err) < 0)
                return -1;
        result = mysql_store_result(conn->mysql);
        mysql_free_result(result);
        return 0;
}

int mariadb_run(struct mariadb_conn *conn, struct err *err, const char *fmt, ...)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        va_list ap;

        va_start(ap, fmt);
        mariadb_sql_vadd(&sql, fmt, ap);
        va_end(ap);
        return mariadb_run_sql(conn, &sql, conn->limit_msec, err);
}

static int each(struct mariadb_conn *conn, mariadb_row row, void *arg, struct mariadb_sql *sql,
                struct err *err)
{
        MYSQL_RES *result;
        MYSQL_ROW values;
        int r = 0;

        if (mariadb_send(conn, sql, err) < 0 || answer(conn, conn->limit_msec, sql->text, err) < 0)
                return -1;
        result = mysql_store_result(conn->mysql);
        if (result == NULL)
                return mariadb_fail(conn, err, "the database server's answer");
        while (r == 0 && (values = mysql_fetch_row(result)) != NULL)
                r = row(arg, values, mysql_fetch_lengths(result), err);
        mysql_free_result(result);
        return r;
}

int mariadb_each(struct mariadb_conn *conn, mariadb_row row, void *arg, struct err *err,
                 const char *fmt, ...)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        va_list ap;

        va_start(ap, fmt);
        mariadb_sql_vadd(&sql, fmt, ap);
        va_end(ap);
        return each(conn, row, arg, &sql, err);
}

static int take_number(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        (void)err;
        if (values[0] != NULL)
                *(uint64_t *)arg = strtoull(values[0], NULL, 10);
        return 0;
}

int mariadb_number(struct mariadb_conn *conn, uint64_t *ret_number, struct err *err,
                   const char *fmt, ...)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        uint64_t number = 0;
        va_list ap;

        va_start(ap, fmt);
        mariadb_sql_vadd(&sql, fmt, ap);
        va_end(ap);
        if (each(conn, take_number, &number, &sql, err) < 0)
                return -1;
        *ret_number = number;
        return 0;
}

static int take_text(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        char **text = arg;

        (void)sizes;
        if (*text == NULL && values[0] != NULL && (*text = strdup(values[0])) == NULL)
                return err_oom(err);
        return 0;
}

int mariadb_text(struct mariadb_conn *conn, char **ret_text, struct err *err, const char *fmt, ...)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(freep) char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        mariadb_sql_vadd(&sql, fmt, ap);
        va_end(ap);
        if (each(conn, take_text, &text, &sql, err) < 0)
                return -1;
        *ret_text = STEAL(text);
        return 0;
}

int mariadb_query(struct mariadb_conn *conn, struct mariadb_sql *sql, MYSQL_RES **ret_result,
                  struct err *err)
{
        if (mariadb_send(conn, sql, err) < 0 || answer(conn, MARIADB_NO_LIMIT, sql->text, err) < 0)
                return -1;
        *ret_result = mysql_use_result(conn->mysql);
        return *ret_result == NULL ? mariadb_fail(conn, err, "the database server's answer") : 0;
}

int mariadb_fetched(struct mariadb_conn *conn, struct err *err)
{
        return mysql_errno(conn->mysql) == 0 ? 0 : mariadb_fail(conn, err, "reading rows");
}
