/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/grammar.h"
#include "snapctl/steps.h"
#include "snapctl/text.h"

#define BAR_COLUMNS 20

/* The API's marks, and failed: what still runs when its operation is no longer running. */
enum mark { MARK_PLANNED, MARK_RUNNING, MARK_DONE, MARK_UNDOING, MARK_UNDONE, MARK_FAILED, MARKS };

/* How a mark is shown; `sign` on a UTF-8 terminal, `letter` elsewhere. */
static const struct {
        const char *name, *sign, *letter, *words;
        enum colour colour;
} marks[MARKS] = {
        [MARK_PLANNED] = { "planned", "\u00b7", "-", "planned", COLOUR_DIM },
        [MARK_RUNNING] = { "running", "\u25b8", ">", "begins", COLOUR_BOLD },
        [MARK_DONE] = { "done", "\u2713", "+", "done", COLOUR_GREEN },
        [MARK_UNDOING] = { "undoing", "\u21b6", "<", "is taken back", COLOUR_YELLOW },
        [MARK_UNDONE] = { "undone", "\u21b6", "<", "taken back", COLOUR_YELLOW },
        [MARK_FAILED] = { "failed", "\u2717", "x", "failed", COLOUR_RED },
};

struct steps {
        struct term term;
        bool quiet;
        enum mark *shown; /* by index in the list of steps */
        size_t n;
        bool bar;       /* the last line is a bar */
        size_t running; /* whose bar it is */
        int64_t since_usec;
};

static const char *step_text(const json_t *step)
{
        const char *text = json_get_string(step, "text");

        if (text == NULL || *text == '\0')
                text = json_get_string(step, "kind");
        return text != NULL ? text : "a step without a name";
}

static bool in_rescue(const json_t *step)
{
        const char *part = json_get_string(step, "part");

        return part != NULL && strcmp(part, "rescue") == 0;
}

/* A step that failed keeps the mark "running": it may have been done half.  That it runs no more
 * is told by the state of its operation. */
static enum mark mark_of(const json_t *op, const json_t *step)
{
        const char *name = json_get_string(step, "mark"), *state = json_get_string(op, "state");
        enum mark mark = MARK_PLANNED;

        for (enum mark i = 0; name != NULL && i < MARK_FAILED; i++)
                if (strcmp(marks[i].name, name) == 0)
                        mark = i;
        if (mark != MARK_RUNNING || state == NULL || word_is_choice("queued running", state) ||
            (in_rescue(step) && strcmp(state, "rescuing") == 0))
                return mark;
        return MARK_FAILED;
}

/* Place of a step in its part of the plan, from 1, and how many there are. */
static void place(const json_t *list, size_t index, size_t *ret_i, size_t *ret_n)
{
        bool rescue = in_rescue(json_array_get(list, index));
        const json_t *step;
        size_t i;

        *ret_i = *ret_n = 0;
        json_array_foreach((json_t *)list, i, step)
                if (in_rescue(step) == rescue) {
                        ++*ret_n;
                        if (i <= index)
                                ++*ret_i;
                }
}

/* " 12 s" from when it began to when it ended; "" below a second, which the times cannot tell. */
static void took(const json_t *step, char buf[static TEXT_TIME_MAX])
{
        const char *started = json_get_string(step, "started");
        const char *ended = json_get_string(step, "ended");
        int64_t from, to;

        buf[0] = '\0';
        if (started != NULL && ended != NULL && text_parse_time(started, &from) &&
            text_parse_time(ended, &to) && to - from >= USEC_PER_SEC)
                text_duration(to - from, buf);
}

struct steps *steps_open(const struct term *term, bool quiet)
{
        struct steps *steps = calloc(1, sizeof(*steps));

        if (steps == NULL)
                return NULL;
        steps->term = *term;
        steps->quiet = quiet;
        return steps;
}

void steps_clear(struct steps *steps)
{
        if (!steps->bar)
                return;
        (void)fputs("\r\033[K", steps->term.stream);
        (void)fflush(steps->term.stream);
        steps->bar = false;
}

