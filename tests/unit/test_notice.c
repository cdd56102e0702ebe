/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>

#include "common/json.h"
#include "snapd/notice.h"
#include "snapd/notice_words.h"
#include "tests/lib/test.h"

static struct err err;

static json_t *made(const struct notice *notice)
{
        json_t *json;

        ASSERT_OK(notice_json(notice, &json, &err));
        return json;
}

static char *text_of(const struct notice *notice)
{
        json_t *json = made(notice);
        char *text;

        ASSERT_OK(notice_text(json, &text, &err));
        json_decref(json);
        return text;
}

static bool has(const char *text, const char *part)
{
        if (strstr(text, part) != NULL)
                return true;
        printf("# '%s' is not in:\n# %s\n", part, text);
        return false;
}

TEST(every_phase_has_words_with_and_without_facts)
{
        for (enum notice_phase phase = 0; phase < NOTICE_PHASES; phase++) {
                struct notice full = { .phase = phase,
                                       .site = "wiki",
                                       .verb = "upgrade",
                                       .operation = 12,
                                       .from = 7,
                                       .to = 8,
                                       .label = "1.43" };
                struct notice bare = { .phase = phase, .site = "wiki" };
                struct notice taken = full;
                const struct notice *both[] = { &full, &bare, &taken };

                taken.taken_back = true;
                ASSERT_EQ(notice_phase_by_name(notice_phase_name(phase)), phase);
                for (int i = 0; i < 3; i++) {
                        json_t *json = made(both[i]);

                        ASSERT(json_get_string(json, "what") != NULL);
                        ASSERT(json_get_string(json, "safe") != NULL);
                        ASSERT(strchr(json_get_string(json, "what"), '{') == NULL);
                        ASSERT(strchr(json_get_string(json, "safe"), '{') == NULL);
                        ASSERT(json_get_string(json, "subject") != NULL);
                        ASSERT(json_is_array(json_object_get(json, "next")));
                        json_decref(json);
                }
        }
        ASSERT_EQ(notice_phase_by_name("nonsense"), NOTICE_PHASES);
        ASSERT_EQ(notice_phase_by_name(NULL), NOTICE_PHASES);
}

TEST(a_rolled_back_upgrade_says_what_a_person_needs)
{
        CLEANUP(json_decrefp)
        json_t *evidence = json_pack("{s:[s, s], s:i}", "the end of the output", "line one",
                                     "line two", "bad answers", 17);
        CLEANUP(freep)
        char *text = text_of(&(struct notice){ .phase = NOTICE_ROLLED_BACK,
                                               .site = "wiki",
                                               .verb = "upgrade",
                                               .operation = 12,
                                               .from = 7,
                                               .to = 8,
                                               .label = "1.43",
                                               .track = "stable",
                                               .automatic = AUTOMATIC_ON,
                                               .why = "the upgrade command exited with status 1",
                                               .evidence = evidence });

        ASSERT(has(text, "Operation 12, upgrade of 'wiki' to version 8, was rolled back."));
        ASSERT(has(text, "Version before:    7\n"));
        ASSERT(has(text, "Version after:     8\n"));
        ASSERT(has(text, "Release:           1.43\n"));
        ASSERT(has(text, "Track:             stable\n"));
        ASSERT(has(text, "Automatic updates: on\n"));
        ASSERT(has(text, "Why\n  the upgrade command exited with status 1\n"));
        ASSERT(has(text, "Version 7 is served again"));
        ASSERT(has(text, "Where the log is\n  snapctl ops show 12\n"));
        ASSERT(has(text, "What to run next\n  snapctl ops show 12\n  snapctl show wiki 8\n"));
        ASSERT(has(text, "Evidence: the end of the output\n  line one\n  line two\n"));
        ASSERT(has(text, "Evidence: bad answers\n  17\n"));
}

TEST(what_is_not_known_is_not_said)
{
        CLEANUP(freep)
        char *text = text_of(&(struct notice){ .phase = NOTICE_ALERT, .site = "wiki" });

        ASSERT(strstr(text, "Automatic updates") == NULL);
        ASSERT(strstr(text, "Track") == NULL);
        ASSERT(strstr(text, "Version before") == NULL);
        ASSERT(strstr(text, "ops show") == NULL);
        ASSERT(has(text, "The probes of 'wiki' are bad."));
}

