/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_stream.h"
#include "dbdump/mariadb_table.h"

#define BATCH_BYTES   (1 << 20)
#define COMMIT_EVERY  32 /* batches: what one transaction's undo may grow to */
#define LARGE_MAX     (32 << 20)
#define PACKET_MIN    (256 << 10)
#define KEYS_WORTH_IT (1 << 20) /* bytes of a table */
/* A megabyte of rows that takes longer hangs on something: MyISAM waits for ever on a full disk. */
#define BATCH_MSEC 120000
#define POLL_MSEC  1000

/* A row that was left out: the table and the condition that finds it. */
struct large_row {
        size_t table;
        char *condition;
};

struct stream {
        struct mariadb_conn *view, *writer;
        struct mariadb_table *table; /* NULL: has none */
        size_t index;                /* of it in the hold's list */
        struct mariadb_layout layout;
        MYSQL_RES *rows; /* NULL: all were read */
        struct mariadb_sql batch;
        uint64_t batch_rows, batch_bytes, seen;
        uint64_t told_bytes; /* of the table, in the progress */
        unsigned uncommitted;
        bool ready; /* the batch can be sent */
        bool sent;  /* an answer is to come, for these: */
        uint64_t sent_rows, sent_bytes;
        bool making_keys, has_large;
};

struct streams {
        struct mariadb_copy *copy;
        struct stream all[MARIADB_STREAMS_MAX];
        unsigned n;
        size_t next; /* table that nobody has begun */
        size_t batch_max, large;
        struct large_row *left_out;
        size_t n_left_out;
};

static void streams_done(struct streams *streams)
{
        for (unsigned i = 0; i < streams->n; i++) {
                struct stream *stream = &streams->all[i];

                /* Closing first: freeing a result reads what is left of it. */
                if (stream->rows != NULL)
                        mariadb_kill(stream->view, true);
                mysql_free_result(stream->rows);
                mariadb_disconnect(stream->writer);
                mariadb_layout_done(&stream->layout);
                mariadb_sql_done(&stream->batch);
        }
        for (size_t i = 0; i < streams->n_left_out; i++)
                free(streams->left_out[i].condition);
        free(streams->left_out);
}

static int open_writer(struct streams *streams, struct stream *stream, struct err *err)
{
        if (mariadb_conn_open(streams->copy->login, &stream->writer, err) < 0 ||
            mariadb_run(stream->writer, err, "SET NAMES binary") < 0 ||
            mariadb_run(stream->writer, err, "SET SESSION autocommit=0") < 0 ||
            mariadb_run(stream->writer, err, "USE %I", streams->copy->to) < 0 ||
            mariadb_run(stream->view, err, "SET NAMES binary") < 0)
                return -1;
        return streams->copy->hold->in_hold ? 0
                                            : mariadb_run(stream->view, err, "SAVEPOINT sitesnap");
}

static int open_streams(struct streams *streams, struct err *err)
{
        struct mariadb_copy *copy = streams->copy;
        uint64_t packet;

        if (mariadb_number(copy->control, &packet, err, "SELECT @@max_allowed_packet") < 0)
                return -1;
        if (packet < PACKET_MIN)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "max_allowed_packet of the database server is %u; at least %u is "
                                "needed",
                                (unsigned)packet, PACKET_MIN);
        streams->batch_max = packet / 4 < BATCH_BYTES ? packet / 4 : BATCH_BYTES;
        /* Escaped it may have twice the bytes, and comes on top of a batch. */
        streams->large = packet / 4 < LARGE_MAX ? packet / 4 : LARGE_MAX;
        while (streams->n < copy->hold->n_views && streams->n < copy->hold->tables.n) {
                struct stream *stream = &streams->all[streams->n++];

                stream->view = copy->hold->views[streams->n - 1];
                if (open_writer(streams, stream, err) < 0)
                        return -1;
        }
        return 0;
}

