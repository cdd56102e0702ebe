/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was measured of a site. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/cause.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

#define BARS_MAX     120
#define BARS_PLAIN   60
#define WATCH_SEC    2
#define EXAMPLES_MAX 3

/* One column of the line: some rounds together. */
struct bar {
        uint64_t good, bad, unknown, p95;
};

struct line {
        struct bar bars[BARS_MAX];
        unsigned n;
        struct bar all;
        uint64_t highest;
};

static void bar_add(struct bar *bar, const json_t *round)
{
        uint64_t p95 = json_get_u64(round, "p95_msec");

        bar->good += json_get_u64(round, "good");
        bar->bad += json_get_u64(round, "bad");
        bar->unknown += json_get_u64(round, "unknown");
        if (p95 > bar->p95)
                bar->p95 = p95;
}

static int64_t span_usec(const char *span)
{
        if (strcmp(span, "day") == 0)
                return INT64_C(86400) * USEC_PER_SEC;
        if (strcmp(span, "month") == 0)
                return INT64_C(30) * 86400 * USEC_PER_SEC;
        return INT64_C(3600) * USEC_PER_SEC;
}

static void line_make(const json_t *probe, const char *span, unsigned bars, struct line *line)
{
        int64_t length = span_usec(span), began = clock_wall_usec() - length, when;
        json_t *round;
        size_t i;

        *line = (struct line){ .n = bars };
        json_array_foreach (json_object_get(probe, "rounds"), i, round) {
                const char *time = json_get_string(round, "time");
                int64_t at;

                if (time == NULL || !text_parse_time(time, &when) || when < began)
                        continue;
                at = (when - began) / (length / bars + 1);
                if (at < 0 || at >= bars)
                        continue;
                bar_add(&line->bars[at], round);
                bar_add(&line->all, round);
        }
        for (unsigned k = 0; k < bars; k++)
                if (line->bars[k].p95 > line->highest)
                        line->highest = line->bars[k].p95;
}

/* How high a bar is says how long answers took, its colour how they were; '.': nothing known. */
static void bar_print(const struct term *term, const struct line *line, const struct bar *bar)
{
        static const char *const blocks[] = { "\u2581", "\u2582", "\u2583", "\u2584",
                                              "\u2585", "\u2586", "\u2587", "\u2588" };
        static const char plain[] = "_.-=oO#@";
        size_t height = line->highest == 0 ? 0 : (size_t)(bar->p95 * 7 / line->highest);
        enum colour colour = bar->bad == 0 ? COLOUR_GREEN : COLOUR_RED;

        if (bar->good + bar->bad == 0) {
                (void)fputc(bar->unknown > 0 ? '?' : ' ', term->stream);
                return;
        }
        if (bar->bad > 0 && bar->bad * 20 < bar->good)
                colour = COLOUR_YELLOW;
        (void)fputs(term_colour(term, colour), term->stream);
        if (term->utf8)
                (void)fputs(blocks[height], term->stream);
        else
                (void)fputc(bar->bad > 0 ? '!' : plain[height], term->stream);
        (void)fputs(term_colour(term, COLOUR_NONE), term->stream);
}

static void examples_print(FILE *out, const json_t *probe)
{
        const json_t *examples = json_object_get(probe, "examples"), *one, *answer;
        size_t n = json_array_size(examples), k;

        for (size_t i = n > EXAMPLES_MAX ? n - EXAMPLES_MAX : 0; i < n; i++) {
                one = json_array_get(examples, i);
                json_array_foreach (json_object_get(one, "answers"), k, answer) {
                        const char *url = json_get_string(answer, "url");
                        const char *what = json_get_string(answer, "what");
                        const char *time = json_get_string(one, "time");

                        (void)fputs("    ", out);
                        (void)text_put(out, time == NULL ? "?" : time, 40);
                        (void)fputs("  ", out);
                        (void)text_put(out, url == NULL ? "" : url, 200);
                        (void)fputs("  ", out);
                        (void)text_put(out, what == NULL ? "" : what, 200);
                        (void)fputc('\n', out);
                }
        }
}

static void probe_print(const struct ctl *ctl, const json_t *probe, const char *span)
{
        const struct term *term = &ctl->look.term;
        const char *name = json_get_string(probe, "probe");
        unsigned bars = term->terminal && term->width > 30 ? term->width - 4 : BARS_PLAIN;
        struct line line;
        uint64_t judged;

        line_make(probe, span, bars > BARS_MAX ? BARS_MAX : bars, &line);
        judged = line.all.good + line.all.bad;
        (void)fputs(term_colour(term, COLOUR_BOLD), term->stream);
        (void)text_put(term->stream, name == NULL ? "?" : name, 60);
        (void)fprintf(term->stream,
                      "%s  %" PRIu64 " good, %" PRIu64 " bad (%.2f %%), %" PRIu64
                      " unknown, 19 of 20 within %" PRIu64 " ms at worst\n",
                      term_colour(term, COLOUR_NONE), line.all.good, line.all.bad,
                      judged == 0 ? 0.0 : 100.0 * (double)line.all.bad / (double)judged,
                      line.all.unknown, line.all.p95);
        if (term->terminal) {
                (void)fputs("  ", term->stream);
                for (unsigned i = 0; i < line.n; i++)
                        bar_print(term, &line, &line.bars[i]);
                (void)fputc('\n', term->stream);
        }
        examples_print(term->stream, probe);
}

static int show(struct ctl *ctl, const char *site, const char *span, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *probes, *probe;
        size_t i;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/probes?span=%s", site, span) < 0 ||
            answer_array(answer, "probes", &probes, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON)
                return json_print(answer, &ctl->look.term, err);
        if (json_array_size(probes) == 0)
                ctl_say(ctl,
                        "Nothing was measured of '%s' yet; see [probe NAME] in "
                        "sitesnap-site.conf(5).",
                        site);
        json_array_foreach ((json_t *)probes, i, probe)
                probe_print(ctl, probe, span);
        guard_print(ctl, json_object_get(answer, "guard"));
        return 0;
}

int cmd_probe(struct ctl *ctl, struct err *err)
{
        const char *span = args_option(ctl->args, OPT_SPAN), *site = args_word(ctl->args, 0);
        struct timespec pause = { .tv_sec = WATCH_SEC };

        if (span == NULL)
                span = "hour";
        if (args_option(ctl->args, OPT_WATCH) == NULL)
                return show(ctl, site, span, err);
        for (;;) {
                if (ctl->look.term.moves)
                        (void)fputs("\033[H\033[J", ctl->look.term.stream);
                if (show(ctl, site, span, err) < 0)
                        return -1;
                if (fflush(ctl->look.term.stream) != 0)
                        return 0;
                (void)nanosleep(&pause, NULL);
        }
}
