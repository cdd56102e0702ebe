/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_copy.h"
#include "dbdump/postgres_dump.h"
#include "dbdump/postgres_load.h"
#include "dbdump/postgres_load_home.h"
#include "dbdump/postgres_load_rows.h"
#include "dbdump/postgres_repoint.h"

#define LINE_MAX_BYTES 160
#define RECORD_MAX     (64 << 20)
#define OBJECTS_MAX    (256 << 20)

struct postgres_load {
        const struct postgres_server *outer;
        struct postgres_load_home home;
        struct postgres_load_rows rows;
        struct postgres_objects objects; /* all come before the first table */
        struct postgres_objects named;   /* those that say the schema's name, with its last one */
        size_t objects_bytes;
        bool built, ended, whole;
        uint64_t tables, all_rows;
        uint64_t said[2];
        char *held; /* bytes of a record that is not whole yet */
        size_t n, room;
        size_t head; /* of the constant line, how many bytes have come */
};

/* One record; the texts have a NUL behind them. */
struct record {
        char word[16];
        char *texts[3];
        size_t n[3];
        uint64_t numbers[2];
};

static int corrupt(const char *what, struct err *err)
{
        return err_fail(err, ERR_CORRUPT, 0, "this is no dump of PostgreSQL, or a damaged one: %s",
                        what);
}

static int take_home(struct postgres_load *load, const struct record *record, struct err *err)
{
        return postgres_load_home_take(&load->home, record->word,
                                       (const char *const *)record->texts, err);
}

/* A statement of the dump where it is run: one name stands for the schema's while it is made. */
static char *placed(const struct postgres_load *load, const char *text)
{
        static const char here[] = "\"" POSTGRES_DUMP_HERE "\"";
        char *out = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&out, &bytes);

        if (file == NULL)
                return NULL;
        while (*text != '\0') {
                if (load->home.database == NULL || strncmp(text, here, strlen(here)) != 0) {
                        (void)fputc(*text++, file);
                        continue;
                }
                (void)fputs(load->home.place.work, file);
                text += strlen(here);
        }
        if (fclose(file) == 0)
                return out;
        free(out);
        return NULL;
}

/* One more in the list, which has room for a power of two. */
static int append(struct postgres_load *load, struct postgres_objects *objects,
                  const struct record *record, struct postgres_object **ret_object, struct err *err)
{
        if ((objects->n & (objects->n - 1)) == 0) {
                struct postgres_object *list = reallocarray(
                        objects->list, objects->n == 0 ? 1 : objects->n * 2, sizeof(*list));

                if (list == NULL)
                        return err_oom(err);
                objects->list = list;
        }
        *ret_object = &objects->list[objects->n++];
        **ret_object = (struct postgres_object){
                .kind = "object",
                .phase = (enum postgres_phase)record->numbers[0],
                .table = (uint32_t)record->numbers[1],
                .owner = strdup(load->home.role),
        };
        if (asprintf(&(*ret_object)->name, "%.40s %.200s", record->texts[0], record->texts[1]) < 0)
                (*ret_object)->name = NULL;
        return (*ret_object)->name == NULL || (*ret_object)->owner == NULL ? err_oom(err) : 0;
}

/* What a function's body calls the schema: as it is called now, since an index or a materialized
 * view may call it before all is there, and at last as the copy is. */
static int take_named(struct postgres_load *load, const struct record *record, const char *text,
                      char **ret_statement, struct err *err)
{
        struct postgres_object *last;

        if (append(load, &load->named, record, &last, err) < 0 ||
            postgres_repoint(text, POSTGRES_DUMP_THERE, load->home.to, record->texts[1],
                             &last->statement, err) < 0)
                return -1;
        return postgres_repoint(text, POSTGRES_DUMP_THERE, load->home.name, record->texts[1],
                                ret_statement, err);
}

static int take_object(struct postgres_load *load, const struct record *record, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        struct postgres_object *object;

        if (load->built)
                return corrupt("an object behind the tables", err);
        if (record->numbers[0] >= POSTGRES_GRANT || record->numbers[1] > UINT32_MAX)
                return corrupt("an object of an unknown kind", err);
        if ((load->objects_bytes += record->n[2]) > OBJECTS_MAX)
                return err_fail(err, ERR_REFUSED, 0, "the dump has more than %d MiB of definitions",
                                OBJECTS_MAX >> 20);
        text = placed(load, record->texts[2]);
        if (text == NULL)
                return err_oom(err);
        if (append(load, &load->objects, record, &object, err) < 0)
                return -1;
        if (load->home.database != NULL && record->numbers[0] == POSTGRES_BEFORE &&
            strstr(text, POSTGRES_DUMP_THERE) != NULL)
                return take_named(load, record, text, &object->statement, err);
        object->statement = STEAL(text);
        return 0;
}

