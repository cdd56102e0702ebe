/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/notice.h"
#include "snapd/notice_words.h"

#define NAME_MAX_BYTES   64
#define LABEL_MAX_BYTES  120
#define LINE_MAX_BYTES   400
#define WHY_MAX_BYTES    600
#define EVIDENCE_MEMBERS 8
#define EVIDENCE_LINES   20
#define EVIDENCE_BYTES   8192

const char *notice_phase_name(enum notice_phase phase)
{
        return phase < NOTICE_PHASES ? notice_words[phase].name : NULL;
}

enum notice_phase notice_phase_by_name(const char *name)
{
        enum notice_phase phase = 0;

        while (phase < NOTICE_PHASES &&
               (name == NULL || strcmp(notice_words[phase].name, name) != 0))
                phase++;
        return phase;
}

/* Characters that are no letters of a line: controls, line and paragraph separators, and those that
 * hide text or turn its direction. */
static bool is_format(uint32_t c)
{
        static const uint32_t ranges[][2] = {
                { 0, 0x1f },        { 0x7f, 0x9f },       { 0xad, 0xad },     { 0x61c, 0x61c },
                { 0x200b, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
                { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff },
        };

        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
                if (c >= ranges[i][0] && c <= ranges[i][1])
                        return true;
        return false;
}

/* The character at ${s} and its length; 0 when these bytes are none (RFC 3629). */
static size_t utf8_read(const unsigned char *s, uint32_t *ret_c)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t n = s[0] < 0x80       ? 1
                   : s[0] >> 5 == 6  ? 2
                   : s[0] >> 4 == 14 ? 3
                   : s[0] >> 3 == 30 ? 4
                                     : 0;
        uint32_t c = n == 1 ? s[0] : n == 0 ? 0 : s[0] & (0x7fU >> n);

        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0; /* also at the NUL */
                c = c << 6 | (s[i] & 0x3fU);
        }
        if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
                return 0;
        *ret_c = c;
        return n;
}

int notice_clean(const char *text, size_t max, char **ret_text, struct err *err)
{
        static const char cut[] = "...";
        const unsigned char *s = (const unsigned char *)text;
        char *clean = malloc(max + sizeof(cut));
        size_t n = 0, safe = 0;

        if (clean == NULL)
                return err_oom(err);
        while (*s != '\0') {
                uint32_t c = 0;
                size_t length = utf8_read(s, &c);
                bool plain = length > 0 && !is_format(c);

                if (n + (plain ? length : 1) > max)
                        break;
                if (plain)
                        memcpy(clean + n, s, length);
                else
                        clean[n] = length == 0 ? '?' : ' ';
                n += plain ? length : 1;
                s += length == 0 ? 1 : length;
                if (n + sizeof(cut) - 1 <= max)
                        safe = n;
        }
        clean[n] = '\0';
        if (*s != '\0')
                memcpy(clean + safe, cut, sizeof(cut));
        *ret_text = clean;
        return 0;
}

/* Set ${key} to the cleaned text; NULL and "" are left out. */
static int put_text(json_t *json, const char *key, const char *text, size_t max, struct err *err)
{
        CLEANUP(freep) char *clean = NULL;

        if (text == NULL || text[0] == '\0')
                return 0;
        if (notice_clean(text, max, &clean, err) < 0)
                return -1;
        return json_object_set_new(json, key, json_string(clean)) < 0 ? err_oom(err) : 0;
}

static int put_number(json_t *json, const char *key, uint64_t number, struct err *err)
{
        if (number == 0)
                return 0;
        return json_object_set_new(json, key, json_integer((json_int_t)number)) < 0 ? err_oom(err)
                                                                                    : 0;
}

/* ${value} with every string in it cleaned; NULL: no memory. */
static json_t *value_clean(const json_t *value, unsigned depth)
{
        CLEANUP(freep) char *clean = NULL;
        struct err ignored;
        json_t *copy, *member;
        const char *key;
        size_t i;

        if (json_is_string(value))
                return notice_clean(json_string_value(value), LINE_MAX_BYTES, &clean, &ignored) < 0
                               ? NULL
                               : json_string(clean);
        if (depth > 4 || !(json_is_array(value) || json_is_object(value)))
                return depth > 4 ? json_null() : json_deep_copy(value);
        copy = json_is_array(value) ? json_array() : json_object();
        if (json_is_array(value)) {
                json_array_foreach ((json_t *)value, i, member) {
                        if (i < EVIDENCE_LINES)
                                (void)json_array_append_new(copy, value_clean(member, depth + 1));
                }
        } else {
                json_object_foreach ((json_t *)value, key, member) {
                        CLEANUP(freep) char *name = NULL;

                        if (json_object_size(copy) < EVIDENCE_MEMBERS &&
                            notice_clean(key, NAME_MAX_BYTES, &name, &ignored) == 0)
                                (void)json_object_set_new(copy, name,
                                                          value_clean(member, depth + 1));
                }
        }
        return copy;
}

