/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/units.h"
#include "snapd/notice_op.h"

DEFINE_CLEANUP(struct site *, site_free);

#define CATCH_UP_OPS  50
#define CATCH_UP_USEC (INT64_C(86400) * USEC_PER_SEC)
#define OUTPUT_TAIL   2000
#define OUTPUT_LINES  12

#define BIT(phase) (1U << NOTICE_##phase)
#define OUTCOMES   (BIT(FINISHED) | BIT(FAILED) | BIT(ROLLED_BACK) | BIT(HELD))

/* What is worth a message; a rollback begins without one, it has no time. */
static const struct {
        const char *verb;
        unsigned phases;
} verbs[] = {
        { "upgrade", BIT(STARTED) | OUTCOMES },
        { "activate", OUTCOMES },
        { "rollback", OUTCOMES },
        { "forward", OUTCOMES },
        { "add", OUTCOMES },
        { "remove", OUTCOMES },
        { "mount", BIT(HELD) },
        { "umount", BIT(HELD) },
        { NULL, BIT(FAILED) | BIT(HELD) }, /* all others */
};

static bool is_told(const char *verb, enum notice_phase phase)
{
        size_t i = 0;

        while (verbs[i].verb != NULL && strcmp(verbs[i].verb, verb) != 0)
                i++;
        return phase < NOTICE_PHASES && (verbs[i].phases & 1U << phase) != 0;
}

static enum notice_phase phase_of(enum op_state state)
{
        static const enum notice_phase phases[OP_STATES] = {
                [OP_QUEUED] = NOTICE_PHASES,  [OP_RUNNING] = NOTICE_PHASES,
                [OP_UNDOING] = NOTICE_PHASES, [OP_RESCUING] = NOTICE_PHASES,
                [OP_HELD] = NOTICE_HELD,      [OP_DONE] = NOTICE_FINISHED,
                [OP_FAILED] = NOTICE_FAILED,  [OP_ROLLED_BACK] = NOTICE_ROLLED_BACK,
        };

        return phases[state];
}

/* The last lines of what the site's own command said; NULL when it said nothing.  They are a
 * tenant's. */