static int build(struct postgres_load *load, struct err *err)
{
        if (load->built)
                return 0;
        load->built = true;
        if (postgres_load_home_make(&load->home, err) < 0 ||
            postgres_build_phase(&load->home.place, &load->objects, POSTGRES_BEFORE, false, err) <
                    0)
                return -1;
        load->rows.place = &load->home.place;
        load->rows.role = load->home.role;
        return 0;
}

/* What the table before still needs: its last rows, and its keys. */
static int finish_table(struct postgres_load *load, struct err *err)
{
        CLEANUP(freep) char *sql = NULL;
        uint32_t table = load->rows.table;

        if (postgres_load_rows_end(&load->rows, err) < 0)
                return -1;
        load->all_rows += load->rows.rows;
        if (postgres_build_table_sql(load->home.place.link, &load->home.place, &load->objects,
                                     table, 1, &sql, err) < 0)
                return -1;
        return sql == NULL ? 0 : postgres_load_run(load->home.place.link, sql, err);
}

static int end_table(struct postgres_load *load, struct err *err)
{
        return !load->rows.open || finish_table(load, err) == 0
                       ? 0
                       : err_wrap(err, "the table '%s'", load->rows.name);
}

static int take_table(struct postgres_load *load, const struct record *record, struct err *err)
{
        if (end_table(load, err) < 0 || build(load, err) < 0)
                return -1;
        if (record->numbers[0] == 0 || record->numbers[0] > UINT32_MAX)
                return corrupt("a table without a number", err);
        load->tables++;
        return postgres_load_rows_begin(&load->rows, (uint32_t)record->numbers[0],
                                        load->home.database != NULL ? load->home.name
                                                                    : record->texts[0],
                                        record->texts[1], record->numbers[1], err);
}

static int take_rows(struct postgres_load *load, const struct record *record, struct err *err)
{
        return !load->rows.open
                       ? corrupt("rows of no table", err)
                       : postgres_load_rows_put(&load->rows, record->texts[0], record->n[0], err);
}

static int take_sequence(struct postgres_load *load, const struct record *record, struct err *err)
{
        const char *const params[] = {
                load->home.database != NULL ? load->home.name : record->texts[0],
                record->texts[1],
                record->texts[2],
                record->numbers[0] != 0 ? "t" : "f",
        };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (end_table(load, err) < 0 || build(load, err) < 0)
                return -1;
        /* A sequence of the role's, and nothing else that has that name. */
        if (postgres_ask(load->home.place.link,
                         "SELECT setval(c.oid::regclass, $3::bigint, $4::boolean) FROM pg_class c "
                         "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND "
                         "c.relname = $2 AND c.relkind = 'S'",
                         params, 4, &result, err) < 0)
                return err_wrap(err, "the sequence '%s'", record->texts[1]);
        return PQntuples(result) == 1 ? 0 : corrupt("the value of a sequence that it has not", err);
}

static int take_end(struct postgres_load *load, const struct record *record, struct err *err)
{
        if (end_table(load, err) < 0 || build(load, err) < 0)
                return -1;
        load->ended = true;
        load->said[0] = record->numbers[0];
        load->said[1] = record->numbers[1];
        return 0;
}

static const struct {
        const char *word;
        int (*take)(struct postgres_load *load, const struct record *record, struct err *err);
} kinds[] = {
        { "database", take_home },  { "locale", take_home },   { "schema", take_home },
        { "extension", take_home }, { "object", take_object }, { "table", take_table },
        { "rows", take_rows },      { "end", take_end },       { "sequence", take_sequence },
};

static int take_record(struct postgres_load *load, const struct record *record, struct err *err)
{
        for (int i = 0; i < 3; i++)
                if (strcmp(record->word, "rows") != 0 && strlen(record->texts[i]) != record->n[i])
                        return corrupt("a text with a NUL in it", err);
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].word, record->word) == 0)
                        return kinds[i].take(load, record, err);
        return corrupt("a record of an unknown kind", err);
}

/* A whole record at the beginning of what is held; *ret_taken is 0 when there is none. */
static int advance(struct postgres_load *load, char *at, size_t n, size_t *ret_taken,
                   struct err *err)
{
        struct record record = { .word = "" };
        char line[LINE_MAX_BYTES + 1];
        const char *end = memchr(at, '\n', n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES);
        size_t size;
        int used = 0;

