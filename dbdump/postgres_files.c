/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/postgres_files.h"
#include "dbdump/postgres_home.h"
#include "dbdump/postgres_mode.h"
#include "dbdump/postgres_settings.h"

#define POLL_USEC   2000
#define REPORT_MSEC 500
#define GONE_MSEC   4000 /* the server itself gives up on a database with sessions after 5 s */

struct postgres_files {
        struct postgres_server server; /* with the copy's purpose; the caller's password */
        struct postgres_copy *copy;
        struct postgres_link *ask; /* looks what is so, and ends sessions */
        struct postgres_link *make, *keep;
        char name[DB_NAME_MAX]; /* while it is made */
        char quoted[POSTGRES_NAME_MAX], source[POSTGRES_NAME_MAX];
        char oid[16]; /* of the original */
        int64_t until_usec;
        char *blocks; /* what the tables of the original take */
        char *rights; /* statements that give the copy the original's */
        struct postgres_settings *settings;
        struct postgres_view *view;
        char *made; /* the copy's name, when it is there */
};

/* Sessions in the original that are not ours, and who we are not let end. */
/* clang-format off */
static const char foreign_sql[] =
        "SELECT format('%s of %I (process %s)', coalesce(nullif(a.application_name, ''), "
        "'a session'), a.usename, a.pid) FROM pg_stat_activity a, pg_roles us WHERE a.datname = $1 "
        "AND us.rolname = session_user AND NOT us.rolsuper AND a.usename IS NOT NULL AND (NOT "
        "(pg_has_role(us.oid, a.usesysid, 'USAGE') OR pg_has_role(us.oid, 'pg_signal_backend', "
        "'USAGE')) OR (SELECT rolsuper FROM pg_roles r WHERE r.oid = a.usesysid)) LIMIT 1";

/* The server ends its own workers, which have no user, by itself. */
static const char end_sql[] =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datid = $1::oid AND "
        "pid <> ALL ($2::integer[]) AND usesysid IS NOT NULL";

/* Who asks to be let in has no database yet, but a lock that he waits for. */
static const char waiting_sql[] =
        "SELECT coalesce(array_agg(pid), '{}')::text FROM pg_locks WHERE locktype = 'object' AND "
        "classid = 'pg_database'::regclass AND objid = $1::oid AND mode = 'RowExclusiveLock' AND "
        "NOT granted";
static const char turn_away_sql[] =
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'object' AND classid = "
        "'pg_database'::regclass AND objid = $1::oid AND mode = 'RowExclusiveLock' AND NOT granted "
        "AND pid = ANY ($2::integer[])";
static const char lock_sql[] =
        "SELECT granted FROM pg_locks WHERE locktype = 'object' AND classid = "
        "'pg_database'::regclass AND objid = $1::oid AND pid = $2::integer AND mode = $3";

/* Tables in the hold do not grow or shrink; a table of the copy that is not as large is torn. */
static const char blocks_sql[] =
        "SELECT string_agg(format('%s %s %s %s', c.oid, pg_relation_size(c.oid), CASE WHEN "
        "c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) END, (SELECT "
        "sum(pg_relation_size(i.indexrelid)) FROM pg_index i WHERE i.indrelid = c.oid)), ', ' "
        "ORDER BY c.oid) FROM pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384 "
        "AND c.relpersistence "
        "<> 't'";
/* clang-format on */

static unsigned left_msec(const struct postgres_files *files)
{
        int64_t left = (files->until_usec - clock_boot_usec()) / 1000;

        return left < 1 ? 1 : (unsigned)left;
}

static int too_late(const struct postgres_files *files, struct err *err)
{
        return err_fail(err, ERR_TIMEOUT, 0,
                        "the deadline had passed before the files of '%s' were copied, and its "
                        "sessions were let in again; nothing is left of the copy",
                        files->copy->from);
}

int postgres_files_clones(struct postgres_link *link, bool *ret_clones, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link,
                         "SELECT set_config(name, 'clone', false) FROM pg_settings WHERE name = "
                         "'file_copy_method' AND 'clone' = ANY (enumvals)",
                         NULL, 0, &result, err) < 0)
                return -1;
        *ret_clones = PQntuples(result) > 0;
        return 0;
}

