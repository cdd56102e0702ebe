/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/outbox.h"
#include "snapd/sql_file.h"

#define DAY_USEC       (INT64_C(86400) * USEC_PER_SEC)
#define SENT_KEPT_USEC (7 * DAY_USEC)
#define DEAD_KEPT_USEC (30 * DAY_USEC)
#define KEY_KEPT_USEC  (2 * DAY_USEC) /* of what nobody wanted */
#define FARTHEST_USEC  (8 * DAY_USEC) /* no digest and no attempt is farther away */
#define BUSY_MSEC      2000
#define ROUTED_AT_ONCE 100

struct outbox {
        sqlite3 *db;
};

static const char *const scripts[] = {
        /* 1 */
        "CREATE TABLE notices ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  created INTEGER NOT NULL,"
        "  phase TEXT NOT NULL,"
        "  site TEXT NOT NULL,"
        "  body TEXT NOT NULL,"
        "  routed INTEGER NOT NULL,"
        "  key TEXT UNIQUE"
        ");"
        "CREATE INDEX notices_by_site ON notices (site, id);"
        "CREATE INDEX notices_unrouted ON notices (id) WHERE routed = 0;"
        "CREATE TABLE deliveries ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  notice INTEGER NOT NULL REFERENCES notices (id) ON DELETE CASCADE,"
        "  target TEXT NOT NULL,"
        "  state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'dead')),"
        "  attempts INTEGER NOT NULL DEFAULT 0,"
        "  next INTEGER NOT NULL,"
        "  ended INTEGER NOT NULL DEFAULT 0,"
        "  why TEXT NOT NULL DEFAULT '',"
        "  UNIQUE (notice, target)"
        ");"
        "CREATE INDEX deliveries_waiting ON deliveries (next) WHERE state = 'waiting';"
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO counters VALUES ('since', unixepoch() * 1000000);",
};

static const struct sql_schema schema = {
        .application_id = 0x5373534f, /* "SsSO" */
        .what = "an outbox",
        .scripts = scripts,
        .n = sizeof(scripts) / sizeof(scripts[0]),
};

static const char *const state_names[DELIVERY_STATES] = {
        [DELIVERY_WAITING] = "waiting",
        [DELIVERY_SENT] = "sent",
        [DELIVERY_DEAD] = "dead",
};

const char *delivery_state_name(enum delivery_state state)
{
        return state_names[state];
}

static int open_parts(struct outbox *outbox, int dir_fd, struct err *err)
{
        if (sql_file_open(dir_fd, OUTBOX_FILE, &outbox->db, err) < 0 ||
            sql_schema_update(outbox->db, &schema, err) < 0)
                return err->code == ERR_CORRUPT
                               ? err_wrap(err, "the outbox '%s' (remove it to begin a new one)",
                                          OUTBOX_FILE)
                               : err_wrap(err, "the outbox '%s'", OUTBOX_FILE);
        /* Nothing that is waited for here is worth keeping an operation or the daemon longer. */
        (void)sqlite3_busy_timeout(outbox->db, BUSY_MSEC);
        return 0;
}

int outbox_open(int dir_fd, struct outbox **ret_outbox, struct err *err)
{
        CLEANUP(outbox_closep) struct outbox *outbox = calloc(1, sizeof(*outbox));

        if (outbox == NULL)
                return err_oom(err);
        if (open_parts(outbox, dir_fd, err) < 0)
                return -1;
        *ret_outbox = STEAL(outbox);
        return 0;
}

void outbox_close(struct outbox *outbox)
{
        if (outbox == NULL)
                return;
        sql_close(outbox->db);
        free(outbox);
}

/* End a transaction as ${result} says. */
static int leave(struct outbox *outbox, int result, struct err *err)
{
        if (result == 0 && sql_script(outbox->db, "COMMIT", err) == 0)
                return 0;
        if (sqlite3_get_autocommit(outbox->db) == 0)
                (void)sqlite3_exec(outbox->db, "ROLLBACK", NULL, NULL, NULL);
        return err_wrap(err, "the outbox");
}

/* A notice is open while somebody may still be told. */
#define IS_OPEN                                                                                    \
        "(routed = 0 OR EXISTS (SELECT 1 FROM deliveries"                                          \
        "                       WHERE notice = notices.id AND state = 'waiting'))"

