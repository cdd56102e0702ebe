/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "snapctl/cell.h"
#include "snapctl/text.h"

/* "a, b" of a list of strings. */
static const char *join(const json_t *list, const char *between, char buf[static CELL_MAX])
{
        size_t at = 0, gap = strlen(between), i;
        const json_t *item;

        json_array_foreach ((json_t *)list, i, item) {
                size_t n = json_string_length(item);

                if (!json_is_string(item) || at + gap + n >= CELL_MAX)
                        continue;
                if (at > 0) {
                        memcpy(buf + at, between, gap);
                        at += gap;
                }
                memcpy(buf + at, json_string_value(item), n);
                at += n;
        }
        buf[at] = '\0';
        return buf;
}

const char *cell_machine(const json_t *value, char buf[static CELL_MAX])
{
        buf[0] = '\0';
        if (json_is_string(value))
                return json_string_value(value);
        if (json_is_integer(value) && json_integer_value(value) >= 0)
                (void)text_number((uint64_t)json_integer_value(value), buf);
        else if (json_is_integer(value))
                (void)snprintf(buf, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
                (void)snprintf(buf, CELL_MAX, "%g", json_real_value(value));
        else if (json_is_boolean(value))
                (void)snprintf(buf, CELL_MAX, "%s", json_is_true(value) ? "true" : "false");
        else if (json_is_array(value))
                return join(value, ",", buf);
        return buf;
}

static const char *time_text(const char *iso, const struct look *look, char buf[static CELL_MAX])
{
        char text[TEXT_TIME_MAX > CLOCK_ISO_MAX ? TEXT_TIME_MAX : CLOCK_ISO_MAX];
        int64_t usec;

        if (iso == NULL || !text_parse_time(iso, &usec))
                return iso == NULL ? "" : iso;
        if (look->term.terminal && !look->utc && !look->verbose)
                text_ago(usec, clock_wall_usec(), text);
        else
                clock_iso(usec, look->utc, text);
        (void)snprintf(buf, CELL_MAX, "%s", text);
        return buf;
}

const char *cell_human(enum cell kind, const json_t *value, const struct look *look,
                       char buf[static CELL_MAX])
{
        switch (kind) {
        case CELL_BYTES:
                if (!json_is_integer(value))
                        return "-";
                text_size(json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0,
                          buf);
                return buf;
        case CELL_TIME:
                return time_text(json_string_value(value), look, buf);
        case CELL_LIST:
                return join(value, ", ", buf);
        case CELL_BOOL:
                return json_is_true(value) ? "yes" : "no";
        case CELL_NUMBER:
        case CELL_TEXT:
                break;
        }
        return cell_machine(value, buf);
}