static int put_evidence(json_t *json, const json_t *evidence, struct err *err)
{
        CLEANUP(json_decrefp) json_t *copy = NULL;
        const char *last;
        json_t *member;

        if (!json_is_object(evidence))
                return 0;
        copy = value_clean(evidence, 0);
        if (copy == NULL)
                return err_oom(err);

        /* What is too much goes from the end: a caller says the most telling thing first. */
        while (json_dumpb(copy, NULL, 0, JSON_COMPACT) > EVIDENCE_BYTES) {
                last = NULL;
                for (void *at = json_object_iter(copy); at != NULL;
                     at = json_object_iter_next(copy, at))
                        last = json_object_iter_key(at);
                member = json_object_get(copy, last);
                if (json_is_array(member) && json_array_size(member) > 1)
                        (void)json_array_remove(member, json_array_size(member) - 1);
                else
                        (void)json_object_del(copy, last);
        }
        return json_object_set(json, "evidence", copy) < 0 ? err_oom(err) : 0;
}

/* The first sentence whose facts are known. */
static int put_choice(json_t *json, const char *key, const char *const choices[NOTICE_CHOICES],
                      const struct notice_facts *facts, struct err *err)
{
        for (size_t i = 0; i < NOTICE_CHOICES && choices[i] != NULL; i++) {
                CLEANUP(freep) char *text = NULL;

                if (notice_words_fill(choices[i], facts, &text, err) < 0)
                        return -1;
                if (text != NULL)
                        return put_text(json, key, text, LINE_MAX_BYTES, err);
        }
        return 0;
}

static int put_commands(json_t *json, const struct notice_words *words,
                        const struct notice_facts *facts, struct err *err)
{
        json_t *list = json_array();

        if (list == NULL || json_object_set_new(json, "next", list) < 0)
                return err_oom(err);
        for (size_t i = 0; i < NOTICE_COMMANDS && words->next[i] != NULL; i++) {
                CLEANUP(freep) char *text = NULL;

                if (notice_words_fill(words->next[i], facts, &text, err) < 0)
                        return -1;
                if (text != NULL && json_array_append_new(list, json_string(text)) < 0)
                        return err_oom(err);
        }
        return 0;
}

static int put_facts(json_t *json, const struct notice *notice, struct err *err)
{
        struct utsname host;
        char now[CLOCK_ISO_MAX];

        clock_iso(clock_wall_usec(), 1, now);
        if (uname(&host) < 0)
                host.nodename[0] = '\0';
        if (put_text(json, "phase", notice_phase_name(notice->phase), NAME_MAX_BYTES, err) < 0 ||
            put_text(json, "site", notice->site, NAME_MAX_BYTES, err) < 0 ||
            put_text(json, "host", host.nodename, NAME_MAX_BYTES, err) < 0 ||
            put_text(json, "time", now, NAME_MAX_BYTES, err) < 0 ||
            put_text(json, "sitesnap", SITESNAP_VERSION, NAME_MAX_BYTES, err) < 0 ||
            put_text(json, "verb", notice->verb, NAME_MAX_BYTES, err) < 0 ||
            put_number(json, "operation", notice->operation, err) < 0 ||
            put_number(json, "from", notice->from, err) < 0 ||
            put_number(json, "to", notice->to, err) < 0 ||
            put_text(json, "label", notice->label, LABEL_MAX_BYTES, err) < 0 ||
            put_text(json, "track", notice->track, LABEL_MAX_BYTES, err) < 0)
                return -1;
        if (notice->at_usec != 0) {
                clock_iso(notice->at_usec, 1, now);
                if (put_text(json, "at", now, NAME_MAX_BYTES, err) < 0)
                        return -1;
        }
        if (notice->automatic != AUTOMATIC_UNKNOWN &&
            json_object_set_new(json, "automatic_updates",
                                json_boolean(notice->automatic == AUTOMATIC_ON)) < 0)
                return err_oom(err);
        return 0;
}

/* A number of the notice as a text; NULL when it is not known. */
static const char *number_text(uint64_t number, char buf[static 24])
{
        (void)snprintf(buf, 24, "%" PRIu64, number);
        return number == 0 ? NULL : buf;
}

static int put_words(json_t *json, const struct notice *notice, struct err *err)
{
        const struct notice_words *words =
                notice->taken_back ? &notice_words_taken_back : &notice_words[notice->phase];
        char operation[24], from[24], to[24];
        const struct notice_facts facts = {
                .site = json_get_string(json, "site"),
                .verb = json_get_string(json, "verb"),
                .label = json_get_string(json, "label"),
                .at = json_get_string(json, "at"),
                .operation = number_text(notice->operation, operation),
                .from = number_text(notice->from, from),
                .to = number_text(notice->to, to),
        };
        CLEANUP(freep) char *log = NULL;

        if (put_choice(json, "subject", words->subject, &facts, err) < 0 ||
            put_choice(json, "what", words->what, &facts, err) < 0 ||
            put_text(json, "what", notice->what, LINE_MAX_BYTES, err) < 0 ||
            put_text(json, "why", notice->why, WHY_MAX_BYTES, err) < 0 ||
            put_choice(json, "safe", words->safe, &facts, err) < 0 ||
            notice_words_fill("{ctl} ops show {operation}", &facts, &log, err) < 0 ||
            put_text(json, "log", log, LINE_MAX_BYTES, err) < 0)
                return -1;
        return put_commands(json, words, &facts, err);
}