static json_t *output_tail(const struct dirs *dirs, op_id id)
{
        CLEANUP(closep) int fd = -1;
        char path[64], tail[OUTPUT_TAIL + 1];
        json_t *lines;
        ssize_t n;
        off_t size;

        (void)snprintf(path, sizeof(path), "ops/%" PRIu64 "/output", id);
        fd = openat(dirs->state_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
        if (size <= 0)
                return NULL;
        n = pread(fd, tail, OUTPUT_TAIL, size > OUTPUT_TAIL ? size - OUTPUT_TAIL : 0);
        if (n <= 0 || (lines = json_array()) == NULL)
                return NULL;
        tail[n] = '\0';
        for (char *rest = tail, *line = strsep(&rest, "\n"); line != NULL;
             line = strsep(&rest, "\n")) {
                CLEANUP(freep) char *clean = NULL;
                struct err ignored; /* a line less in a mail */

                if (line[0] == '\0' || notice_clean(line, 300, &clean, &ignored) < 0)
                        continue;
                (void)json_array_append_new(lines, json_string(clean));
                if (json_array_size(lines) > OUTPUT_LINES)
                        (void)json_array_remove(lines, 0);
        }
        return lines;
}

/* What the catalog knows of the versions it went between. */
struct facts {
        struct catalog_site site;
        struct version to;
};

static void facts_load(struct catalog *catalog, const struct op *op, uint64_t to,
                       struct facts *facts)
{
        struct err ignored; /* a site that was removed, a version that was not made */

        *facts = (struct facts){ 0 };
        if (catalog_site(catalog, op->site, &facts->site, &ignored) < 0)
                facts->site = (struct catalog_site){ 0 };
        if (to == 0 || catalog_version(catalog, op->site, to, &facts->to, &ignored) < 0)
                facts->to = (struct version){ 0 };
}

static void facts_done(struct facts *facts)
{
        if (facts->site.name != NULL)
                catalog_site_done(&facts->site);
        if (facts->to.label != NULL)
                version_done(&facts->to);
}

/* Why the guard took a version back, as a mail can show it. */
static json_t *guard_evidence(const json_t *cause)
{
        json_t *evidence = json_object(), *urls = json_array(), *example;
        const char *probe = json_get_string(cause, "probe");
        size_t i;

        if (probe != NULL)
                (void)json_object_set_new(evidence, "probe", json_string(probe));
        json_array_foreach (json_object_get(cause, "examples"), i, example) {
                const char *what = json_get_string(example, "what");
                const char *url = json_get_string(example, "url");
                const char *excerpt = json_get_string(example, "excerpt");
                CLEANUP(freep) char *line = NULL;

                if (asprintf(&line, "%s: %s%s%s", url == NULL ? "?" : url,
                             what == NULL ? "?" : what, excerpt == NULL ? "" : ": ",
                             excerpt == NULL ? "" : excerpt) < 0) {
                        line = NULL;
                        continue;
                }
                (void)json_array_append_new(urls, json_string(line));
        }
        (void)json_object_set_new(evidence, "bad answers", urls);
        return evidence;
}

/* A rollback that the guard asked for is not just finished: a version was taken back. */
static void guard_caused(const struct op *op, const json_t *cause, const json_t *evidence,
                         struct notice *notice)
{
        notice->phase = NOTICE_ROLLED_BACK;
        notice->taken_back = true;
        notice->from = op->version;
        notice->to = json_get_u64(cause, "version");
        notice->why = json_get_string(cause, "text");
        notice->evidence = evidence;
}

void notice_site(struct notice *notice, const struct site *site)
{
        if (site == NULL)
                return;
        notice->track = site->track;
        if (site->automatic != NULL)
                notice->automatic =
                        strcmp(site->automatic, "yes") == 0 ? AUTOMATIC_ON : AUTOMATIC_OFF;
}

/* NULL for a file that is not there any more, or has a mistake in it. */
static struct site *site_known(const struct dirs *dirs, const char *name)
{
        struct site *site = NULL;
        struct err ignored;

        return site_load(dirs->conf_fd, name, NULL, &site, &ignored) < 0 ? NULL : site;
}

static int op_put(struct outbox *outbox, struct catalog *catalog, const struct dirs *dirs,
                  const struct op *op, enum notice_phase phase, const char *key, struct err *err)
{
        CLEANUP(site_freep) struct site *site = site_known(dirs, op->site);
        CLEANUP(json_decrefp) json_t *evidence = json_object();
        bool bad = phase == NOTICE_FAILED || phase == NOTICE_ROLLED_BACK || phase == NOTICE_HELD;
        const json_t *cause =
                phase == NOTICE_FINISHED ? json_object_get(op->request, "cause") : NULL;
        const struct err *why = phase == NOTICE_HELD ? &op->error : &op->cause;
        struct notice notice = {
                .phase = phase,
                .site = op->site,
                .verb = op->verb,
                .operation = op->id,
                .to = op->version,
                .label = json_get_string(op->request, "label"),
                .why = bad && why->code != 0 ? why->msg : op->reason,
                .key = key,
        };
        struct facts facts;
        int ret;

        if (evidence == NULL)
                return err_oom(err);
        notice_site(&notice, site);
        facts_load(catalog, op, cause == NULL ? op->version : json_get_u64(cause, "version"),
                   &facts);
        /* What is safe: the version that is served, or the one that a rollback would go to. */
        notice.from = phase == NOTICE_FINISHED ? facts.site.last_good : facts.site.active;
        if (notice.from == notice.to)
                notice.from = 0;
        if (facts.to.label != NULL && facts.to.label[0] != '\0')
                notice.label = facts.to.label;
        if (cause != NULL) {
                CLEANUP(json_decrefp) json_t *proof = guard_evidence(cause);

                guard_caused(op, cause, proof, &notice);
                ret = notice_put(outbox, &notice, err);
                facts_done(&facts);
                return ret;
        }
        if (bad) {
                json_t *tail = output_tail(dirs, op->id);

                if (tail != NULL)
                        (void)json_object_set_new(evidence, "the end of its output", tail);
                notice.evidence = evidence;
        }
        ret = notice_put(outbox, &notice, err);
        facts_done(&facts);
        return ret;
}

int notice_op_started(const struct dirs *dirs, struct catalog *catalog, op_id id, struct err *err)
{
        CLEANUP(outbox_closep) struct outbox *outbox = NULL;
        struct op op = { 0 };
        char key[64];
        int ret = 0;

        if (journal_get(catalog, id, false, &op, err) < 0)
                return -1;
        (void)snprintf(key, sizeof(key), "op:%" PRIu64 ":started", id);
        if (op.state == OP_QUEUED && is_told(op.verb, NOTICE_STARTED))
                ret = outbox_open(dirs->state_fd, &outbox, err) < 0
                              ? -1
                              : op_put(outbox, catalog, dirs, &op, NOTICE_STARTED, key, err);
        op_done(&op);
        return ret;
}

/* Held, resumed and held again is news; its number of changes tells that. */
static void key_of(const struct op *op, char key[static 64])
{
        (void)snprintf(key, 64, "op:%" PRIu64 ":%s:%" PRIu64, op->id, op_state_name(op->state),
                       op->state == OP_HELD ? op->seq : 0);
}

int notice_op_ended(const struct dirs *dirs, struct catalog *catalog, op_id id, struct err *err)
{
        CLEANUP(outbox_closep) struct outbox *outbox = NULL;
        struct op op = { 0 };
        enum notice_phase phase;
        char key[64];
        int ret = 0;

        if (journal_get(catalog, id, false, &op, err) < 0)
                return -1;
        phase = phase_of(op.state);
        key_of(&op, key);
        if (is_told(op.verb, phase))
                ret = outbox_open(dirs->state_fd, &outbox, err) < 0
                              ? -1
                              : op_put(outbox, catalog, dirs, &op, phase, key, err);
        op_done(&op);
        return ret;
}

int notice_op_catch_up(struct outbox *outbox, struct catalog *catalog, const struct dirs *dirs,
                       struct err *err)
{
        int64_t since = clock_wall_usec() - CATCH_UP_USEC;
        struct op_list list = { 0 };
        int ret = 0;

        if (since < outbox_since_usec(outbox))
                since = outbox_since_usec(outbox);
        if (journal_list(catalog, NULL, false, CATCH_UP_OPS, &list, err) < 0)
                return -1;
        /* Oldest first: they are told in the order they ended. */
        for (size_t i = list.n; i-- > 0 && ret == 0;) {
                const struct op *op = &list.items[i];
                enum notice_phase phase = phase_of(op->state);
                char key[64];

                key_of(op, key);
                if ((op->ended_usec == 0 ? op->created_usec : op->ended_usec) >= since &&
                    is_told(op->verb, phase) && !outbox_has(outbox, key))
                        ret = op_put(outbox, catalog, dirs, op, phase, key, err);
        }
        op_list_done(&list);
        return ret;
}

static int space_put(const struct dirs *dirs, struct outbox *outbox, const char *name,
                     const struct notice_space *space, uint64_t wanted, struct err *err)
{
        CLEANUP(site_freep) struct site *site = site_known(dirs, name);
        struct notice notice = { .phase = NOTICE_SPACE_LOW, .site = name };
        char free_text[UNITS_MAX], wanted_text[UNITS_MAX], why[200];
        const uint64_t mib = 1 << 20;

        units_size_print(space->free_bytes / mib * mib, free_text);
        units_size_print(wanted / mib * mib, wanted_text);
        (void)snprintf(why, sizeof(why), "%s are free, and %s should be", free_text, wanted_text);
        notice.why = why;
        notice_site(&notice, site);
        return notice_put(outbox, &notice, err);
}

int notice_space(const struct dirs *dirs, const char *site, const struct notice_space *space,
                 struct err *err)
{
        uint64_t wanted = space->wanted_bytes != 0 ? space->wanted_bytes : space->all_bytes / 20;
        bool low = space->free_bytes < wanted;
        CLEANUP(outbox_closep) struct outbox *outbox = NULL;
        bool changed = false;
        char name[64];

        /* Between the two nothing changes, so that a site at the border is told of once. */
        if (!low && space->free_bytes < wanted + wanted / 4)
                return 0;
        (void)snprintf(name, sizeof(name), "low:%s", site);
        if (outbox_open(dirs->state_fd, &outbox, err) < 0 ||
            outbox_switch(outbox, name, low, &changed, err) < 0)
                return -1;
        return changed && low ? space_put(dirs, outbox, site, space, wanted, err) : 0;
}
