/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/dbprobe.h"
#include "snapd/smoke.h"

/* opcache.revalidate_freq is 2 s: until then the files of before an upgrade may answer. */
#define AFRESH_MSEC 2500
#define AGAIN_MSEC  500
#define SAID_MAX    160

static bool is_asked(const struct site_probe *probe, enum prober_which which)
{
        return ((unsigned)which & 1u << probe->when) != 0 && probe->kind != PROBE_ACCESSLOG;
}

int smoke_wanted(struct step_env *env, enum prober_which which, bool *ret_wanted, struct err *err)
{
        struct probe_list probes = { 0 };

        *ret_wanted = false;
        if (site_probes(env->dirs->conf_fd, env->site, NULL, &probes, err) < 0)
                return -1;
        for (size_t i = 0; i < probes.n; i++)
                *ret_wanted |= is_asked(&probes.items[i], which);
        probe_list_done(&probes);
        return 0;
}

static const char *first(const struct prober_answer *answer, const char *member)
{
        const char *text = json_get_string(json_array_get(answer->sample.examples, 0), member);

        return text == NULL ? "" : text;
}

/* The end of what a command printed, which is clean already; a page is not shown. */
static const char *said_last(const struct prober_answer *answer)
{
        const char *said = answer->probe->kind == PROBE_COMMAND ? first(answer, "excerpt") : "";
        size_t n = strlen(said);

        if (n > SAID_MAX)
                said += n - SAID_MAX;
        while (((unsigned char)*said & 0xc0) == 0x80)
                said++; /* not in the middle of a character */
        return said;
}

/* For the person who follows the operation.  Without one there is nobody to tell. */
static void note(struct step_env *env, const struct prober_answers *answers)
{
        if (env->operation == 0)
                return;
        for (size_t i = 0; i < answers->n; i++) {
                const struct prober_answer *answer = &answers->items[i];
                json_t *example;
                size_t k;

                env_note(env, "probe %s: %s (%s), %u ms", answer->probe->name,
                         probe_verdict_name(answer->verdict),
                         probe_weight_name(answer->probe->weight), answer->msec);
                json_array_foreach (answer->sample.examples, k, example) {
                        const char *url = json_get_string(example, "url");
                        const char *excerpt = json_get_string(example, "excerpt");

                        env_note(env, "  %s%s%s", json_get_string(example, "what"),
                                 url == NULL ? "" : ": ", url == NULL ? "" : url);
                        if (excerpt != NULL)
                                env_note(env, "  | %s", excerpt);
                }
        }
}

static const struct prober_answer *worst(const struct prober_answers *answers)
{
        for (size_t i = 0; i < answers->n; i++)
                if (answers->items[i].verdict == PROBE_BAD &&
                    answers->items[i].probe->weight == PROBE_REQUIRED)
                        return &answers->items[i];
        return NULL;
}

static int ask(struct step_env *env, const struct probe_list *probes, enum prober_which which,
               int cwd_fd, bool *ret_bad, struct err *err)
{
        struct prober_answers answers = { 0 };
        const struct prober_answer *bad;
        const char *said;

        if (prober_ask(env->dirs, env->site, probes, which, cwd_fd, dbprobe_ask, &answers, err) < 0)
                return -1;
        note(env, &answers);
        bad = worst(&answers);
        *ret_bad = bad != NULL;
        said = bad == NULL ? "" : said_last(bad);
        if (bad != NULL)
                (void)err_fail(err, ERR_REFUSED, 0, "probe '%s': %s%s%s%s%s", bad->probe->name,
                               first(bad, "what"), first(bad, "url")[0] == '\0' ? "" : ", at ",
                               first(bad, "url"), said[0] == '\0' ? "" : ": ", said);
        prober_answers_done(&answers);
        return 0;
}

static void pause_msec(unsigned msec)
{
        struct timespec pause = { msec / 1000, (long)(msec % 1000) * 1000000 };

        (void)nanosleep(&pause, NULL);
}

int smoke_ask(struct step_env *env, enum prober_which which, int cwd_fd, struct err *err)
{
        struct probe_list probes = { 0 };
        struct err why = { 0 };
        bool bad = false;
        int r = site_probes(env->dirs->conf_fd, env->site, NULL, &probes, err);

        if (r == 0 && which == PROBER_AFTER)
                pause_msec(AFRESH_MSEC);
        if (r == 0)
                r = ask(env, &probes, which, cwd_fd, &bad, &why);
        if (r == 0 && bad) {
                pause_msec(AGAIN_MSEC);
                r = ask(env, &probes, which, cwd_fd, &bad, &why);
        }
        probe_list_done(&probes);
        if (r < 0 || bad) {
                if (why.code != 0)
                        *err = why;
                return -1;
        }
        return 0;
}