/* Too many of ${site}, "%" for all.  They are few, so they are sorted. */
static int keep_newest(struct outbox *outbox, const char *site, unsigned max, struct err *err)
{
        const struct sql_value *args = SQL_ARGS(sql_text(site), sql_uint(max));
        uint64_t n = 0;

        if (sql_number(outbox->db, "SELECT count(*) FROM notices WHERE site LIKE ?",
                       SQL_ARGS(sql_text(site)), &n, err) < 0)
                return -1;
        if (n <= max)
                return 0;
        if (sql_run(outbox->db,
                    "INSERT INTO counters (name, value)"
                    "  SELECT 'dropped', count(*) FROM (SELECT " IS_OPEN " AS open FROM notices"
                    "    WHERE site LIKE ?1 ORDER BY open DESC, id DESC LIMIT -1 OFFSET ?2)"
                    "  WHERE open"
                    "  ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    args, err) < 0)
                return -1;
        return sql_run(outbox->db,
                       "DELETE FROM notices WHERE id IN (SELECT id FROM notices"
                       "  WHERE site LIKE ?1 ORDER BY " IS_OPEN " DESC, id DESC"
                       "  LIMIT -1 OFFSET ?2)",
                       args, err);
}

/* 1: it is there now, 0: one with its key was there. */
static int put(struct outbox *outbox, const struct outbox_put *put, uint64_t *ret_id,
               struct err *err)
{
        int64_t now = clock_wall_usec();
        int row = sql_number(outbox->db,
                             "INSERT INTO notices (created, phase, site, body, routed, key)"
                             "  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
                             SQL_ARGS(sql_int(now), sql_text(put->phase), sql_text(put->site),
                                      sql_text(put->body), sql_int(put->target != NULL),
                                      sql_text(put->key)),
                             ret_id, err);

        if (row <= 0)
                return row;
        if (put->target != NULL &&
            sql_run(outbox->db,
                    "INSERT INTO deliveries (notice, target, state, next)"
                    "  VALUES (?, ?, 'waiting', ?)",
                    SQL_ARGS(sql_uint(*ret_id), sql_text(put->target), sql_int(now)), err) < 0)
                return -1;
        if (keep_newest(outbox, put->site, OUTBOX_SITE_MAX, err) < 0 ||
            keep_newest(outbox, "%", OUTBOX_ALL_MAX, err) < 0)
                return -1;
        return 1;
}

int outbox_put(struct outbox *outbox, const struct outbox_put *what, uint64_t *ret_id,
               struct err *err)
{
        uint64_t id = 0;
        int row;

        if (outbox == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the outbox could not be opened");
        if (strlen(what->body) > OUTBOX_BODY_MAX)
                return err_fail(err, ERR_INVALID, 0, "a notice has at most %d bytes",
                                OUTBOX_BODY_MAX);
        if (sql_script(outbox->db, "BEGIN IMMEDIATE", err) < 0)
                return err_wrap(err, "the outbox");
        row = put(outbox, what, &id, err);
        if (leave(outbox, row < 0 ? -1 : 0, err) < 0)
                return -1;
        if (ret_id != NULL)
                *ret_id = id;
        return 0;
}

bool outbox_has(struct outbox *outbox, const char *key)
{
        struct err ignored; /* then it is put, which says why it cannot be */
        uint64_t id;

        return sql_number(outbox->db, "SELECT id FROM notices WHERE key = ?",
                          SQL_ARGS(sql_text(key)), &id, &ignored) > 0;
}

static uint64_t counter(struct outbox *outbox, const char *name)
{
        uint64_t n = 0;
        struct err ignored; /* there is none, or a number for people */

        (void)!sql_number(outbox->db, "SELECT value FROM counters WHERE name = ?",
                          SQL_ARGS(sql_text(name)), &n, &ignored);
        return n;
}

uint64_t outbox_dropped(struct outbox *outbox)
{
        return counter(outbox, "dropped");
}

int64_t outbox_since_usec(struct outbox *outbox)
{
        return (int64_t)counter(outbox, "since");
}

int outbox_unrouted(struct outbox *outbox, outbox_visit visit, void *arg, struct err *err)
{
        for (int i = 0; i < ROUTED_AT_ONCE; i++) {
                CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
                CLEANUP(freep) char *phase = NULL;
                CLEANUP(freep) char *site = NULL;
                struct outbox_notice notice;
                int row;

                if (sql_prepare(outbox->db,
                                "SELECT id, phase, site FROM notices WHERE routed = 0"
                                "  ORDER BY id LIMIT 1",
                                NULL, &stmt, err) < 0)
                        return err_wrap(err, "the outbox");
                row = sql_step(stmt, err);
                if (row <= 0)
                        return row < 0 ? err_wrap(err, "the outbox") : 0;
                notice.id = sql_column_u64(stmt, 0);
                if (sql_column_copy(stmt, 1, &phase, err) < 0 ||
                    sql_column_copy(stmt, 2, &site, err) < 0)
                        return -1;
                notice.phase = phase;
                notice.site = site;
                sql_done(STEAL(stmt));
                if (visit(&notice, arg, err) < 0)
                        return -1;
        }
        return 0;
}

static int route(struct outbox *outbox, uint64_t notice, const struct outbox_wish *wishes, size_t n,
                 int64_t now_usec, struct err *err)
{
        for (size_t i = 0; i < n; i++)
                if (sql_run(outbox->db,
                            "INSERT OR IGNORE INTO deliveries (notice, target, state, next)"
                            "  VALUES (?1, ?2, 'waiting', ?3 + CASE WHEN ?4 = 0 THEN 0 ELSE"
                            "    coalesce((SELECT min(next) - ?3 FROM deliveries WHERE target = ?2"
                            "                AND state = 'waiting' AND attempts = 0"
                            "                AND next BETWEEN ?3 AND ?3 + ?4), ?4) END)",
                            SQL_ARGS(sql_uint(notice), sql_text(wishes[i].target),
                                     sql_int(now_usec), sql_int(wishes[i].delay_usec)),
                            err) < 0)
                        return -1;
        return sql_run(outbox->db, "UPDATE notices SET routed = 1 WHERE id = ?",
                       SQL_ARGS(sql_uint(notice)), err);
}

int outbox_route(struct outbox *outbox, uint64_t notice, const struct outbox_wish *wishes, size_t n,
                 int64_t now_usec, struct err *err)
{
        if (sql_script(outbox->db, "BEGIN IMMEDIATE", err) < 0)
                return err_wrap(err, "the outbox");
        return leave(outbox, route(outbox, notice, wishes, n, now_usec, err), err);
}

static const struct {
        unsigned after; /* so many attempts */
        int64_t wait_sec;
} backoff[] = {
        { 1, 5 },    { 2, 30 },   { 3, 120 },   { 4, 600 },
        { 5, 1800 }, { 6, 3600 }, { 7, 10800 }, { OUTBOX_ATTEMPTS - 1, 21600 },
};

int64_t outbox_backoff_usec(unsigned attempts)
{
        for (size_t i = 0; i < sizeof(backoff) / sizeof(backoff[0]); i++)
                if (attempts <= backoff[i].after)
                        return backoff[i].wait_sec * USEC_PER_SEC;
        return 0;
}

int outbox_sent(struct outbox *outbox, uint64_t id, int64_t now_usec, struct err *err)
{
        if (sql_run(outbox->db,
                    "UPDATE deliveries SET state = 'sent', attempts = attempts + 1, ended = ?2,"
                    "  why = '' WHERE id = ?1 AND state = 'waiting'",
                    SQL_ARGS(sql_uint(id), sql_int(now_usec)), err) < 0)
                return err_wrap(err, "the outbox");
        return 0;
}

int outbox_failed(struct outbox *outbox, uint64_t id, const char *why, bool final, int64_t now_usec,
                  struct err *err)
{
        uint64_t attempts = 0;
        int64_t wait = 0;

        if (sql_number(outbox->db, "SELECT attempts FROM deliveries WHERE id = ?",
                       SQL_ARGS(sql_uint(id)), &attempts, err) < 0)
                return err_wrap(err, "the outbox");
        if (!final)
                wait = outbox_backoff_usec((unsigned)attempts + 1);
        if (sql_run(outbox->db,
                    "UPDATE deliveries SET attempts = attempts + 1, why = ?2,"
                    "  state = CASE WHEN ?4 = 0 THEN 'dead' ELSE 'waiting' END,"
                    "  ended = CASE WHEN ?4 = 0 THEN ?3 ELSE 0 END, next = ?3 + ?4"
                    "  WHERE id = ?1 AND state = 'waiting'",
                    SQL_ARGS(sql_uint(id), sql_text(why), sql_int(now_usec), sql_int(wait)),
                    err) < 0)
                return err_wrap(err, "the outbox");
        return 0;
}

int outbox_drop(struct outbox *outbox, uint64_t id, struct err *err)
{
        if (sql_run(outbox->db, "DELETE FROM deliveries WHERE id = ?", SQL_ARGS(sql_uint(id)),
                    err) < 0)
                return err_wrap(err, "the outbox");
        return 0;
}

int outbox_retry(struct outbox *outbox, const char *target, int64_t now_usec, unsigned *ret_n,
                 struct err *err)
{
        if (sql_run(outbox->db,
                    "UPDATE deliveries SET state = 'waiting', attempts = 0, ended = 0, next = ?2"
                    "  WHERE state != 'sent' AND (?1 IS NULL OR target = ?1)",
                    SQL_ARGS(sql_text(target), sql_int(now_usec)), err) < 0)
                return err_wrap(err, "the outbox");
        *ret_n = (unsigned)sqlite3_changes(outbox->db);
        return 0;
}

int outbox_tidy(struct outbox *outbox, int64_t now_usec, struct err *err)
{
        if (sql_run(outbox->db,
                    "DELETE FROM deliveries WHERE (state = 'sent' AND ended < ?1)"
                    "  OR (state = 'dead' AND ended < ?2)",
                    SQL_ARGS(sql_int(now_usec - SENT_KEPT_USEC),
                             sql_int(now_usec - DEAD_KEPT_USEC)),
                    err) < 0 ||
            sql_run(outbox->db,
                    "DELETE FROM notices WHERE routed = 1 AND created < ? AND NOT EXISTS"
                    "  (SELECT 1 FROM deliveries WHERE notice = notices.id)",
                    SQL_ARGS(sql_int(now_usec - KEY_KEPT_USEC)), err) < 0)
                return err_wrap(err, "the outbox");
        return 0;
}

int outbox_next(struct outbox *outbox, int64_t now_usec, int64_t *ret_usec, struct err *err)
{
        uint64_t next = 0;

        if (sql_number(outbox->db, "SELECT min(next) FROM deliveries WHERE state = 'waiting'", NULL,
                       &next, err) < 0)
                return err_wrap(err, "the outbox");
        *ret_usec = (int64_t)next > now_usec + FARTHEST_USEC ? now_usec : (int64_t)next;
        return 0;
}

static int delivery_read(sqlite3_stmt *stmt, struct delivery *delivery, struct err *err)
{
        CLEANUP(freep) char *state = NULL;

        delivery->id = sql_column_u64(stmt, 0);
        delivery->notice = sql_column_u64(stmt, 1);
        delivery->attempts = (unsigned)sql_column_u64(stmt, 2);
        delivery->created_usec = (int64_t)sql_column_u64(stmt, 3);
        delivery->next_usec = (int64_t)sql_column_u64(stmt, 4);
        delivery->ended_usec = (int64_t)sql_column_u64(stmt, 5);
        if (sql_column_copy(stmt, 6, &state, err) < 0 ||
            sql_column_copy(stmt, 7, &delivery->target, err) < 0 ||
            sql_column_copy(stmt, 8, &delivery->phase, err) < 0 ||
            sql_column_copy(stmt, 9, &delivery->site, err) < 0 ||
            sql_column_copy(stmt, 10, &delivery->why, err) < 0 ||
            sql_column_copy(stmt, 11, &delivery->body, err) < 0)
                return -1;
        while (delivery->state < DELIVERY_STATES - 1 &&
               strcmp(state, state_names[delivery->state]) != 0)
                delivery->state++;
        return 0;
}

static int list_read(sqlite3_stmt *stmt, struct delivery_list *list, struct err *err)
{
        int row;

        while ((row = sql_step(stmt, err)) > 0) {
                struct delivery *more = reallocarray(list->items, list->n + 1, sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                list->items = more;
                list->items[list->n] = (struct delivery){ 0 };
                if (delivery_read(stmt, &list->items[list->n++], err) < 0)
                        return -1;
        }
        return row;
}

#define COLUMNS                                                                                    \
        "SELECT d.id, d.notice, d.attempts, n.created, d.next, d.ended, d.state, d.target,"        \
        "  n.phase, n.site, d.why, "
#define TABLES " FROM deliveries d JOIN notices n ON n.id = d.notice "

static int list_query(struct outbox *outbox, const char *text, const struct sql_value *args,
                      struct delivery_list *ret_list, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        struct delivery_list list = { 0 };

        if (sql_prepare(outbox->db, text, args, &stmt, err) < 0 ||
            list_read(stmt, &list, err) < 0) {
                delivery_list_done(&list);
                return err_wrap(err, "the outbox");
        }
        *ret_list = list;
        return 0;
}

#define IS_DUE "state = 'waiting' AND (next <= ?1 OR next > ?2)"

int outbox_due(struct outbox *outbox, const char *target, int64_t now_usec, unsigned limit,
               struct delivery_list *ret_list, struct err *err)
{
        return list_query(outbox,
                          COLUMNS "n.body" TABLES "WHERE d." IS_DUE " AND d.target = ?4"
                                  "  ORDER BY d.id LIMIT ?3",
                          SQL_ARGS(sql_int(now_usec), sql_int(now_usec + FARTHEST_USEC),
                                   sql_uint(limit), sql_text(target)),
                          ret_list, err);
}

int outbox_targets(struct outbox *outbox, int64_t now_usec, outbox_target_visit visit, void *arg,
                   struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(outbox->db,
                        "SELECT DISTINCT target FROM deliveries WHERE " IS_DUE "  ORDER BY target",
                        SQL_ARGS(sql_int(now_usec), sql_int(now_usec + FARTHEST_USEC)), &stmt,
                        err) < 0)
                return err_wrap(err, "the outbox");
        while ((row = sql_step(stmt, err)) > 0) {
                CLEANUP(freep) char *target = NULL;

                if (sql_column_copy(stmt, 0, &target, err) < 0 || visit(target, arg, err) < 0)
                        return -1;
        }
        return row < 0 ? err_wrap(err, "the outbox") : 0;
}

int outbox_switch(struct outbox *outbox, const char *name, bool on, bool *ret_changed,
                  struct err *err)
{
        char key[64];

        (void)snprintf(key, sizeof(key), "switch:%s", name);
        if (sql_run(outbox->db,
                    "INSERT INTO counters (name, value) SELECT ?1, ?2"
                    "  WHERE coalesce((SELECT value FROM counters WHERE name = ?1), 0) != ?2"
                    "  ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    SQL_ARGS(sql_text(key), sql_int(on)), err) < 0)
                return err_wrap(err, "the outbox");
        *ret_changed = sqlite3_changes(outbox->db) > 0;
        return 0;
}

int outbox_deliveries(struct outbox *outbox, uint64_t notice, unsigned limit,
                      struct delivery_list *ret_list, struct err *err)
{
        return list_query(outbox,
                          COLUMNS "''" TABLES "WHERE ?1 = 0 OR d.notice = ?1"
                                  "  ORDER BY d.id DESC LIMIT ?2",
                          SQL_ARGS(sql_uint(notice), sql_uint(limit)), ret_list, err);
}

void delivery_list_done(struct delivery_list *list)
{
        for (size_t i = 0; i < list->n; i++) {
                free(list->items[i].target);
                free(list->items[i].phase);
                free(list->items[i].site);
                free(list->items[i].body);
                free(list->items[i].why);
        }
        free(list->items);
        *list = (struct delivery_list){ 0 };
}

int outbox_lag(struct outbox *outbox, uint64_t *ret_waiting, int64_t *ret_oldest_usec,
               struct err *err)
{
        uint64_t waiting = 0, oldest = 0;

        if (sql_number(outbox->db, "SELECT count(*) FROM deliveries WHERE state = 'waiting'", NULL,
                       &waiting, err) < 0 ||
            sql_number(outbox->db,
                       "SELECT ifnull(min(created), 0) FROM notices WHERE id IN"
                       "  (SELECT notice FROM deliveries WHERE state = 'waiting')",
                       NULL, &oldest, err) < 0)
                return -1;
        *ret_waiting = waiting;
        *ret_oldest_usec = (int64_t)oldest;
        return 0;
}
