/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"

/*
 * db_beat SOCKET USER PASSWORD SCHEMA TABLE
 *
 * A writer, as a site's visitors are while it is copied: one row of TABLE after the other, each in
 * a transaction of its own, until SIGTERM; then prints the longest time in milliseconds that a
 * write took, and how many there were.
 */

static volatile sig_atomic_t over;

static void end(int sig)
{
        (void)sig;
        over = 1;
}

int main(int argc, char **argv)
{
        MYSQL *mysql = mysql_init(NULL);
        int64_t longest = 0;
        unsigned writes = 0;
        char sql[300];

        if (argc != 6) {
                fprintf(stderr, "usage: db_beat SOCKET USER PASSWORD SCHEMA TABLE\n");
                return 2;
        }
        if (mysql_real_connect(mysql, NULL, argv[2], argv[3], argv[4], 0, argv[1], 0) == NULL) {
                fprintf(stderr, "%s\n", mysql_error(mysql));
                return 1;
        }
        (void)signal(SIGTERM, end);
        while (!over) {
                int64_t begin = clock_boot_usec(), took;

                (void)snprintf(sql, sizeof(sql), "UPDATE %s SET beat = beat + 1 WHERE id = %u",
                               argv[5], writes % 100 + 1);
                if (mysql_query(mysql, sql) != 0) {
                        fprintf(stderr, "%s\n", mysql_error(mysql));
                        return 1;
                }
                took = clock_boot_usec() - begin;
                if (took > longest)
                        longest = took;
                writes++;
                (void)usleep(2000);
        }
        printf("%.0f %u\n", (double)longest / 1000, writes);
        mysql_close(mysql);
        return 0;
}