static int drop_keys(struct stream *stream, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        for (size_t i = 0; i < stream->layout.n_keys; i++)
                mariadb_sql_add(&sql, i == 0 ? "ALTER TABLE %I DROP KEY %I" : "%s, DROP KEY %I",
                                i == 0 ? stream->table->name : "", stream->layout.keys[i].name);
        return mariadb_run_sql(stream->writer, &sql, MARIADB_NO_LIMIT, err);
}

/* From the text that the server shows, with every name in its quotes: looking at a definition
 * waits for nobody, where LIKE would wait behind a writer who waits, and LIKE leaves out foreign
 * keys.  A default that takes from a sequence takes from the copy's. */
static int make_from_text(struct streams *streams, struct stream *stream, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        struct mariadb_copy *copy = streams->copy;
        struct mariadb_table *table = stream->table;

        if (mariadb_definition(copy->control, copy->hold->schema, table->name, &text, err) < 0 ||
            mariadb_run(copy->control, err, "USE %I", copy->to) < 0)
                return -1;
        mariadb_names_repoint(&sql, text, copy->hold->schema, copy->to);
        /* An attribute that STATISTICS does not show would be lost with the key. */
        table->keys_later = stream->layout.n_keys > 0 && table->bytes >= KEYS_WORTH_IT &&
                            strstr(text, "KEY_BLOCK_SIZE") == NULL;
        return mariadb_run_sql(copy->control, &sql, copy->control->limit_msec, err);
}

/* A sequence is numbers only, and the row that follows sets all of them. */
static int make_table(struct streams *streams, struct stream *stream, struct err *err)
{
        stream->table->keys_later = false;
        if (stream->table->kind == MARIADB_SEQUENCE)
                return mariadb_run(stream->writer, err, "CREATE SEQUENCE %I ENGINE=%s",
                                   stream->table->name, stream->table->engine);
        if (make_from_text(streams, stream, err) < 0)
                return -1;
        return stream->table->keys_later ? drop_keys(stream, err) : 0;
}

/* The view's SELECT comes last: had somebody changed the table between the instant and now, it
 * would fail (error 1412), so what was made is what the view has. */
static int begin_table(struct streams *streams, struct stream *stream, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        const char *schema = streams->copy->hold->schema;

        stream->index = streams->next++;
        stream->table = &streams->copy->hold->tables.all[stream->index];
        stream->table->copied = 0;
        stream->seen = stream->told_bytes = 0;
        stream->making_keys = stream->has_large = false;
        mariadb_layout_done(&stream->layout);
        if (mariadb_layout_read(stream->writer, schema, stream->table, &stream->layout, err) < 0)
                return -1;
        if (make_table(streams, stream, err) < 0)
                return -1;
        mariadb_layout_select(&stream->layout, &sql, schema, stream->table, streams->large);
        return mariadb_query(stream->view, &sql, &stream->rows, err);
}

/* By its key, or where it has none by its place in the one order in which the view is read. */
static int leave_out(struct streams *streams, struct stream *stream, char **values,
                     const unsigned long *sizes, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        struct large_row *rows =
                reallocarray(streams->left_out, streams->n_left_out + 1, sizeof(*rows));
        const char *word = " WHERE ";

        if (rows == NULL)
                return err_oom(err);
        streams->left_out = rows;
        for (size_t i = 0; i < stream->layout.n; i++)
                if (stream->layout.columns[i].key != 0) {
                        mariadb_sql_add(&sql, "%s%I=", word, stream->layout.columns[i].name);
                        mariadb_layout_literal(&sql, &stream->layout.columns[i], values[i],
                                               sizes[i]);
                        word = " AND ";
                }
        if (stream->layout.n_key == 0)
                mariadb_sql_add(&sql, " LIMIT %U,1", stream->seen);
        if (sql.failed) {
                *err = sql.why;
                return -1;
        }
        rows[streams->n_left_out] = (struct large_row){ .table = stream->index };
        rows[streams->n_left_out++].condition = STEAL(sql.text);
        stream->has_large = true;
        return 0;
}