void steps_close(struct steps *steps)
{
        if (steps == NULL)
                return;
        steps_clear(steps);
        free(steps->shown);
        free(steps);
}

void steps_closep(struct steps **steps)
{
        steps_close(*steps);
}

/* A line that stays. */
static void put_line(struct steps *steps, const json_t *list, size_t index, enum mark mark)
{
        const json_t *step = json_array_get(list, index);
        FILE *out = steps->term.stream;
        char time[TEXT_TIME_MAX];
        size_t i, n;

        steps_clear(steps);
        took(step, time);
        if (steps->term.moves) {
                (void)fprintf(out, "%s%s%s ", term_colour(&steps->term, marks[mark].colour),
                              steps->term.utf8 ? marks[mark].sign : marks[mark].letter,
                              term_colour(&steps->term, COLOUR_NONE));
                (void)text_put(out, step_text(step), UINT_MAX - 1);
                if (mark != MARK_DONE)
                        (void)fprintf(out, ": %s", marks[mark].words);
                if (time[0] != '\0')
                        (void)fprintf(out, "  %s", time);
        } else {
                place(list, index, &i, &n);
                (void)fprintf(out, "[%s%zu/%zu] ", in_rescue(step) ? "rescue " : "", i, n);
                (void)text_put(out, step_text(step), UINT_MAX - 1);
                (void)fprintf(out, ": %s", marks[mark].words);
                if (mark == MARK_DONE && time[0] != '\0')
                        (void)fprintf(out, " in %s", time);
        }
        (void)fputc('\n', out);
        (void)fflush(out);
}

/* "[#####...............] 25 %  1.0 GiB of 4.0 GiB", or "" when the step counts nothing. */
static void bar_text(const json_t *step, char *buf, size_t size)
{
        const json_t *progress = json_object_get(step, "progress");
        uint64_t done = json_get_u64(progress, "done"), all = json_get_u64(progress, "all");
        const char *unit = json_get_string(progress, "unit");
        char done_text[TEXT_SIZE_MAX], all_text[TEXT_SIZE_MAX], bar[BAR_COLUMNS + 1];
        double part;

        buf[0] = '\0';
        if (all == 0)
                return;
        done = done > all ? all : done;
        part = (double)done / (double)all;
        for (int i = 0; i < BAR_COLUMNS; i++)
                bar[i] = i < (int)(part * BAR_COLUMNS) ? '#' : '.';
        bar[BAR_COLUMNS] = '\0';
        if (unit != NULL && strcmp(unit, "bytes") == 0) {
                text_size(done, done_text);
                text_size(all, all_text);
        } else {
                (void)snprintf(done_text, sizeof(done_text), "%" PRIu64, done);
                (void)snprintf(all_text, sizeof(all_text), "%" PRIu64, all);
        }
        (void)snprintf(buf, size, "[%s] %.0f %%  %s of %s  ", bar, part * 100, done_text, all_text);
}

/* The running step in the last line. */
static void draw_bar(struct steps *steps, const json_t *op, size_t index)
{
        const json_t *step = json_array_get(json_object_get(op, "steps"), index);
        enum mark mark = mark_of(op, step);
        FILE *out = steps->term.stream;
        char bar[160], elapsed[TEXT_TIME_MAX];
        unsigned room, width;

        if (!steps->bar || steps->running != index) {
                steps->since_usec = steps->running == index && steps->since_usec != 0
                                            ? steps->since_usec
                                            : clock_boot_usec();
                steps->running = index;
        }
        term_resize(&steps->term);
        bar_text(step, bar, sizeof(bar));
        text_duration((clock_boot_usec() - steps->since_usec) / USEC_PER_SEC * USEC_PER_SEC,
                      elapsed);
        width = (unsigned)(strlen(bar) + strlen(elapsed)) + 5;
        room = steps->term.width > width ? steps->term.width - width : 0;
        (void)fprintf(out, "\r\033[K%s%s%s ", term_colour(&steps->term, marks[mark].colour),
                      steps->term.utf8 ? marks[mark].sign : marks[mark].letter,
                      term_colour(&steps->term, COLOUR_NONE));
        (void)text_put(out, step_text(step), room);
        /* A line that is too long would wrap and could not be redrawn. */
        (void)fprintf(out, "  %s%s", room > 0 ? bar : "", room > 0 ? elapsed : "");
        (void)fflush(out);
        steps->bar = true;
}