int notice_json(const struct notice *notice, json_t **ret_json, struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = json_object();

        if (json == NULL)
                return err_oom(err);
        if (put_facts(json, notice, err) < 0 || put_words(json, notice, err) < 0 ||
            put_evidence(json, notice->evidence, err) < 0)
                return -1;
        *ret_json = STEAL(json);
        return 0;
}

static int put_with(struct outbox *outbox, const struct notice *notice, const char *target,
                    uint64_t *ret_id, struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = NULL;
        CLEANUP(freep) char *body = NULL;

        if (notice->phase >= NOTICE_PHASES)
                return err_fail(err, ERR_INVALID, 0, "there is no such phase");
        if (notice_json(notice, &json, err) < 0)
                return -1;
        body = json_dumps(json, JSON_COMPACT);
        if (body == NULL)
                return err_oom(err);
        return outbox_put(outbox,
                          &(struct outbox_put){ .phase = notice_phase_name(notice->phase),
                                                .site = notice->site == NULL ? "" : notice->site,
                                                .body = body,
                                                .target = target,
                                                .key = notice->key },
                          ret_id, err);
}

int notice_put(struct outbox *outbox, const struct notice *notice, struct err *err)
{
        return put_with(outbox, notice, NULL, NULL, err);
}

int notice_put_to(struct outbox *outbox, const struct notice *notice, const char *target,
                  uint64_t *ret_id, struct err *err)
{
        return put_with(outbox, notice, target, ret_id, err);
}

static void line_print(FILE *out, const char *name, const char *text)
{
        if (text != NULL)
                (void)fprintf(out, "%-18s %s\n", name, text);
}

static void number_print(FILE *out, const char *name, const json_t *json, const char *key)
{
        if (json_get_u64(json, key) != 0)
                (void)fprintf(out, "%-18s %" PRIu64 "\n", name, json_get_u64(json, key));
}

static void paragraph_print(FILE *out, const char *name, const char *text)
{
        if (text != NULL)
                (void)fprintf(out, "\n%s\n  %s\n", name, text);
}

static void value_print(FILE *out, const json_t *value)
{
        if (json_is_string(value))
                (void)fprintf(out, "  %s\n", json_string_value(value));
        else if (json_is_number(value))
                (void)fprintf(out, "  %.15g\n", json_number_value(value));
}

static void evidence_print(FILE *out, const json_t *evidence)
{
        const char *key;
        json_t *member, *line;
        size_t i;

        json_object_foreach ((json_t *)evidence, key, member) {
                (void)fprintf(out, "\nEvidence: %s\n", key);
                value_print(out, member);
                if (!json_is_array(member))
                        continue;
                json_array_foreach (member, i, line)
                        value_print(out, line);
        }
}

static void text_print(FILE *out, const json_t *json)
{
        const json_t *automatic = json_object_get(json, "automatic_updates");
        const json_t *command;
        size_t i;

        (void)fprintf(out, "%s\n\n", json_get_string(json, "what"));
        line_print(out, "Site:", json_get_string(json, "site"));
        line_print(out, "Host:", json_get_string(json, "host"));
        line_print(out, "Time:", json_get_string(json, "time"));
        number_print(out, "Version before:", json, "from");
        number_print(out, "Version after:", json, "to");
        line_print(out, "Release:", json_get_string(json, "label"));
        line_print(out, "Begins at:", json_get_string(json, "at"));
        line_print(out, "Track:", json_get_string(json, "track"));
        if (automatic != NULL)
                line_print(out, "Automatic updates:", json_is_true(automatic) ? "on" : "off");
        paragraph_print(out, "Why", json_get_string(json, "why"));
        paragraph_print(out, "What is still safe", json_get_string(json, "safe"));
        paragraph_print(out, "Where the log is", json_get_string(json, "log"));
        if (json_array_size(json_object_get(json, "next")) > 0)
                (void)fprintf(out, "\nWhat to run next\n");
        json_array_foreach (json_object_get(json, "next"), i, command)
                (void)fprintf(out, "  %s\n", json_string_value(command));
        evidence_print(out, json_object_get(json, "evidence"));
}

int notice_text(const json_t *json, char **ret_text, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        CLEANUP(fclosep) FILE *out = NULL;
        size_t n;

        if (json_get_string(json, "what") == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "a notice without words");
        out = open_memstream(&text, &n);
        if (out == NULL)
                return err_oom(err);
        text_print(out, json);
        if (fclose(STEAL(out)) != 0)
                return err_oom(err);
        *ret_text = STEAL(text);
        return 0;
}