/* The next batch, or the end of the rows. */
static int fill(struct streams *streams, struct stream *stream, struct err *err)
{
        MYSQL_ROW values = NULL;

        mariadb_sql_reset(&stream->batch);
        stream->batch_rows = stream->batch_bytes = 0;
        while (stream->batch.n < streams->batch_max &&
               (values = mysql_fetch_row(stream->rows)) != NULL) {
                const unsigned long *sizes = mysql_fetch_lengths(stream->rows);
                const char *large = values[stream->layout.n];

                if (large != NULL && large[0] == '1') {
                        if (leave_out(streams, stream, values, sizes, err) < 0)
                                return -1;
                } else {
                        if (stream->batch_rows++ == 0)
                                mariadb_layout_insert(&stream->layout, &stream->batch,
                                                      stream->table->name);
                        else
                                mariadb_sql_bytes(&stream->batch, ",", 1);
                        mariadb_layout_row(&stream->layout, &stream->batch, values, sizes);
                        for (size_t i = 0; i < stream->layout.n; i++)
                                stream->batch_bytes += sizes[i];
                }
                stream->seen++;
        }
        stream->ready = stream->batch_rows > 0;
        if (values != NULL || stream->batch.n >= streams->batch_max)
                return 0;
        if (mariadb_fetched(stream->view, err) < 0)
                return -1;
        mysql_free_result(stream->rows);
        stream->rows = NULL;
        /* Lets go of the table, so that nobody's ALTER waits for the others. */
        return streams->copy->hold->in_hold
                       ? 0
                       : mariadb_run(stream->view, err, "ROLLBACK TO SAVEPOINT sitesnap");
}

static int send_batch(struct stream *stream, struct err *err)
{
        if (mariadb_send(stream->writer, &stream->batch, err) < 0)
                return -1;
        stream->sent = true;
        stream->ready = false;
        stream->sent_rows = stream->batch_rows;
        stream->sent_bytes = stream->batch_bytes;
        return 0;
}

static int send_keys(struct stream *stream, struct err *err)
{
        mariadb_sql_reset(&stream->batch);
        for (size_t i = 0; i < stream->layout.n_keys; i++)
                mariadb_sql_add(&stream->batch,
                                i == 0 ? "ALTER TABLE %I ADD KEY %I %s" : "%s, ADD KEY %I %s",
                                i == 0 ? stream->table->name : "", stream->layout.keys[i].name,
                                stream->layout.keys[i].definition);
        stream->making_keys = true;
        stream->batch_rows = stream->batch_bytes = 0;
        return send_batch(stream, err);
}

/* The value 0 of an ENUM, which stands for one that is not in its list, is let in by nothing but a
 * session that is not strict.  verify() sees what else it might let through. */
static int send_again(struct stream *stream, struct err *err)
{
        if (mariadb_run(stream->writer, err,
                        "SET SESSION sql_mode=REPLACE(@@sql_mode, 'STRICT_ALL_TABLES', '')") < 0 ||
            mariadb_run_sql(stream->writer, &stream->batch, BATCH_MSEC, err) < 0 ||
            mariadb_run(stream->writer, err,
                        "SET SESSION sql_mode=CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')") < 0)
                return -1;
        return 0;
}

/* All of a table's are its pages, of which rows are a part that nobody knows before. */
static void tell_bytes(struct streams *streams, struct stream *stream, uint64_t bytes)
{
        uint64_t left = stream->table->bytes - stream->told_bytes;

        if (bytes > left)
                bytes = left;
        stream->told_bytes += bytes;
        streams->copy->progress.bytes_done += bytes;
}

static int take_answer(struct streams *streams, struct stream *stream, struct err *err)
{
        struct db_progress *progress = &streams->copy->progress;

        stream->sent = false;
        if (mariadb_finish(stream->writer, err) < 0 &&
            (!stream->layout.has_enum || mysql_errno(stream->writer->mysql) != 1265 ||
             send_again(stream, err) < 0))
                return -1;
        stream->table->copied += stream->sent_rows;
        progress->rows_done += stream->sent_rows;
        tell_bytes(streams, stream, stream->sent_bytes);
        if (++stream->uncommitted >= COMMIT_EVERY) {
                stream->uncommitted = 0;
                if (mariadb_run(stream->writer, err, "COMMIT") < 0)
                        return -1;
        }
        return mariadb_copy_report(streams->copy, err);
}

