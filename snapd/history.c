/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/history.h"
#include "snapd/history_chunk.h"
#include "snapd/site.h"
#include "snapd/sql_file.h"

#define FILE_NAME     "history.db"
#define BROKEN_NAME   "history.db.broken"
#define WRITE_USEC    (120 * (int64_t)USEC_PER_SEC)
#define WRITTEN_MAX   400 /* series that are written at once */
#define EXAMPLES_KEPT 20
#define EXAMPLE_USEC  (10 * (int64_t)USEC_PER_SEC)

static const char *const level_names[HISTORY_LEVELS] = { "hour", "day", "month" };

static const char *const scripts[] = {
        /* 1 */
        "CREATE TABLE series ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  site TEXT NOT NULL,"
        "  probe TEXT NOT NULL,"
        "  UNIQUE (site, probe)"
        ");"
        "CREATE TABLE chunks ("
        "  series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,"
        "  level INTEGER NOT NULL,"
        "  start INTEGER NOT NULL,"
        "  body BLOB NOT NULL,"
        "  PRIMARY KEY (series, level, start)"
        ") WITHOUT ROWID;"
        "CREATE TABLE examples ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,"
        "  body TEXT NOT NULL"
        ");"
        "CREATE INDEX examples_by_series ON examples (series, id);",
};

static const struct sql_schema schema = {
        .application_id = 0x53735348, /* "SsSH" */
        .what = "a history",
        .scripts = scripts,
        .n = sizeof(scripts) / sizeof(scripts[0]),
};

struct series {
        struct series *next;
        char site[SITE_NAME_MAX];
        char *probe;
        uint64_t id;
        struct chunk chunks[HISTORY_LEVELS];
        int64_t written_usec; /* CLOCK_BOOTTIME */
        int64_t example_usec;
        bool dirty;
};

struct history {
        sqlite3 *db;
        struct series *series;
        bool complained;
};

static void complain(struct history *history, const struct err *err)
{
        if (!history->complained)
                log_error("the history of probes cannot be written: %s", err->msg);
        history->complained = true;
}

static int open_parts(int dir_fd, sqlite3 **db, struct err *err)
{
        if (sql_file_open(dir_fd, FILE_NAME, db, err) < 0 ||
            sql_schema_update(*db, &schema, err) < 0 ||
            sql_script(*db, "PRAGMA synchronous = NORMAL", err) < 0)
                return err_wrap(err, "the history '%s'", FILE_NAME);
        return 0;
}

int history_open(int dir_fd, struct history **ret_history, struct err *err)
{
        struct history *history = calloc(1, sizeof(*history));

        if (history == NULL)
                return err_oom(err);
        if (open_parts(dir_fd, &history->db, err) < 0) {
                sql_close(history->db);
                history->db = NULL;
                if (err->code != ERR_CORRUPT) {
                        free(history);
                        return -1;
                }
                log_warning("%s: it is put aside", err->msg);
                (void)renameat(dir_fd, FILE_NAME, dir_fd, BROKEN_NAME);
                (void)unlinkat(dir_fd, FILE_NAME "-wal", 0);
                (void)unlinkat(dir_fd, FILE_NAME "-shm", 0);
                if (open_parts(dir_fd, &history->db, err) < 0) {
                        sql_close(history->db);
                        free(history);
                        return -1;
                }
        }
        *ret_history = history;
        return 0;
}

static void series_free(struct series *series)
{
        free(series->probe);
        free(series);
}

static int chunk_write(struct history *history, const struct series *series, unsigned level,
                       struct err *err)
{
        const struct chunk *chunk = &series->chunks[level];
        uint8_t body[CHUNK_BODY_MAX];
        size_t n;

        if (chunk->start_sec == 0)
                return 0;
        n = chunk_pack(chunk, body);
        if (sql_run(history->db, "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)",
                    SQL_ARGS(sql_uint(series->id), sql_uint(level), sql_int(chunk->start_sec),
                             sql_blob(body, n)),
                    err) < 0)
                return -1;
        return sql_run(
                history->db,
                "DELETE FROM chunks WHERE series = ?1 AND level = ?2 AND start NOT IN"
                "  (SELECT start FROM chunks WHERE series = ?1 AND level = ?2"
                "   ORDER BY start DESC LIMIT ?3)",
                SQL_ARGS(sql_uint(series->id), sql_uint(level), sql_uint(chunk_level(level)->kept)),
                err);
}

