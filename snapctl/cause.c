/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "snapctl/cause.h"
#include "snapctl/text.h"

#define EXCERPT_COLUMNS 400

/* Strings of the network's and of tenants: shown as what a terminal does nothing with. */
static void put(FILE *out, const char *before, const char *text, const char *after)
{
        (void)fputs(before, out);
        (void)text_put(out, text, EXCERPT_COLUMNS);
        (void)fputs(after, out);
}

static void example_print(FILE *out, const json_t *example)
{
        const char *url = json_get_string(example, "url");
        const char *what = json_get_string(example, "what");
        const char *excerpt = json_get_string(example, "excerpt");

        put(out, "  ", url == NULL ? "(no address)" : url, ": ");
        put(out, "", what == NULL ? "bad" : what, "\n");
        if (excerpt != NULL && excerpt[0] != '\0')
                put(out, "      ", excerpt, "\n");
}

void cause_print(const struct ctl *ctl, const json_t *cause)
{
        const char *text = json_get_string(cause, "text");
        FILE *out = ctl->look.term.stream;
        json_t *example;
        size_t i;

        if (text == NULL)
                return;
        (void)fprintf(out, "%s%*s: ", term_colour(&ctl->look.term, COLOUR_RED), 7, "Cause");
        (void)text_put(out, text, 100000);
        (void)fprintf(out, "%s\n", term_colour(&ctl->look.term, COLOUR_NONE));
        json_array_foreach (json_object_get(cause, "examples"), i, example)
                example_print(out, example);
}

/* The states of which there is something to say: before and behind the version's number. */
static const struct {
        const char *state, *before, *after;
        bool cause;
} meanings[] = {
        { "probation", "On probation: version ", "", false },
        { "rolling-back", "Version ", " fails and is being taken back", true },
        { "verifying", "Version ", " was taken back; the one before is being probed", true },
        { "rolled-back", "Version ", " was taken back", true },
        { "held", "HELD: version ", " fails, and nothing more is done by itself", true },
        { "frozen", "FROZEN: version ", " fails; no upgrade until somebody decides", true },
        { "alerted", "Version ", " fails its probes", true },
};

void guard_print(const struct ctl *ctl, const json_t *guard)
{
        const char *state = json_get_string(guard, "state");
        const char *until = json_get_string(guard, "until");

        for (size_t i = 0; state != NULL && i < sizeof(meanings) / sizeof(meanings[0]); i++) {
                if (strcmp(meanings[i].state, state) != 0)
                        continue;
                ctl_say(ctl, "%s%" PRIu64 "%s%s%s", meanings[i].before,
                        json_get_u64(guard, "version"), meanings[i].after,
                        until == NULL ? "" : ", until ", until == NULL ? "" : until);
                if (meanings[i].cause)
                        cause_print(ctl, json_object_get(guard, "cause"));
        }
}