int postgres_files_check(struct postgres_link *link, const char *source, struct err *err)
{
        CLEANUP(PQclearp) PGresult *foreign = NULL;

        if (strcmp(source, POSTGRES_MAINTENANCE) == 0)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "'%s' is where databases are made from, so its files cannot be "
                                "copied: leave out way in [database]",
                                source);
        if (postgres_ask(link, foreign_sql, &source, 1, &foreign, err) < 0)
                return -1;
        return PQntuples(foreign) == 0
                       ? 0
                       : err_fail(err, ERR_DENIED, 0,
                                  "a session in '%s' may not be ended by us, and files are copied "
                                  "when nobody is in: %s; end it, GRANT pg_signal_backend TO "
                                  "\"%s\", "
                                  "or leave out way in [database]",
                                  source, PQgetvalue(foreign, 0, 0), PQuser(link->conn));
}

static int keep_text(struct postgres_link *link, const char *sql, const char *const *params, int n,
                     char **ret_text, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, sql, params, n, &result, err) < 0)
                return -1;
        *ret_text = strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
        return *ret_text == NULL ? err_oom(err) : 0;
}

/* All that has to be known of the original, while its writers wait and before we leave it. */
static int look_around(struct postgres_files *files, struct err *err)
{
        struct postgres_view *view = files->view;
        CLEANUP(freep) char *oid = NULL;
        struct err dead;

        if (postgres_run(view->lock, "SELECT 1", &dead) < 0)
                return too_late(files, err);
        if (postgres_view_tables(view, err) < 0 || postgres_copy_tell(view, NULL, err) < 0 ||
            postgres_home_rights(view, files->name, &files->rights, err) < 0 ||
            postgres_settings_read(view->look, &files->settings, err) < 0 ||
            keep_text(view->look, blocks_sql, NULL, 0, &files->blocks, err) < 0 ||
            keep_text(view->look, "SELECT oid FROM pg_database WHERE datname = current_database()",
                      NULL, 0, &oid, err) < 0)
                return -1;
        (void)snprintf(files->oid, sizeof(files->oid), "%s", oid);
        return 0;
}

/* Until a session has the lock, or waits for it; its failure if it has ended before. */
static int wait_lock(struct postgres_files *files, struct postgres_link *link, const char *mode,
                     bool granted, struct err *err)
{
        char pid[16];
        const char *const params[] = { files->oid, pid, mode };

        (void)snprintf(pid, sizeof(pid), "%d", PQbackendPID(link->conn));
        for (;;) {
                CLEANUP(PQclearp) PGresult *result = NULL;

                if (postgres_ask(files->ask, lock_sql, params, 3, &result, err) < 0)
                        return -1;
                if (PQntuples(result) > 0 && (PQgetvalue(result, 0, 0)[0] == 't') == granted)
                        return 0;
                if (!PQconsumeInput(link->conn) || !PQisBusy(link->conn))
                        return postgres_answer(link, NULL, err) < 0
                                       ? -1
                                       : err_fail(err, ERR_IO, 0, "the server did not wait");
                if (clock_boot_usec() >= files->until_usec)
                        return too_late(files, err);
                (void)usleep(POLL_USEC);
        }
}

/* CREATE DATABASE locks newcomers out, and we queue behind it to go on with that. */
static int lock_out(struct postgres_files *files, struct err *err)
{
        CLEANUP(freep) char *sql = NULL;
        bool clones;

        if (postgres_connect(&files->server, POSTGRES_MAINTENANCE, &files->make, err) < 0 ||
            postgres_connect(&files->server, POSTGRES_MAINTENANCE, &files->keep, err) < 0 ||
            postgres_patience(files->make, left_msec(files), err) < 0 ||
            postgres_patience(files->keep, left_msec(files), err) < 0 ||
            postgres_files_clones(files->make, &clones, err) < 0 ||
            postgres_runf(files->make, err, "SET lock_timeout = %u", left_msec(files)) < 0 ||
            postgres_runf(files->keep, err,
                          "BEGIN; SET LOCAL lock_timeout = %u; "
                          "SET LOCAL idle_in_transaction_session_timeout = %u",
                          left_msec(files), left_msec(files)) < 0)
                return -1;
        if (asprintf(&sql, "CREATE DATABASE %s TEMPLATE %s%s ALLOW_CONNECTIONS false",
                     files->quoted, files->source,
                     PQserverVersion(files->make->conn) >= 150000 ? " STRATEGY FILE_COPY" : "") <
            0) {
                sql = NULL;
                return err_oom(err);
        }
        if (!PQsendQuery(files->make->conn, sql))
                return postgres_fail(err, files->make, NULL);
        if (wait_lock(files, files->make, "ShareLock", true, err) < 0)
                return -1;
        free(STEAL(sql));
        if (asprintf(&sql, "ALTER DATABASE %s RENAME TO \"%.*s.held\"", files->source,
                     (int)strcspn(files->name, "."), files->name) < 0) {
                sql = NULL;
                return err_oom(err);
        }
        if (!PQsendQuery(files->keep->conn, sql))
                return postgres_fail(err, files->keep, NULL);
        return wait_lock(files, files->keep, "AccessExclusiveLock", false, err);
}