static int end_table(struct streams *streams, struct stream *stream, struct err *err)
{
        if (mariadb_run(stream->writer, err, "COMMIT") < 0)
                return -1;
        stream->uncommitted = 0;
        tell_bytes(streams, stream, stream->table->bytes);
        stream->table = NULL;
        streams->copy->progress.tables_done++;
        return mariadb_copy_report(streams->copy, err);
}

/* What goes as a file is there already. */
static bool find_next(struct streams *streams)
{
        const struct mariadb_tables *tables = &streams->copy->hold->tables;

        while (streams->next < tables->n && tables->all[streams->next].by_file)
                streams->next++;
        return streams->next < tables->n;
}

/* Whatever can be done for a stream without waiting.  ret_moved: something was. */
static int advance(struct streams *streams, struct stream *stream, bool *ret_moved, struct err *err)
{
        bool has_next = find_next(streams);

        *ret_moved = true;
        if (stream->table == NULL && has_next)
                return begin_table(streams, stream, err);
        if (stream->sent && mariadb_wait(stream->writer, 0))
                return take_answer(streams, stream, err);
        if (stream->ready && !stream->sent)
                return send_batch(stream, err);
        if (stream->table != NULL && stream->rows != NULL && !stream->ready &&
            (!stream->sent || !stream->layout.has_enum))
                return fill(streams, stream, err);
        if (stream->table != NULL && stream->rows == NULL && !stream->ready && !stream->sent) {
                if (!stream->making_keys && stream->table->keys_later && !stream->has_large)
                        return send_keys(stream, err);
                return end_table(streams, stream, err);
        }
        *ret_moved = false;
        return 0;
}

/* Until a stream's answer comes; so often that somebody can stop us. */
static int wait_any(struct streams *streams, unsigned *ret_waited_msec, struct err *err)
{
        struct pollfd fds[MARIADB_STREAMS_MAX];
        nfds_t n = 0;
        int r;

        for (unsigned i = 0; i < streams->n; i++)
                if (streams->all[i].sent)
                        fds[n++] = (struct pollfd){
                                .fd = mysql_get_socket(streams->all[i].writer->mysql),
                                .events = POLLIN,
                        };
        r = poll(fds, n, POLL_MSEC);
        if (r < 0 && errno != EINTR)
                return err_fail(err, ERR_IO, errno, "waiting for the database server");
        *ret_waited_msec = r == 0 ? *ret_waited_msec + POLL_MSEC : 0;
        return r == 0 ? mariadb_copy_report(streams->copy, err) : 0;
}

static int name_table(const struct stream *stream, struct err *err)
{
        return stream->table == NULL ? -1 : err_wrap(err, "the table '%s'", stream->table->name);
}

static int run(struct streams *streams, struct err *err)
{
        unsigned waited_msec = 0;

        for (;;) {
                bool any_moved = false, any_busy = false, any_keys = false;

                for (unsigned i = 0; i < streams->n; i++) {
                        struct stream *stream = &streams->all[i];
                        bool moved;

                        if (advance(streams, stream, &moved, err) < 0)
                                return name_table(stream, err);
                        any_moved |= moved;
                        any_busy |= stream->sent;
                        any_keys |= stream->making_keys;
                }
                if (!any_moved && !any_busy)
                        return 0;
                if (!any_moved && wait_any(streams, &waited_msec, err) < 0)
                        return -1;
                if (waited_msec > BATCH_MSEC && !any_keys)
                        return err_fail(err, ERR_TIMEOUT, 0,
                                        "the database server has written nothing for %u s; is its "
                                        "disk full?",
                                        BATCH_MSEC / 1000);
        }
}

