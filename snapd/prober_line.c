/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <arpa/inet.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "snapd/prober_line.h"
#include "snapd/prober_stamp.h"

/* A quoted field: a backslash takes the next character along.  Nothing here goes back: possessive
 * all through, so that a line takes time by its length whatever is in it. */
#define QUOTED "\"((?:[^\"\\\\]++|\\\\.)*+)\""

static const char combined[] = "^([^ \"]*+) ?+([^ \"\\\\]*+)(?:[^\"\\\\]++|\\\\.)*+" QUOTED
                               " ([1-5][0-9][0-9]) (?:[0-9]++|-)(?: " QUOTED " " QUOTED ")?+(.*+)$";
enum {
        GROUP_HOST = 1,
        GROUP_SECOND,
        GROUP_REQUEST,
        GROUP_STATUS,
        GROUP_REFERER,
        GROUP_AGENT,
        GROUP_REST
};

static pcre2_code *combined_code(void)
{
        static pcre2_code *code;
        PCRE2_SIZE at;
        int error;

        if (code == NULL)
                code = pcre2_compile((PCRE2_SPTR)combined, PCRE2_ZERO_TERMINATED,
                                     PCRE2_DOTALL | PCRE2_NEVER_UTF, &error, &at, NULL);
        return code;
}

static void group_copy(const char *text, const PCRE2_SIZE *places, unsigned group, char *buf,
                       size_t size)
{
        size_t from = places[2 * group], n;

        buf[0] = '\0';
        if (from == PCRE2_UNSET)
                return;
        n = places[2 * group + 1] - from;
        if (n >= size)
                n = size - 1;
        memcpy(buf, text + from, n);
        buf[n] = '\0';
}

/* "/path?query" up to a blank: what is behind the '?' is the visitor's own, and shown to nobody. */
static void path_of(const char *url, struct line *line)
{
        size_t n = strcspn(url, " ?");
        const char *query = url[n] == '?' ? url + n + 1 : "";

        (void)snprintf(line->path, sizeof(line->path), "%.*s", (int)n, url);
        (void)snprintf(line->query, sizeof(line->query), "%.*s", (int)strcspn(query, " "), query);
}

/* "GET /path?query HTTP/1.1". */
static void request_of(const char *request, struct line *line)
{
        size_t n = strcspn(request, " ");

        if (request[n] == ' ')
                (void)snprintf(line->method, sizeof(line->method), "%.*s", (int)n, request);
        path_of(request[n] == ' ' ? request + n + 1 : request, line);
}

/* "ADDRESS - ...", or "HOST ADDRESS - ..." in a log of many sites. */
static void address_of(const char *second, struct line *line)
{
        unsigned char address[16];
        bool is = inet_pton(AF_INET, second, address) == 1 ||
                  inet_pton(AF_INET6, second, address) == 1;

        (void)snprintf(line->address, sizeof(line->address), "%.63s", is ? second : line->host);
}

/* What is no number, or no time that a request takes, is not known. */
static int64_t seconds_usec(double seconds)
{
        return seconds >= 0 && seconds <= 86400 ? (int64_t)(seconds * 1000000) : -1;
}

static int64_t seconds_read(const char *text)
{
        char *end;
        double seconds = strtod(text, &end);

        return end == text ? -1 : seconds_usec(seconds);
}

static int64_t time_read(const struct site_probe *probe, const char *rest)
{
        const char *last = strrchr(rest, ' ');
        int64_t usec;

        if (probe->time == PROBE_TIME_NONE)
                return -1;
        last = last == NULL ? rest : last + 1;
        if (last[0] == '\0' || strspn(last, "0123456789.") != strlen(last))
                return -1;
        usec = seconds_read(last);
        return probe->time == PROBE_TIME_SECONDS || usec < 0 ? usec : usec / 1000000;
}

/* "... [20/Nov/2026:13:00:00 +0000] " up to ${n}: the last brackets, for the name before them is a
 * visitor's.  Apache writes when it was asked, nginx when it had answered. */
static void stamp_take(const struct site_probe *probe, const char *text, size_t n,
                       struct line *line)
{
        const char *open;
        char stamp[STAMP_MAX];

        if (n < 2 || text[n - 1] != ' ' || text[n - 2] != ']')
                return;
        open = memrchr(text, '[', n);
        if (open == NULL || (size_t)(text + n - 2 - open) > sizeof(stamp))
                return;
        (void)snprintf(stamp, sizeof(stamp), "%.*s", (int)(text + n - 2 - (open + 1)), open + 1);
        line->wall_usec = stamp_read(stamp);
        line->asked = probe->time == PROBE_TIME_MICROSECONDS;
}

static bool combined_read(const struct site_probe *probe, const char *text, size_t n,
                          struct line *ret_line)
{
        static pcre2_match_data *data;
        pcre2_code *code = combined_code();
        char request[600], second[64], status[8], rest[300];
        const PCRE2_SIZE *places;