        *ret_taken = 0;
        if (load->ended && n > 0)
                return corrupt("there is something behind its end", err);
        if (end == NULL)
                return n < LINE_MAX_BYTES ? 0 : corrupt("a line without an end", err);
        (void)snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
        if (sscanf(line, "%15[a-z] %zu %zu %zu %" SCNu64 " %" SCNu64 "%n", record.word,
                   &record.n[0], &record.n[1], &record.n[2], &record.numbers[0], &record.numbers[1],
                   &used) != 6 ||
            line[used] != '\0' || record.n[0] > RECORD_MAX || record.n[1] > RECORD_MAX ||
            record.n[2] > RECORD_MAX)
                return corrupt("a line that says nothing", err);
        size = (size_t)(end - at) + 1 + record.n[0] + record.n[1] + record.n[2] + 1;
        if (n < size)
                return 0;
        if (at[size - 1] != '\n')
                return corrupt("a record does not end where it should", err);
        {
                CLEANUP(freep) char *texts = malloc(size + 3);
                const char *from = end + 1;
                char *to = texts;

                if (texts == NULL)
                        return err_oom(err);
                for (int i = 0; i < 3; i++) {
                        record.texts[i] = to;
                        memcpy(to, from, record.n[i]);
                        to[record.n[i]] = '\0';
                        to += record.n[i] + 1;
                        from += record.n[i];
                }
                *ret_taken = size;
                return take_record(load, &record, err);
        }
}

static int hold(struct postgres_load *load, const char *bytes, size_t n, struct err *err)
{
        if (load->n + n > load->room) {
                size_t room = (load->n + n) * 3 / 2 + 4096;
                char *held = realloc(load->held, room);

                if (held == NULL)
                        return err_oom(err);
                load->held = held;
                load->room = room;
        }
        memcpy(load->held + load->n, bytes, n);
        load->n += n;
        return 0;
}

int postgres_load_feed(struct postgres_load *load, const void *bytes, size_t n, struct err *err)
{
        const char *in = bytes;
        size_t at = 0, taken = 1;

        for (; n > 0 && postgres_dump_head[load->head] != '\0'; n--)
                if (*in++ != postgres_dump_head[load->head++])
                        return corrupt("it does not begin as one", err);
        if (n > 0 && hold(load, in, n, err) < 0)
                return -1;
        while (taken > 0 && at < load->n) {
                if (advance(load, load->held + at, load->n - at, &taken, err) < 0)
                        return -1;
                at += taken;
        }
        load->n -= at;
        if (load->n > 0)
                memmove(load->held, load->held + at, load->n);
        return 0;
}

int postgres_load_end(struct postgres_load *load, struct err *err)
{
        struct postgres_place *place = &load->home.place;

        if (!load->ended || load->n > 0)
                return corrupt("it ends too early", err);
        if (load->said[0] != load->tables || load->said[1] != load->all_rows)
                return corrupt("it has not as much in it as it says", err);
        if (postgres_build_phase(place, &load->objects, POSTGRES_AFTER, true, err) < 0 ||
            postgres_build_phase(place, &load->named, POSTGRES_BEFORE, true, err) < 0 ||
            postgres_load_home_finish(&load->home, err) < 0)
                return -1;
        load->whole = true;
        return 0;
}

int postgres_load_begin(const struct postgres_server *server, const char *database, const char *to,
                        const char *app_user, struct postgres_load **ret_load, struct err *err)
{
        CLEANUP(postgres_load_donep) struct postgres_load *load = calloc(1, sizeof(*load));

        if (load == NULL)
                return err_oom(err);
        load->whole = true; /* whatever has that name is nothing of ours yet */
        load->outer = server;
        if (postgres_load_home_open(&load->home, server, database, to, app_user, err) < 0)
                return -1;
        load->whole = false;
        *ret_load = STEAL(load);
        return 0;
}

void postgres_load_done(struct postgres_load *load)
{
        struct err ignored;

        if (load == NULL)
                return;
        postgres_load_home_close(&load->home, !load->whole);
        if (!load->whole)
                (void)!postgres_copy_drop(load->outer, load->home.database, load->home.to, false,
                                          &ignored);
        postgres_load_rows_done(&load->rows);
        postgres_objects_done(&load->objects);
        postgres_objects_done(&load->named);
        free(load->held);
        free(load);
}
