/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/sqlite_dir.h"
#include "dbdump/sqlite_hold.h"
#include "dbdump/sqlite_read.h"
#include "dbdump/sqlite_rows.h"

#define COLUMNS_MAX 1001
#define NAME_BYTES  4096
#define ROW_BYTES   (64U << 20)

static int compare_lines(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a text, sorted, each still ending in its newline. */
static int sort_lines(const char *text, char **ret_text, struct err *err)
{
        CLEANUP(freep) char *split = strdup(text);
        CLEANUP(freep) const char **lines = NULL;
        size_t n = 0, bytes;
        FILE *out;

        for (const char *c = text; *c != '\0'; c++)
                n += *c == '\n';
        lines = calloc(n + 1, sizeof(*lines));
        if (split == NULL || lines == NULL)
                return err_oom(err);
        n = 0;
        for (char *line = split, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
                *end = '\0';
                lines[n++] = line;
        }
        qsort(lines, n, sizeof(*lines), compare_lines);
        out = open_memstream(ret_text, &bytes);
        if (out == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++)
                (void)fprintf(out, "%s\n", lines[i]);
        return fclose(out) == 0 ? 0 : err_oom(err);
}

int sqlite_read_fingerprint(const struct sqlite_where *where, const char *schema, char **ret_text,
                            struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *dir = NULL;
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;
        CLEANUP(freep) char *all = NULL;
        size_t n;
        FILE *out;
        int ret = 0;

        if (sqlite_dir_open(where->root_fd, schema, where->uid, &dir, err) < 0 ||
            sqlite_hold_start_helper(dir, where->uid, where->gid, 0, 0, &helper, err) < 0)
                return -1;
        out = open_memstream(&all, &n);
        if (out == NULL)
                return err_oom(err);
        for (size_t i = 0; i < dir->n && ret == 0; i++) {
                CLEANUP(freep) char *text = NULL;

                if (dir->entries[i].kind != SQLITE_KIND_DATABASE)
                        continue;
                ret = sqlite_helper_text(helper, SQLITE_OP_FINGERPRINT, dir->entries[i].name, 0,
                                         &text, err);
                if (ret == 0)
                        (void)fputs(text, out);
        }
        if (fclose(out) != 0 && ret == 0)
                ret = err_oom(err);
        return ret < 0 ? -1 : sort_lines(all, ret_text, err);
}

/* The other end of sqlite_rows_diff(): everything that comes is bounded. */
struct taking {
        FILE *in;
        db_row_report report;
        void *arg;
        size_t n, n_key;
        char *table;
        char **columns;
        struct db_value *values; /* two rows */
        char **bytes;            /* what they point to */
};

static void forget_row(struct taking *taking)
{
        for (size_t i = 0; taking->bytes != NULL && i < 2 * taking->n; i++) {
                free(taking->bytes[i]);
                taking->bytes[i] = NULL;
        }
}

static void forget_table(struct taking *taking)
{
        forget_row(taking);
        for (size_t i = 0; taking->columns != NULL && i < taking->n; i++)
                free(taking->columns[i]);
        free(STEAL(taking->columns));
        free(STEAL(taking->values));
        free(STEAL(taking->bytes));
        free(STEAL(taking->table));
        taking->n = taking->n_key = 0;
}

static inline void taking_donep(struct taking *taking)
{
        forget_table(taking);
        if (taking->in != NULL)
                (void)fclose(taking->in);
}

static int cut_off(struct err *err)
{
        return err_fail(err, ERR_IO, 0, "the helper for SQLite ended in the middle of a row");
}

static int take_u32(struct taking *taking, uint32_t *ret, struct err *err)
{
        return fread(ret, sizeof(*ret), 1, taking->in) == 1 ? 0 : cut_off(err);
}

static int take_name(struct taking *taking, char **ret_name, struct err *err)
{
        CLEANUP(freep) char *name = NULL;
        uint32_t n;

        if (take_u32(taking, &n, err) < 0 || n > NAME_BYTES)
                return cut_off(err);
        name = calloc(1, n + 1);
        if (name == NULL)
                return err_oom(err);
        if (fread(name, 1, n, taking->in) != n)
                return cut_off(err);
        *ret_name = STEAL(name);
        return 0;
}

static int take_table(struct taking *taking, struct err *err)
{
        uint32_t n, n_key;

        forget_table(taking);
        if (take_u32(taking, &n, err) < 0 || take_u32(taking, &n_key, err) < 0)
                return -1;
        if (n > COLUMNS_MAX || n_key > n)
                return cut_off(err);
        taking->columns = calloc(n + 1, sizeof(*taking->columns));
        taking->values = calloc(2 * n + 1, sizeof(*taking->values));
        taking->bytes = calloc(2 * n + 1, sizeof(*taking->bytes));
        if (taking->columns == NULL || taking->values == NULL || taking->bytes == NULL)
                return err_oom(err);
        taking->n_key = n_key;
        taking->n = n;
        if (take_name(taking, &taking->table, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                if (take_name(taking, &taking->columns[i], err) < 0)
                        return -1;
        return 0;
}

static int take_side(struct taking *taking, size_t first, size_t *room, struct err *err)
{
        for (size_t i = first; i < first + taking->n; i++) {
                uint64_t size;

                if (fread(&size, sizeof(size), 1, taking->in) != 1)
                        return cut_off(err);
                taking->values[i] = (struct db_value){ NULL, 0 };
                if (size == SQLITE_ROWS_NULL)
                        continue;
                if (size > *room)
                        return err_fail(err, ERR_UNSUPPORTED, 0,
                                        "a row of '%s' has more than %u MiB", taking->table,
                                        ROW_BYTES >> 20);
                *room -= size;
                taking->bytes[i] = calloc(1, size + 1);
                if (taking->bytes[i] == NULL)
                        return err_oom(err);
                if (fread(taking->bytes[i], 1, size, taking->in) != size)
                        return cut_off(err);
                taking->values[i] = (struct db_value){ taking->bytes[i], size };
        }
        return 0;
}

static int take_row(struct taking *taking, struct err *err)
{
        struct db_row_change row = {
                .table = taking->table,
                .n_columns = taking->n,
                .columns = (const char *const *)taking->columns,
                .n_key = taking->n_key,
        };
        size_t room = ROW_BYTES;
        uint32_t change;

        forget_row(taking);
        if (taking->table == NULL || take_u32(taking, &change, err) < 0 || change > DB_ROW_DELETED)
                return cut_off(err);
        row.change = (enum db_change)change;
        if (change != DB_ROW_INSERTED) {
                if (take_side(taking, 0, &room, err) < 0)
                        return -1;
                row.from = taking->values;
        }
        if (change != DB_ROW_DELETED) {
                if (take_side(taking, taking->n, &room, err) < 0)
                        return -1;
                row.to = taking->values + taking->n;
        }
        return taking->report(&row, taking->arg, err);
}

static int take_rows(int fd, void *arg, struct err *err)
{
        CLEANUP(taking_donep) struct taking taking = *(struct taking *)arg;
        CLEANUP(closep) int own_fd = dup(fd);
        int kind;

        taking.in = own_fd < 0 ? NULL : fdopen(own_fd, "r");
        if (taking.in == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read rows");
        (void)steal_fd(&own_fd);
        while ((kind = fgetc(taking.in)) != EOF)
                if (kind == 'T'   ? take_table(&taking, err) < 0
                    : kind == 'R' ? take_row(&taking, err) < 0
                                  : cut_off(err) < 0)
                        return -1;
        return 0;
}

int sqlite_read_diff(const struct sqlite_where *where, const char *from, const char *to,
                     db_row_report report, void *arg, struct err *err)
{
        CLEANUP(sqlite_dir_closep) struct sqlite_dir *a = NULL, *b = NULL;
        CLEANUP(sqlite_helper_stopp) struct sqlite_helper *helper = NULL;
        struct taking taking = { .report = report, .arg = arg };

        if (sqlite_dir_open(where->root_fd, from, where->uid, &a, err) < 0 ||
            sqlite_dir_open(where->root_fd, to, where->uid, &b, err) < 0 ||
            sqlite_hold_start_helper(a, where->uid, where->gid, 0, 0, &helper, err) < 0 ||
            sqlite_helper_ask(helper, SQLITE_OP_OTHER, NULL, 0, b->fd, err) < 0)
                return -1;
        for (size_t i = 0; i < a->n; i++) {
                const struct sqlite_entry *other = sqlite_dir_find(b, a->entries[i].name);
                struct sqlite_call call = { .op = SQLITE_OP_DIFF };

                if (a->entries[i].kind != SQLITE_KIND_DATABASE || other == NULL ||
                    other->kind != SQLITE_KIND_DATABASE)
                        continue;
                (void)snprintf(call.name, sizeof(call.name), "%s", a->entries[i].name);
                if (sqlite_helper_stream(helper, &call, take_rows, &taking, err) < 0)
                        return -1;
        }
        return 0;
}