/* Nothing of a tenant's may begin a header, a line or a command of its own. */
TEST(line_breaks_and_controls_of_a_tenant_become_blanks)
{
        CLEANUP(json_decrefp)
        json_t *evidence = json_pack("{s:s, s:[s]}", "a\r\nBcc: x@example.org",
                                     "one\r\nSubject: no", "b", "\x1b[2Jcleared\x07");
        CLEANUP(json_decrefp)
        json_t *json = made(
                &(struct notice){ .phase = NOTICE_AVAILABLE,
                                  .site = "wiki",
                                  .from = 7,
                                  .label = "1.0\r\nBcc: everybody@example.org\r\n\r\nbody `reboot`",
                                  .why = "bad \xE2\x80\xAE gpj.exe \xC2\x85 \xff\xfe end",
                                  .evidence = evidence });
        CLEANUP(freep) char *text = NULL;
        CLEANUP(freep) char *dump = json_dumps(json, JSON_COMPACT);

        ASSERT_OK(notice_text(json, &text, &err));
        ASSERT(strpbrk(json_get_string(json, "subject"), "\r\n") == NULL);
        ASSERT(has(json_get_string(json, "subject"), "wiki: 1.0  Bcc: everybody@example.org"));
        ASSERT(strstr(text, "\nBcc") == NULL && strstr(text, "\nSubject") == NULL);
        ASSERT(strstr(dump, "\\r") == NULL && strstr(dump, "\\n") == NULL);
        for (const char *c = text; *c != '\0'; c++)
                ASSERT(*c == '\n' || iscntrl((unsigned char)*c) == 0);
        ASSERT(strstr(text, "\xE2\x80\xAE") == NULL && strstr(text, "\xC2\x85") == NULL);
        ASSERT(has(text, "?? end"));
        /* A command that is pasted has nothing in it but names and numbers of ours. */
        ASSERT(strstr(json_string_value(json_array_get(json_object_get(json, "next"), 0)),
                      "reboot") == NULL);
}

TEST(cleaning_cuts_at_a_character_and_says_so)
{
        static const struct {
                const char *text;
                size_t max;
                const char *clean;
        } rows[] = {
                { "plain", 10, "plain" },
                { "plain", 5, "plain" },
                { "plainer", 5, "pl..." },
                { "\xC3\xA4\xC3\xA4\xC3\xA4", 5, "\xC3\xA4..." },
                { "\xC3\xA4\xC3\xA4\xC3\xA4", 6, "\xC3\xA4\xC3\xA4\xC3\xA4" },
                { "a\xC3", 10, "a?" },
                { "\xC0\xAF", 10, "??" },           /* not the shortest form */
                { "\xED\xA0\x80", 10, "???" },      /* a surrogate */
                { "\xF4\x90\x80\x80", 10, "????" }, /* beyond Unicode */
                { "\xF0\x9F\x98\x80", 10, "\xF0\x9F\x98\x80" },
                { "tab\tnul", 10, "tab nul" },
                { "", 3, "" },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                CLEANUP(freep) char *clean = NULL;

                ASSERT_OK(notice_clean(rows[i].text, rows[i].max, &clean, &err));
                ASSERT_STR(clean, rows[i].clean);
                ASSERT(strlen(clean) <= rows[i].max);
        }
}

TEST(evidence_that_is_too_much_is_cut_from_its_end_and_fits_the_outbox)
{
        CLEANUP(json_decrefp) json_t *evidence = json_object();
        CLEANUP(json_decrefp) json_t *json = NULL;
        CLEANUP(freep) char *dump = NULL;
        char name[32], line[2000];

        memset(line, 'x', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        for (int i = 0; i < 30; i++) {
                json_t *lines = json_array();

                for (int k = 0; k < 100; k++)
                        (void)json_array_append_new(lines, json_string(line));
                (void)snprintf(name, sizeof(name), "member %d", i);
                (void)json_object_set_new(evidence, name, lines);
        }
        json = made(&(struct notice){ .phase = NOTICE_FAILED,
                                      .site = "wiki",
                                      .label = line,
                                      .why = line,
                                      .what = line,
                                      .track = line,
                                      .evidence = evidence });
        dump = json_dumps(json, JSON_COMPACT);
        ASSERT(strlen(dump) < OUTBOX_BODY_MAX);
        ASSERT(json_array_size(json_object_get(json_object_get(json, "evidence"), "member 0")) > 0);
        ASSERT(json_object_get(json_object_get(json, "evidence"), "member 29") == NULL);
}