static bool has_ended(enum mark mark)
{
        return mark != MARK_PLANNED && mark != MARK_RUNNING;
}

static bool prints_output(const json_t *step)
{
        const char *kind = json_get_string(step, "kind");

        return kind != NULL && strncmp(kind, "hook.", 5) == 0;
}

bool steps_command(const json_t *op, bool *ret_running)
{
        const json_t *step;
        bool begun = false;
        size_t i;

        *ret_running = false;
        json_array_foreach(json_object_get(op, "steps"), i, step)
                if (prints_output(step)) {
                        begun |= mark_of(op, step) != MARK_PLANNED;
                        *ret_running |= mark_of(op, step) == MARK_RUNNING;
                }
        return begun;
}

/* Make room for the marks of ${n} steps; what is not known yet was planned. */
static bool reserve(struct steps *steps, size_t n)
{
        enum mark *more;

        if (n == steps->n)
                return true;
        more = realloc(steps->shown, (n + 1) * sizeof(*more));
        if (more == NULL)
                return false;
        for (size_t i = steps->n; i < n; i++)
                more[i] = MARK_PLANNED;
        steps->shown = more;
        steps->n = n;
        return true;
}

/* Lines for the marks that are new; returns the index of the step that is going on, or how many
 * there are. */
static size_t show(struct steps *steps, const json_t *op, bool before_output)
{
        const json_t *list = json_object_get(op, "steps"), *step;
        size_t going_on = json_array_size(list), i;

        json_array_foreach((json_t *)list, i, step) {
                enum mark mark = mark_of(op, step);
                bool with_bar = mark == MARK_RUNNING || mark == MARK_UNDOING;

                if (with_bar)
                        going_on = i;
                if (mark == steps->shown[i])
                        continue;
                if (before_output && prints_output(step) && has_ended(mark))
                        break;
                /* What is going on has the bar; where there is none, a line. */
                if (!steps->term.moves || !with_bar)
                        put_line(steps, list, i, mark);
                steps->shown[i] = mark;
        }
        return going_on;
}

void steps_show_begun(struct steps *steps, const json_t *op)
{
        const json_t *list = json_object_get(op, "steps");

        if (!steps->quiet && reserve(steps, json_array_size(list)))
                (void)show(steps, op, true);
}

void steps_show(struct steps *steps, const json_t *op)
{
        size_t going_on;

        if (steps->quiet || !reserve(steps, json_array_size(json_object_get(op, "steps"))))
                return;
        going_on = show(steps, op, false);
        if (going_on < steps->n && steps->term.moves)
                draw_bar(steps, op, going_on);
        else
                steps_clear(steps);
}

void steps_list(const json_t *op, const struct term *term, bool utc)
{
        const json_t *list = json_object_get(op, "steps"), *step;
        bool rescue = false;
        size_t i;

        json_array_foreach((json_t *)list, i, step) {
                enum mark mark = mark_of(op, step);
                const char *started = json_get_string(step, "started");
                char time[TEXT_TIME_MAX], at[CLOCK_ISO_MAX] = "";
                int64_t usec;

                if (in_rescue(step) && !rescue) {
                        rescue = true;
                        (void)fprintf(term->stream, "  if the main part fails after that:\n");
                }
                took(step, time);
                if (started != NULL && text_parse_time(started, &usec))
                        clock_iso(usec, utc, at);
                (void)fprintf(term->stream, "  %s%s %-7s%s  %-25s  ",
                              term_colour(term, marks[mark].colour),
                              term->utf8 ? marks[mark].sign : marks[mark].letter, marks[mark].name,
                              term_colour(term, COLOUR_NONE), at);
                (void)text_put(term->stream, step_text(step), UINT_MAX - 1);
                (void)fprintf(term->stream, "%s%s\n", time[0] != '\0' ? "  " : "", time);
        }
}
