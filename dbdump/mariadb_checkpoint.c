/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "dbdump/mariadb_checkpoint.h"

#define LOOK_MSEC 10
/* The server's own note about a checkpoint stands behind it in the log, and nothing else fits. */
#define NOTE_BYTES 16

int mariadb_checkpoint_known(struct mariadb_conn *conn, bool *ret_known, struct err *err)
{
        uint64_t n;

        if (mariadb_number(conn, &n, err,
                           "SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES"
                           " WHERE VARIABLE_NAME = 'INNODB_LOG_CHECKPOINT_NOW'") < 0)
                return -1;
        *ret_known = n > 0;
        return 0;
}

struct log {
        uint64_t end, checkpoint;
};

static int take_place(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct log *log = arg;

        (void)sizes;
        (void)err;
        if (strcasecmp(values[0], "Innodb_lsn_current") == 0)
                log->end = strtoull(values[1], NULL, 10);
        else
                log->checkpoint = strtoull(values[1], NULL, 10);
        return 0;
}

static int look(struct mariadb_conn *conn, struct log *ret_log, struct err *err)
{
        *ret_log = (struct log){ 0 };
        return mariadb_each(conn, take_place, ret_log, err,
                            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_lsn_current', "
                            "'Innodb_lsn_last_checkpoint')");
}

int mariadb_checkpoint(const struct mariadb_login *login, unsigned msec, struct err *err)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *asked = NULL, *watch = NULL;
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        int64_t until = clock_boot_usec() + (int64_t)msec * 1000;
        struct log first, now;
        struct err taken_back;

        mariadb_sql_add(&sql, "SET GLOBAL innodb_log_checkpoint_now = ON");
        if (mariadb_conn_open(login, &asked, err) < 0 ||
            mariadb_conn_open(login, &watch, err) < 0 || look(watch, &first, err) < 0 ||
            mariadb_send(asked, &sql, err) < 0)
                return err_wrap(err, "a checkpoint of the server");
        for (;;) {
                bool answered = mariadb_wait(asked, LOOK_MSEC);

                if (answered)
                        return mariadb_finish(asked, err) < 0
                                       ? err_wrap(err, "a checkpoint of the server")
                                       : 0;
                if (look(watch, &now, err) < 0)
                        return err_wrap(err, "a checkpoint of the server");
                if (now.checkpoint + NOTE_BYTES >= first.end)
                        break;
                if (clock_boot_usec() > until) {
                        mariadb_kill(asked, true);
                        return err_fail(err, ERR_TIMEOUT, 0,
                                        "the server did not write a checkpoint within %u s",
                                        msec / 1000);
                }
        }
        mariadb_kill(asked, true);
        /* That it was taken back is no failure; whoever does not listen is left to itself. */
        if (mariadb_wait(asked, (int)msec) && mariadb_finish(asked, &taken_back) < 0)
                return 0;
        return 0;
}