static int chunk_read(struct history *history, const struct series *series, unsigned level,
                      int64_t start_sec, struct chunk *chunk, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        chunk_begin(chunk, level, start_sec);
        if (sql_prepare(history->db,
                        "SELECT body FROM chunks WHERE series = ? AND level = ? AND start = ?",
                        SQL_ARGS(sql_uint(series->id), sql_uint(level), sql_int(start_sec)), &stmt,
                        err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row > 0)
                chunk_unpack(chunk, sqlite3_column_blob(stmt, 0),
                             (size_t)sqlite3_column_bytes(stmt, 0));
        return row < 0 ? -1 : 0;
}

static int series_write(struct history *history, struct series *series, struct err *err)
{
        for (unsigned level = 0; level < HISTORY_LEVELS; level++)
                if (chunk_write(history, series, level, err) < 0)
                        return -1;
        series->dirty = false;
        return 0;
}

void history_flush(struct history *history, int64_t now_usec, bool all)
{
        unsigned n = 0;
        struct err err;
        int ret = 0;

        for (struct series *series = history->series; series != NULL && ret == 0;
             series = series->next) {
                if (!series->dirty ||
                    (!all && (now_usec - series->written_usec < WRITE_USEC || n >= WRITTEN_MAX)))
                        continue;
                if (n++ == 0)
                        ret = sql_script(history->db, "BEGIN IMMEDIATE", &err);
                series->written_usec = now_usec;
                if (ret == 0)
                        ret = series_write(history, series, &err);
        }
        if (n > 0 && ret == 0)
                ret = sql_script(history->db, "COMMIT", &err);
        if (ret < 0) {
                complain(history, &err);
                if (sqlite3_get_autocommit(history->db) == 0)
                        (void)sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
        }
}

void history_close(struct history *history)
{
        if (history == NULL)
                return;
        history_flush(history, 0, true);
        while (history->series != NULL) {
                struct series *series = history->series;

                history->series = series->next;
                series_free(series);
        }
        sql_close(history->db);
        free(history);
}

static struct series *series_find(const struct history *history, const char *site,
                                  const char *probe)
{
        struct series *series = history->series;

        while (series != NULL &&
               (strcmp(series->site, site) != 0 || strcmp(series->probe, probe) != 0))
                series = series->next;
        return series;
}

static struct series *series_get(struct history *history, const char *site, const char *probe,
                                 struct err *err)
{
        struct series *series = series_find(history, site, probe);

        if (series != NULL)
                return series;
        series = calloc(1, sizeof(*series));
        if (series == NULL || (series->probe = strdup(probe)) == NULL) {
                free(series);
                (void)err_oom(err);
                return NULL;
        }
        (void)snprintf(series->site, sizeof(series->site), "%s", site);
        if (sql_run(history->db, "INSERT OR IGNORE INTO series (site, probe) VALUES (?, ?)",
                    SQL_ARGS(sql_text(site), sql_text(probe)), err) < 0 ||
            sql_number(history->db, "SELECT id FROM series WHERE site = ? AND probe = ?",
                       SQL_ARGS(sql_text(site), sql_text(probe)), &series->id, err) < 0) {
                series_free(series);
                return NULL;
        }
        series->next = history->series;
        history->series = series;
        return series;
}

static void example_add(struct history *history, struct series *series, const struct sample *sample)
{
        CLEANUP(freep) char *body = NULL;
        CLEANUP(json_decrefp) json_t *one = NULL;
        char time[CLOCK_ISO_MAX];
        struct err err;

        if (sample->bad == 0 || sample->examples == NULL ||
            (series->example_usec != 0 && sample->to_usec - series->example_usec < EXAMPLE_USEC))
                return;
        series->example_usec = sample->to_usec;
        clock_iso(sample->wall_usec, 1, time);
        one = json_pack("{s:s, s:I, s:O}", "time", time, "version", (json_int_t)sample->version,
                        "answers", sample->examples);
        body = one == NULL ? NULL : json_dumps(one, JSON_COMPACT);
        if (body == NULL)
                return;
        if (sql_run(history->db, "INSERT INTO examples (series, body) VALUES (?, ?)",
                    SQL_ARGS(sql_uint(series->id), sql_text(body)), &err) < 0 ||
            sql_run(history->db,
                    "DELETE FROM examples WHERE series = ?1 AND id <="
                    "  (SELECT id FROM examples WHERE series = ?1 ORDER BY id DESC LIMIT 1 OFFSET "
                    "?2)",
                    SQL_ARGS(sql_uint(series->id), sql_uint(EXAMPLES_KEPT)), &err) < 0)
                complain(history, &err);
}

void history_add(struct history *history, const char *site, const char *probe,
                 const struct sample *sample)
{
        int64_t sec = sample->wall_usec / USEC_PER_SEC;
        struct series *series;
        struct err err;

        series = series_get(history, site, probe, &err);
        if (series == NULL) {
                complain(history, &err);
                return;
        }
        for (unsigned level = 0; level < HISTORY_LEVELS; level++) {
                struct chunk *chunk = &series->chunks[level];
                int64_t start = chunk_start(level, sec);

                if (chunk->start_sec != start) {
                        chunk_round_end(chunk);
                        if (chunk_write(history, series, level, &err) < 0 ||
                            chunk_read(history, series, level, start, chunk, &err) < 0)
                                complain(history, &err);
                }
                chunk_add(chunk, sec, sample);
        }
        series->dirty = true;
        example_add(history, series, sample);
}

void history_forget(struct history *history, const char *site)
{
        struct series **at = &history->series;
        struct err err;

        while (*at != NULL) {
                struct series *series = *at;

                if (strcmp(series->site, site) == 0) {
                        *at = series->next;
                        series_free(series);
                } else {
                        at = &series->next;
                }
        }
        if (sql_run(history->db, "DELETE FROM series WHERE site = ?", SQL_ARGS(sql_text(site)),
                    &err) < 0)
                complain(history, &err);
}

static int examples_json(struct history *history, uint64_t id, json_t *examples, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        struct err ignored;
        json_t *one;
        int row;

        if (sql_prepare(history->db, "SELECT body FROM examples WHERE series = ? ORDER BY id",
                        SQL_ARGS(sql_uint(id)), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                const char *body = (const char *)sqlite3_column_text(stmt, 0);

                if (body != NULL && json_parse(body, strlen(body), &one, &ignored) == 0)
                        (void)json_array_append_new(examples, one);
        }
        return row;
}

static int rounds_json(struct history *history, uint64_t id, unsigned level, json_t *rounds,
                       struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int64_t now = clock_wall_usec() / USEC_PER_SEC;
        struct chunk chunk;
        int row;

        if (sql_prepare(history->db,
                        "SELECT start, body FROM chunks WHERE series = ? AND level = ?"
                        "  AND start BETWEEN ? AND ? ORDER BY start",
                        SQL_ARGS(sql_uint(id), sql_uint(level),
                                 sql_int(now - chunk_level(level)->span_sec), sql_int(now + 60)),
                        &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                chunk_begin(&chunk, level, sqlite3_column_int64(stmt, 0));
                chunk_unpack(&chunk, sqlite3_column_blob(stmt, 1),
                             (size_t)sqlite3_column_bytes(stmt, 1));
                chunk_json(&chunk, rounds);
        }
        return row;
}

static int series_json(struct history *history, uint64_t id, const char *probe, unsigned level,
                       json_t *probes, struct err *err)
{
        json_t *rounds = json_array(), *examples = json_array();
        json_t *one = json_pack("{s:s, s:o, s:o}", "probe", probe, "rounds", rounds, "examples",
                                examples);

        if (one == NULL || json_array_append_new(probes, one) < 0)
                return err_oom(err);
        if (rounds_json(history, id, level, rounds, err) < 0)
                return -1;
        return examples_json(history, id, examples, err);
}

/* What is open is written first, so that there is one place to read. */
static int site_write(struct history *history, const char *site, struct err *err)
{
        for (struct series *series = history->series; series != NULL; series = series->next)
                if (series->dirty && strcmp(series->site, site) == 0 &&
                    series_write(history, series, err) < 0)
                        return -1;
        return 0;
}

int history_view(struct history *history, const char *site, enum history_level level,
                 json_t **ret_json, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        CLEANUP(json_decrefp) json_t *probes = json_array();
        int row;

        if (site_write(history, site, err) < 0 ||
            sql_prepare(history->db, "SELECT id, probe FROM series WHERE site = ? ORDER BY probe",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                CLEANUP(freep) char *probe = NULL;

                if (sql_column_copy(stmt, 1, &probe, err) < 0 ||
                    series_json(history, sql_column_u64(stmt, 0), probe, level, probes, err) < 0)
                        return -1;
        }
        if (row < 0)
                return -1;
        *ret_json = json_pack("{s:s, s:s, s:i, s:O}", "site", site, "span", level_names[level],
                              "round_sec", chunk_level(level)->round_sec, "probes", probes);
        return *ret_json == NULL ? err_oom(err) : 0;
}

enum history_level history_level_by_name(const char *name)
{
        enum history_level level = 0;

        while (level < HISTORY_LEVELS && (name == NULL || strcmp(name, level_names[level]) != 0))
                level++;
        return level;
}
