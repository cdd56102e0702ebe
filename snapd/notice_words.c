/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/notice_words.h"

/* Commands are pasted into a root shell: {label} has no place in them. */
const struct notice_words notice_words[NOTICE_PHASES] = {
        [NOTICE_AVAILABLE] = {
                .name = "available",
                .subject = { "{site}: {label} is available", "{site}: an update is available" },
                .what = { "A release, {label}, is there for '{site}', which runs version {from}.",
                          "A release, {label}, is there for '{site}'.",
                          "There is an update for '{site}'." },
                .safe = { "Nothing was changed." },
                .next = { "{ctl} upgrade {site} --dry-run", "{ctl} upgrade {site}" },
        },
        [NOTICE_SCHEDULED] = {
                .name = "scheduled",
                .subject = { "{site}: an upgrade to {label} is scheduled",
                             "{site}: an upgrade is scheduled" },
                .what = { "An upgrade of '{site}' to {label} is going to begin at {at}.",
                          "An upgrade of '{site}' is going to begin at {at}.",
                          "An upgrade of '{site}' to {label} is going to begin by itself.",
                          "An upgrade of '{site}' is going to begin by itself." },
                .safe = { "Nothing was changed yet; version {from} is served and will be kept.",
                          "Nothing was changed yet." },
                .next = { "{ctl} upgrade {site} --dry-run", "{ctl} list {site}" },
        },
        [NOTICE_STARTED] = {
                .name = "started",
                .subject = { "{site}: {verb} begins", "{site}: an operation begins" },
                .what = { "Operation {operation}, {verb} of '{site}' from version {from}, begins.",
                          "An operation on '{site}' begins." },
                .safe = { "Version {from} is kept with its files and its database before anything "
                          "is changed, and is served again if this fails.",
                          "If this fails, everything it did is taken back." },
                .next = { "{ctl} ops follow {operation}", "{ctl} ops abort {operation}" },
        },
        [NOTICE_FINISHED] = {
                .name = "finished",
                .subject = { "{site}: {verb} finished, version {to} is served",
                             "{site}: {verb} finished", "{site}: an operation finished" },
                .what = { "Operation {operation}, {verb} of '{site}', is done: version {to} is "
                          "served.",
                          "Operation {operation}, {verb} of '{site}', is done.",
                          "An operation on '{site}' is done." },
                .safe = { "Version {from} is kept with its files and its database.",
                          "No version was removed." },
                .next = { "{ctl} list {site}", "{ctl} rollback {site}" },
        },
        [NOTICE_FAILED] = {
                .name = "failed",
                .subject = { "{site}: {verb} failed, nothing was changed",
 "{site}: an operation failed, nothing was changed" },
                .what = { "Operation {operation}, {verb} of '{site}', failed; what it had begun "
                          "was taken back.",
                          "An operation on '{site}' failed; what it had begun was taken back." },
                .safe = { "Version {from} is served as before, with its files and its database.",
                          "The site is as it was before." },
                .next = { "{ctl} ops show {operation}", "{ctl} status {site}" },
        },
        [NOTICE_ROLLED_BACK] = {
                .name = "rolled-back",
                .subject = { "{site}: {verb} was rolled back, version {from} is served again",
                             "{site}: {verb} was rolled back", "{site} was rolled back" },
                .what = { "Operation {operation}, {verb} of '{site}' to version {to}, was rolled "
                          "back.",
                          "'{site}' was rolled back." },
                .safe = { "Version {from} is served again, with its own files and its own "
                          "database; version {to} is kept for looking into and marked bad.",
                          "Version {from} is served again, with its own files and its own "
                          "database.",
                          "The version before it is served again." },
                .next = { "{ctl} ops show {operation}", "{ctl} show {site} {to}",
                          "{ctl} diff {site} {from} {to}" },
        },
        [NOTICE_HELD] = {
                .name = "held",
                .subject = { "{site}: {verb} is held, somebody has to look",
                             "{site} is held, somebody has to look" },
                .what = { "Operation {operation}, {verb} of '{site}', could be neither finished "
                          "nor taken back.",
                          "'{site}' is held." },
                .safe = { "Nothing was deleted: the site is left with what it serves and every "
                          "version is kept; no other operation begins on it." },
                .next = { "{ctl} ops show {operation}", "{ctl} ops resume {operation}" },
        },
        [NOTICE_SPACE_LOW] = {
                .name = "space-low",
                .subject = { "{site}: little space is left" },
                .what = { "Little space is left where '{site}' keeps its versions." },
                .safe = { "Every version is kept and room for a rollback is set aside; an upgrade "
                          "that would not fit is refused before it begins." },
                .next = { "{ctl} list {site}", "{ctl} prune {site} --dry-run" },
        },
        [NOTICE_ALERT] = {
                .name = "alert",
                .subject = { "{site}: version {to} is not healthy", "{site} is not healthy" },
                .what = { "The probes of '{site}' are bad since version {to} is served.",
                          "The probes of '{site}' are bad." },
                .safe = { "Nothing was switched; version {from} is kept with its files and its "
                          "database.",
                          "Nothing was switched." },
                .next = { "{ctl} probe {site}", "{ctl} list {site}", "{ctl} rollback {site}" },
        },
        [NOTICE_FREEZE] = {
                .name = "freeze",
                .subject = { "{site}: version {to} is not healthy, somebody has to decide",
                             "{site} is not healthy, somebody has to decide" },
                .what = { "The probes of '{site}' are bad since version {to} is served; it goes on "
                          "being served, as its policy says, and nothing is done by itself.",
                          "The probes of '{site}' are bad; nothing is done by itself." },
                .safe = { "Version {from} is kept with its files and its database.",
                          "Nothing was switched." },
                .next = { "{ctl} probe {site}", "{ctl} rollback {site}",
                          "{ctl} mark {site} {to} good" },
        },
        [NOTICE_TEST] = {
                .name = "test",
                .subject = { "a test of the notices" },
                .what = { "This is a test: somebody asked for it, and nothing has happened." },
                .safe = { "Nothing was changed." },
                .next = { "{ctl} notice list" },
        },
};