/* Through variables of the view's own session. */
static int copy_large(struct streams *streams, const struct large_row *row, struct err *err)
{
        CLEANUP(mariadb_layout_done) struct mariadb_layout layout = { 0 };
        CLEANUP(mariadb_sql_done) struct mariadb_sql take = { 0 }, put = { 0 };
        struct mariadb_conn *view = streams->all[0].view;
        const char *schema = streams->copy->hold->schema;
        struct mariadb_table *table = &streams->copy->hold->tables.all[row->table];

        if (mariadb_layout_read(streams->all[0].writer, schema, table, &layout, err) < 0)
                return -1;
        mariadb_sql_add(&put, "INSERT INTO %I.%I (", streams->copy->to, table->name);
        for (size_t i = 0; i < layout.n; i++) {
                mariadb_sql_add(&take, layout.columns[i].real ? "%s%I*1e0" : "%s%I",
                                i == 0 ? "SELECT " : ",", layout.columns[i].name);
                mariadb_sql_add(&put, i == 0 ? "%I" : ",%I", layout.columns[i].name);
        }
        mariadb_sql_add(&put, ") VALUES");
        for (unsigned i = 0; i < layout.n; i++) {
                mariadb_sql_add(&take, "%s@v%u", i == 0 ? " INTO " : ",", i);
                mariadb_sql_add(&put, "%s@v%u", i == 0 ? "(" : ",", i);
        }
        mariadb_sql_add(&take, " FROM %I.%I%s" MARIADB_NO_VIEW "%s", schema, table->name,
                        table->kind == MARIADB_VERSIONED ? " FOR SYSTEM_TIME ALL" : "",
                        row->condition);
        mariadb_sql_add(&put, ")");
        if (mariadb_run_sql(view, &take, MARIADB_NO_LIMIT, err) < 0 ||
            mariadb_run_sql(view, &put, MARIADB_NO_LIMIT, err) < 0)
                return err_wrap(err, "a row of more than %zu bytes of the table '%s'",
                                streams->large, table->name);
        table->copied++;
        streams->copy->progress.rows_done++;
        return mariadb_copy_report(streams->copy, err);
}

static int by_table(const void *a, const void *b)
{
        const struct large_row *left = a, *right = b;

        return left->table < right->table ? -1 : left->table > right->table;
}

/* Their keys wait for the end of the view, which has the tables now. */
static int copy_all_large(struct streams *streams, struct err *err)
{
        struct stream *stream = &streams->all[0];

        if (streams->n_left_out == 0)
                return 0;
        /* It is to write now; the hold's own lock still stands. */
        if (streams->copy->hold->in_hold && mariadb_run(stream->view, err, "UNLOCK TABLES") < 0)
                return -1;
        qsort(streams->left_out, streams->n_left_out, sizeof(*streams->left_out), by_table);
        for (size_t i = 0; i < streams->n_left_out; i++)
                if (copy_large(streams, &streams->left_out[i], err) < 0)
                        return -1;
        if (mariadb_run(stream->view, err, "COMMIT") < 0)
                return -1;
        for (size_t i = 0; i < streams->n_left_out; i++) {
                struct mariadb_table *table =
                        &streams->copy->hold->tables.all[streams->left_out[i].table];

                if (i > 0 && streams->left_out[i - 1].table == streams->left_out[i].table)
                        continue;
                mariadb_layout_done(&stream->layout);
                if (!table->keys_later)
                        continue;
                stream->table = table;
                if (mariadb_layout_read(stream->writer, streams->copy->hold->schema, table,
                                        &stream->layout, err) < 0 ||
                    send_keys(stream, err) < 0 || mariadb_finish(stream->writer, err) < 0)
                        return name_table(stream, err);
                stream->sent = false;
        }
        return 0;
}

int mariadb_stream_tables(struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(streams_done) struct streams streams = { .copy = copy };

        if (open_streams(&streams, err) < 0 || run(&streams, err) < 0)
                return -1;
        return copy_all_large(&streams, err);
}