        if (code != NULL && data == NULL)
                data = pcre2_match_data_create_from_pattern(code, NULL);
        if (data == NULL ||
            pcre2_match(code, (PCRE2_SPTR)text, n, 0, 0, data, NULL) <= GROUP_STATUS)
                return false;
        places = pcre2_get_ovector_pointer(data);
        group_copy(text, places, GROUP_HOST, ret_line->host, sizeof(ret_line->host));
        group_copy(text, places, GROUP_SECOND, second, sizeof(second));
        group_copy(text, places, GROUP_REQUEST, request, sizeof(request));
        group_copy(text, places, GROUP_STATUS, status, sizeof(status));
        group_copy(text, places, GROUP_AGENT, ret_line->agent, sizeof(ret_line->agent));
        ret_line->status = (unsigned)strtoul(status, NULL, 10);
        request_of(request, ret_line);
        address_of(second, ret_line);
        /* The end of the line, which may be far behind. */
        {
                size_t from = places[2 * GROUP_REST], length = n - from;

                if (length >= sizeof(rest))
                        from = n - (sizeof(rest) - 1);
                memcpy(rest, text + from, n - from);
                rest[n - from] = '\0';
        }
        ret_line->usec = time_read(probe, rest);
        stamp_take(probe, text, places[2 * GROUP_REQUEST] - 1, ret_line);
        return true;
}

/* The names that people give these fields. */
static const json_t *member_of(const json_t *object, const char *const *names)
{
        const json_t *member = NULL;

        for (; member == NULL && *names != NULL; names++)
                member = json_object_get(object, *names);
        return member;
}

static void member_copy(const json_t *object, const char *const *names, char *buf, size_t size)
{
        const char *text = json_string_value(member_of(object, names));

        (void)snprintf(buf, size, "%s", text == NULL ? "" : text);
}

/* $msec is a number of seconds; the others are texts. */
static int64_t json_stamp(const json_t *object)
{
        static const char *const texts[] = { "time_iso8601", "time_local", "time", NULL };
        const json_t *msec = json_object_get(object, "msec");
        double seconds = json_is_string(msec) ? strtod(json_string_value(msec), NULL)
                                              : json_number_value(msec);
        const char *text = json_string_value(member_of(object, texts));

        if (seconds > 0 && seconds < STAMP_SECONDS_MAX)
                return (int64_t)(seconds * 1e6);
        return text == NULL ? 0 : stamp_read(text);
}

static bool json_read(const char *text, size_t n, struct line *ret_line)
{
        static const char *const hosts[] = { "host", "server_name", "vhost", NULL };
        static const char *const paths[] = { "uri", "request_uri", "path", NULL };
        static const char *const methods[] = { "request_method", "method", NULL };
        static const char *const queries[] = { "args", "query_string", NULL };
        static const char *const addresses[] = { "remote_addr", "remote_ip", "client_ip", NULL };
        static const char *const agents[] = { "http_user_agent", "user_agent", "agent", NULL };
        static const char *const statuses[] = { "status", NULL };
        static const char *const times[] = { "request_time", NULL };
        CLEANUP(json_decrefp) json_t *object = NULL;
        const json_t *status, *seconds;
        const char *path;
        struct err ignored;

        if (json_parse(text, n, &object, &ignored) < 0 || !json_is_object(object))
                return false;
        status = member_of(object, statuses);
        ret_line->status = json_is_string(status)
                                   ? (unsigned)strtoul(json_string_value(status), NULL, 10)
                                   : (unsigned)json_integer_value(status);
        if (ret_line->status < 100 || ret_line->status > 599)
                return false;
        seconds = member_of(object, times);
        ret_line->usec = json_is_string(seconds)   ? seconds_read(json_string_value(seconds))
                         : json_is_number(seconds) ? seconds_usec(json_number_value(seconds))
                                                   : -1;
        ret_line->wall_usec = json_stamp(object);
        member_copy(object, hosts, ret_line->host, sizeof(ret_line->host));
        member_copy(object, agents, ret_line->agent, sizeof(ret_line->agent));
        member_copy(object, methods, ret_line->method, sizeof(ret_line->method));
        member_copy(object, addresses, ret_line->address, sizeof(ret_line->address));
        path = json_string_value(member_of(object, paths));
        path_of(path == NULL ? "" : path, ret_line);
        if (ret_line->query[0] == '\0')
                member_copy(object, queries, ret_line->query, sizeof(ret_line->query));
        return true;
}

bool line_read(const struct site_probe *probe, const char *text, size_t n, struct line *ret_line)
{
        *ret_line = (struct line){ .usec = -1 };
        if (n == 0 || memchr(text, '\0', n) != NULL)
                return false;
        if (probe->format == PROBE_FORMAT_JSON ||
            (probe->format == PROBE_FORMAT_AUTO && text[0] == '{'))
                return json_read(text, n, ret_line);
        return combined_read(probe, text, n, ret_line);
}