const struct notice_words notice_words_taken_back = {
        .subject = { "{site}: version {to} was taken back, version {from} is served again",
                     "{site}: a version was taken back" },
        .what = { "Version {to} of '{site}' was not well; operation {operation} took it back by "
                  "itself.",
                  "A version of '{site}' was not well and was taken back." },
        .safe = { "Version {from} is served again, with its own files and its own database; "
                  "version {to} is kept with all that was written to it, and {label} is refused "
                  "here until somebody lifts that.",
                  "Version {from} is served again, with its own files and its own database; "
                  "version {to} is kept with all that was written to it.",
                  "The version before it is served again." },
        .next = { "{ctl} show {site} {to}", "{ctl} lost-writes {site} {from} {to}",
                  "{ctl} diff {site} {from} {to}" },
};

struct fact {
        const char *name;
        const char *value;
};

static const char *fact_find(const struct notice_facts *facts, const char *name, size_t n)
{
        const struct fact table[] = {
                { "site", facts->site == NULL ? "this host" : facts->site },
                { "verb", facts->verb },
                { "operation", facts->operation },
                { "from", facts->from },
                { "to", facts->to },
                { "label", facts->label },
                { "at", facts->at },
                { "ctl", SITESNAP_CTL },
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
                        return table[i].value;
        return NULL;
}

int notice_words_fill(const char *sentence, const struct notice_facts *facts, char **ret_text,
                      struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        CLEANUP(fclosep) FILE *out = NULL;
        size_t n, room;

        *ret_text = NULL;
        out = open_memstream(&text, &room);
        if (out == NULL)
                return err_oom(err);
        while (*sentence != '\0') {
                const char *value;

                n = strcspn(sentence, "{");
                (void)fwrite(sentence, 1, n, out);
                sentence += n;
                if (*sentence == '\0')
                        break;
                n = strcspn(sentence, "}");
                value = fact_find(facts, sentence + 1, n - 1);
                if (value == NULL)
                        return 0;
                (void)fputs(value, out);
                sentence += n + 1;
        }
        if (fclose(STEAL(out)) != 0)
                return err_oom(err);
        *ret_text = STEAL(text);
        return 0;
}
