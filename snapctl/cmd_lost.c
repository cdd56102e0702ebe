/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a version has that another does not: after a rollback, what was lost by it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "common/url.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

#define PATIENCE_MSEC (16L * 60 * 1000) /* a little more than the daemon's */

static const struct column columns[] = {
        { "table", "Table", CELL_TEXT, COLUMN_FLEXIBLE },
        { "inserted", "Inserted", CELL_NUMBER, 0 },
        { "changed", "Changed", CELL_NUMBER, 0 },
        { "deleted", "Deleted", CELL_NUMBER, 0 },
};
static const struct table lost_table = {
        .member = "tables",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .empty = "The databases have the same rows.",
};

/* A new file: it may hold anything that the site's visitors wrote, and nobody else's business. */
static int write_file(const char *path, const json_t *answer, struct err *err)
{
        const char *text = json_get_string(answer, "text");
        CLEANUP(closep) int fd = -1;

        if (text == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no 'text'");
        fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno, "'%s'", path);
        return file_write_all(fd, text, strlen(text), err);
}

static int ask(struct ctl *ctl, const char *format, json_t **ret_answer, struct err *err)
{
        const char *table = args_option(ctl->args, OPT_TABLE);
        CLEANUP(freep) char *escaped = url_escape(table == NULL ? "" : table);

        if (escaped == NULL)
                return err_oom(err);
        client_set_timeout(ctl->client, PATIENCE_MSEC);
        return client_get(ctl->client, ret_answer, err,
                          "/v1/sites/%s/lost-writes?from=%" PRIu64 "&to=%" PRIu64 "%s%s%s%s",
                          args_word(ctl->args, 0), args_number(ctl->args, 1),
                          args_number(ctl->args, 2), table == NULL ? "" : "&table=", escaped,
                          format == NULL ? "" : "&format=", format == NULL ? "" : format);
}

static void say_uploads(const struct ctl *ctl, const json_t *answer)
{
        const json_t *uploads = json_object_get(answer, "uploads");
        const json_t *paths = json_object_get(uploads, "paths"), *path;
        uint64_t files = json_get_u64(uploads, "files");
        char size[TEXT_SIZE_MAX];
        size_t i;

        text_size(json_get_u64(uploads, "bytes"), size);
        ctl_say(ctl, "%" PRIu64 " file%s in shared directories %s new or changed since then (%s)%s",
                files, files == 1 ? "" : "s", files == 1 ? "is" : "are", size,
                files == 0 ? "" : ":");
        json_array_foreach ((json_t *)paths, i, path)
                ctl_say(ctl, "  %s", json_is_string(path) ? json_string_value(path) : "?");
        if (files > json_array_size(paths))
                ctl_say(ctl, "  and %" PRIu64 " more", files - json_array_size(paths));
}

int cmd_lost_writes(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *sql = args_option(ctl->args, OPT_SQL), *csv = args_option(ctl->args, OPT_CSV);
        const char *file = sql != NULL ? sql : csv, *parted;
        const json_t *tables;

        if (sql != NULL && csv != NULL)
                return err_fail(err, ERR_INVALID, 0, "--sql and --csv are two: choose one");
        if (ask(ctl,
                sql != NULL   ? "sql"
                : csv != NULL ? "csv"
                              : NULL,
                &answer, err) < 0 ||
            answer_array(answer, "tables", &tables, err) < 0 ||
            (file != NULL && write_file(file, answer, err) < 0))
                return -1;
        if (file != NULL)
                (void)json_object_del(answer, "text");
        if (ctl->look.format == FORMAT_JSON)
                return json_print(answer, &ctl->look.term, err);
        if (table_print(&lost_table, answer, &ctl->look, err) < 0)
                return -1;
        if (ctl->look.format != FORMAT_TABLE)
                return 0;
        parted = json_get_string(answer, "parted");
        ctl_say(ctl, "\nVersions %" PRIu64 " and %" PRIu64 " parted at %s.",
                args_number(ctl->args, 1), args_number(ctl->args, 2),
                parted == NULL ? "?" : parted);
        say_uploads(ctl, answer);
        return 0;
}
