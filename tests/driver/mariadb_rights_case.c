/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/test.h"

/* Who may do what, and what an administrator is told to run. */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

TEST(missing_rights_are_told_as_grants)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                      "CREATE DEFINER=app@localhost VIEW live.v AS SELECT 1;\n"
                      "REVOKE ALL PRIVILEGES, GRANT OPTION FROM sitesnap@localhost;\n"
                      "GRANT SELECT, SHOW VIEW ON live.* TO sitesnap@localhost");
        ASSERT_ERR(driver->check(db, "live", &err), ERR_DENIED,
                   "GRANT LOCK TABLES, TRIGGER, EVENT, EXECUTE ON `live`.* TO "
                   "`sitesnap`@`localhost`; GRANT ALL PRIVILEGES ON `snap%`.* TO "
                   "`sitesnap`@`localhost` WITH GRANT OPTION; GRANT SET USER ON *.* TO "
                   "`sitesnap`@`localhost`");
        ASSERT(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err) < 0);
        ASSERT_EQ(err.code, ERR_DENIED);
        ASSERT(torture_unlocked());
        mariadb_admin("GRANT LOCK TABLES, TRIGGER, EVENT, EXECUTE ON `live`.* TO"
                      " `sitesnap`@`localhost`;\nGRANT ALL PRIVILEGES ON `snap%`.* TO"
                      " `sitesnap`@`localhost` WITH GRANT OPTION;\nGRANT SET USER ON *.* TO"
                      " `sitesnap`@`localhost`");
        driver->close(db);
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->check(db, "live", &err));
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));

        /* A user of the site with rights everywhere cannot be kept from a copy. */
        mariadb_admin("GRANT SELECT ON mysql.* TO sitesnap@localhost;\n"
                      "GRANT INSERT ON *.* TO app@localhost");
        ASSERT_ERR(driver->set_writable(db, TORTURE_COPY, false, &err), ERR_REFUSED,
                   "a right on every database");
        driver->close(db);
}

/* What an administrator is told to run is run to the letter. */
static void run_grants(const char *msg)
{
        char lines[1024], *save = NULL;
        const char *at = strstr(msg, "GRANT ");

        ASSERT(at != NULL);
        (void)snprintf(lines, sizeof(lines), "%s", at);
        for (char *line = strtok_r(lines, ";", &save); line != NULL;
             line = strtok_r(NULL, ";", &save))
                mariadb_admin(line + strspn(line, " "));
}

/* In a GRANT `_` and `%` stand for other characters; and of two grants that are right for a
 * database the server follows the narrower alone. */
static const struct {
        const char *make, *undo;
} granted[] = {
        { "GRANT EVENT ON `my\\_s\\%te`.* TO sitesnap@localhost", "DO 1" },
        { "GRANT SELECT, EVENT ON `my_s%`.* TO sitesnap@localhost",
          "REVOKE ALL PRIVILEGES ON `my_s%`.* FROM sitesnap@localhost" },
        { "GRANT SELECT, EVENT ON `my_s%te`.* TO sitesnap@localhost;\n"
          "GRANT TRIGGER ON `my\\_s%`.* TO sitesnap@localhost",
          "REVOKE ALL PRIVILEGES ON `my_s%te`.* FROM sitesnap@localhost" },
        { "GRANT TRIGGER ON *.* TO sitesnap@localhost",
          "REVOKE TRIGGER ON *.* FROM sitesnap@localhost" },
};

TEST(the_grants_that_are_told_are_for_one_database)
{
        struct db *db = torture_begin_open(&conf);

        driver->close(db);
        mariadb_admin("CREATE DATABASE `my_s%te`;\nCREATE DATABASE myXsite;\n"
                      "CREATE TABLE `my_s%te`.t (id INT PRIMARY KEY) ENGINE=InnoDB");
        for (size_t i = 0; i < sizeof(granted) / sizeof(granted[0]); i++) {
                mariadb_admin("REVOKE ALL PRIVILEGES, GRANT OPTION FROM sitesnap@localhost;\n"
                              "GRANT ALL PRIVILEGES ON `snap%`.* TO sitesnap@localhost"
                              " WITH GRANT OPTION");
                mariadb_admin(granted[i].make);
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_ERR(driver->check(db, "my_s%te", &err), ERR_DENIED, "GRANT SELECT");
                printf("# %s\n", err.msg);
                run_grants(err.msg);
                driver->close(db);
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_OK(driver->check(db, "my_s%te", &err));
                ASSERT_OK(driver->copy(db, "my_s%te", TORTURE_COPY, NULL, NULL, &err));
                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                driver->close(db);
                /* Without the wider one we still have this database, and no other. */
                mariadb_admin(granted[i].undo);
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_ERR(driver->check(db, "myXsite", &err), ERR_NOT_FOUND, "'myXsite'");
                driver->close(db);
        }
}

TEST(who_may_not_log_in_is_told_so)
{
        struct db *db = torture_begin_open(&conf);
        struct db_conf wrong = conf;

        driver->close(db);
        wrong.secret_fd = -1;
        ASSERT_ERR(driver->open(&wrong, &db, &err), ERR_DENIED,
                   "Access denied for user 'sitesnap'");
        wrong = conf;
        wrong.socket_path = "/nonexistent";
        ASSERT_ERR(driver->open(&wrong, &db, &err), ERR_IO, "/nonexistent");
        ASSERT_OK(driver->open(&conf, &db, &err));
        mariadb_server_kill();
        ASSERT_ERR(driver->check(db, "live", &err), ERR_IO, "cannot log in");
        mariadb_server_start();
        ASSERT_OK(driver->check(db, "live", &err));
        driver->close(db);
}

TEST(a_copy_is_dropped_when_the_sites_user_has_gone)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT)");
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        mariadb_admin("DROP USER app@localhost");
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err), ERR_IO,
                   "the rights of 'app'@'localhost'");
        printf("# %s\n", err.msg);
        driver->close(db);
}