/* Who is in, and who waits before us in the queue: he would be in between. */
static int end_sessions(struct postgres_files *files, struct err *err)
{
        CLEANUP(freep) char *waiting = NULL;
        const char *const oid = files->oid;
        char ours[48];
        const char *const in[] = { files->oid, ours };

        (void)snprintf(ours, sizeof(ours), "{%d,%d}", PQbackendPID(files->view->look->conn),
                       PQbackendPID(files->view->lock->conn));
        if (keep_text(files->ask, waiting_sql, &oid, 1, &waiting, err) < 0)
                return -1;
        for (unsigned msec = 0; msec < GONE_MSEC; msec += 2) {
                const char *const before[] = { files->oid, waiting };
                CLEANUP(PQclearp) PGresult *ended = NULL;
                CLEANUP(PQclearp) PGresult *turned = NULL;

                if (postgres_ask(files->ask, end_sql, in, 2, &ended, err) < 0 ||
                    postgres_ask(files->ask, turn_away_sql, before, 2, &turned, err) < 0)
                        return -1;
                if (PQntuples(ended) == 0 && PQntuples(turned) == 0)
                        return 0;
                (void)usleep(POLL_USEC);
        }
        return err_fail(err, ERR_BUSY, 0,
                        "a session in '%s' did not end when it was told to; try again",
                        files->copy->from);
}

/* The answer of what was sent; whoever wants to know is told on the way, and can stop it. */
static int await(struct postgres_files *files, struct postgres_link *link,
                 const struct db_progress *progress, struct err *err)
{
        while (PQisBusy(link->conn)) {
                struct pollfd fd = { PQsocket(link->conn), POLLIN, 0 };

                if (files->copy->report != NULL &&
                    files->copy->report(progress, files->copy->arg, err) < 0)
                        return -1;
                if (poll(&fd, 1, REPORT_MSEC) < 0 && errno != EINTR)
                        return err_fail(err, ERR_IO, errno, "cannot wait for the server");
                if (fd.revents != 0 && !PQconsumeInput(link->conn))
                        return postgres_fail(err, link, NULL);
        }
        if (postgres_answer(link, NULL, err) == 0)
                return 0;
        return clock_boot_usec() >= files->until_usec ? too_late(files, err) : -1;
}

static int make_files(struct postgres_files *files, struct err *err)
{
        struct db_progress progress = { .tables_all = files->view->n_tables };

        for (size_t i = 0; i < files->view->n_tables; i++)
                progress.bytes_all += files->view->tables[i].bytes;
        if (files->copy->report != NULL &&
            files->copy->report(&progress, files->copy->arg, err) < 0)
                return -1;
        if (lock_out(files, err) < 0 || end_sessions(files, err) < 0)
                return -1;
        /* From here on the lock on the database is the hold. */
        postgres_close(STEAL(files->view->lock));
        postgres_close(STEAL(files->view->look));
        if (await(files, files->make, &progress, err) < 0 ||
            await(files, files->keep, &progress, err) < 0 ||
            postgres_runf(files->keep, err, "SET LOCAL idle_in_transaction_session_timeout = %u",
                          left_msec(files)) < 0)
                return -1;
        progress.tables_done = progress.tables_all;
        progress.bytes_done = progress.bytes_all;
        return files->copy->report == NULL ? 0
                                           : files->copy->report(&progress, files->copy->arg, err);
}

/* Only we can be in it: it is ours until it has its name. */
static int look_at_copy(struct postgres_files *files, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        CLEANUP(freep) char *blocks = NULL;

        if (postgres_runf(files->ask, err,
                          "BEGIN; REVOKE ALL ON DATABASE %s FROM PUBLIC; ALTER DATABASE %s "
                          "ALLOW_CONNECTIONS true; COMMIT",
                          files->quoted, files->quoted) < 0 ||
            postgres_connect(&files->server, files->name, &link, err) < 0 ||
            postgres_patience(link, 0, err) < 0 ||
            keep_text(link, blocks_sql, NULL, 0, &blocks, err) < 0)
                return -1;
        if (strcmp(blocks, files->blocks) != 0)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the copy differs: its tables do not have the original's size");
        return postgres_run(link, "BEGIN", err) < 0 ||
                               postgres_mode_thaw(link, NULL, NULL, files->copy->app_user, err) <
                                       0 ||
                               postgres_run(link, "COMMIT", err) < 0
                       ? -1
                       : 0;
}

static int make(struct postgres_files *files, struct err *err)
{
        struct postgres_copy *copy = files->copy;
        bool there;

        if (postgres_connect(&files->server, POSTGRES_MAINTENANCE, &files->ask, err) < 0 ||
            postgres_patience(files->ask, 0, err) < 0 ||
            postgres_copy_exists(files->ask, false, copy->to, &there, err) < 0)
                return -1;
        if (there && !db_is_copy_name(copy->to))
                return err_fail(err, ERR_EXISTS, 0,
                                "'%s' is there, and no copy of ours: it is not replaced", copy->to);
        if (postgres_files_check(files->ask, copy->from, err) < 0 ||
            postgres_home_remove(files->ask, false, files->name, err) < 0 ||
            look_around(files, err) < 0 || make_files(files, err) < 0 ||
            look_at_copy(files, err) < 0 ||
            postgres_settings_apply(files->settings, &files->server, files->name, err) < 0 ||
            postgres_home_publish(files->ask, files->rights, files->name, copy->to, copy->app_user,
                                  err) < 0)
                return -1;
        files->made = strdup(copy->to);
        return files->made == NULL ? err_oom(err) : 0;
}

int postgres_files_copy(struct postgres_copy *copy, struct postgres_files **ret_files,
                        struct err *err)
{
        struct postgres_files *files = calloc(1, sizeof(*files));
        struct err ignored;
        int r;

        if (files == NULL)
                return err_oom(err);
        files->server = *copy->server;
        files->copy = copy;
        files->view = copy->view;
        files->until_usec = copy->view->until_usec;
        postgres_home_purpose(copy->to, files->server.purpose);
        postgres_home_partial(copy->to, files->name);
        r = postgres_quote(files->name, files->quoted, err) < 0 ||
                            postgres_quote(copy->from, files->source, err) < 0
                    ? -1
                    : make(files, err);
        files->copy = NULL; /* the caller's, and gone now */
        if (r == 0) {
                *ret_files = files;
                return 0;
        }
        postgres_files_close(files);
        /* The failure counts, not that it could not be cleared up. */
        if (err->code != ERR_EXISTS &&
            postgres_copy_drop(copy->server, NULL, copy->to, false, &ignored) < 0)
                return -1;
        return -1;
}

/* What is in the copy, before anybody knows of it. */
static int count_rows(struct postgres_files *files, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;

        if (postgres_connect(&files->server, files->made, &link, err) < 0 ||
            postgres_patience(link, 0, err) < 0 || postgres_restrict(link, err) < 0)
                return -1;
        return postgres_view_recount(link, files->view, err);
}

int postgres_files_release(struct postgres_files *files, struct err *err)
{
        struct err why;

        if (postgres_run(files->keep, "ROLLBACK", &why) < 0)
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the deadline had passed, and the sessions of '%s' went on before "
                                "all was captured (%.200s)",
                                files->view->name, why.msg);
        postgres_close(STEAL(files->keep));
        return count_rows(files, err);
}

void postgres_files_close(struct postgres_files *files)
{
        struct postgres_link *links[3];
        char text[256];

        if (files == NULL)
                return;
        links[0] = files->make;
        links[1] = files->keep;
        links[2] = files->ask;
        for (int i = 0; i < 3; i++) {
                PGcancel *cancel = NULL;

                if (links[i] != NULL && PQtransactionStatus(links[i]->conn) == PQTRANS_ACTIVE)
                        cancel = PQgetCancel(links[i]->conn);
                if (cancel != NULL)
                        (void)PQcancel(cancel, text, sizeof(text));
                PQfreeCancel(cancel);
                postgres_close(links[i]);
        }
        postgres_settings_free(files->settings);
        free(files->blocks);
        free(files->rights);
        free(files->made);
        free(files);
}
