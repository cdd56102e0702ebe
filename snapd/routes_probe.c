/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/history.h"
#include "snapd/routes_call.h"

int route_probes(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err)
{
        const char *span = call_arg(call, "span");
        enum history_level level = history_level_by_name(span == NULL ? "hour" : span);
        struct catalog_site site;
        json_t *json;

        if (level == HISTORY_LEVELS)
                return err_fail(err, ERR_INVALID, 0, "'span' is hour, day or month");
        if (catalog_site(api->catalog, target->name, &site, err) < 0)
                return -1;
        catalog_site_done(&site);
        if (api->history == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "what is measured is not kept; see the log of snapd");
        if (history_view(api->history, target->name, level, &json, err) < 0)
                return -1;
        if (json_object_set_new(json, "guard", watch_view(api->watch, target->name)) < 0) {
                json_decref(json);
                return err_oom(err);
        }
        return answer_json(answer, 200, json, err);
}

/* A label's value as Prometheus reads it: a backslash before quotes, backslashes and line ends.
 * What has any other control character is not ours and is left out. */
static void put_label(FILE *out, const char *name, const char *value)
{
        (void)fprintf(out, "%s=\"", name);
        for (const char *c = value; *c != '\0'; c++)
                if (*c == '\n')
                        (void)fputs("\\n", out);
                else if (*c == '"' || *c == '\\')
                        (void)fprintf(out, "\\%c", *c);
                else if ((unsigned char)*c >= 0x20 && *c != 0x7f)
                        (void)fputc(*c, out);
        (void)fputc('"', out);
}

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
        (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_site(FILE *out, const char *name, const char *site, uint64_t value)
{
        (void)fprintf(out, "%s{", name);
        put_label(out, "site", site);
        (void)fprintf(out, "} %" PRIu64 "\n", value);
}

struct metrics {
        struct api *api;
        FILE *out;
        enum { METRIC_ACTIVE, METRIC_VERSIONS, METRIC_OPERATION, METRIC_GUARD } what;
        size_t sites;
};

static void put_operation(struct metrics *m, const char *site)
{
        struct op_list list;
        struct err ignored;

        if (journal_list(m->api->catalog, site, false, 1, &list, &ignored) < 0)
                return;
        if (list.n > 0) {
                const struct op *op = &list.items[0];
                int64_t usec = op->ended_usec == 0 ? op->created_usec : op->ended_usec;

                (void)fputs("sitesnap_last_operation_seconds{", m->out);
                put_label(m->out, "site", site);
                (void)fputc(',', m->out);
                put_label(m->out, "verb", op->verb);
                (void)fputc(',', m->out);
                put_label(m->out, "state", op_state_name(op->state));
                (void)fprintf(m->out, "} %" PRId64 "\n", usec / USEC_PER_SEC);
        }
        op_list_done(&list);
}

static void put_probe(const char *site, const char *probe, const struct watch_counts *counts,
                      void *arg)
{
        static const char *const verdicts[] = { "good", "bad", "unknown" };
        const uint64_t values[] = { counts->good, counts->bad, counts->unknown };
        FILE *out = arg;

        for (size_t i = 0; i < 3; i++) {
                (void)fputs("sitesnap_probe_answers_total{", out);
                put_label(out, "site", site);
                (void)fputc(',', out);
                put_label(out, "probe", probe);
                (void)fputc(',', out);
                put_label(out, "verdict", verdicts[i]);
                (void)fprintf(out, "} %" PRIu64 "\n", values[i]);
        }
}

static int put_metric(const char *site, void *arg, struct err *err)
{
        struct metrics *m = arg;
        struct catalog_site row;
        uint64_t version = 0;
        const char *state;

        m->sites++;
        if (m->what == METRIC_OPERATION) {
                put_operation(m, site);
                return 0;
        }
        if (m->what == METRIC_GUARD) {
                state = watch_state(m->api->watch, site, &version);
                if (state == NULL)
                        return 0;
                (void)fputs("sitesnap_guard_state{", m->out);
                put_label(m->out, "site", site);
                (void)fputc(',', m->out);
                put_label(m->out, "state", state);
                (void)fprintf(m->out, "} %" PRIu64 "\n", version);
                return 0;
        }
        if (catalog_site(m->api->catalog, site, &row, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (m->what == METRIC_ACTIVE)
                put_site(m->out, "sitesnap_active_version", site, row.active);
        else
                put_site(m->out, "sitesnap_versions", site, row.versions);
        catalog_site_done(&row);
        return 0;
}

static int put_all(struct api *api, FILE *out, struct err *err)
{
        static const struct {
                const char *name, *help;
                int what;
        } gauges[] = {
                { "sitesnap_active_version", "The version that is served.", METRIC_ACTIVE },
                { "sitesnap_versions", "Versions that are kept or served.", METRIC_VERSIONS },
                { "sitesnap_last_operation_seconds", "When the last operation ended, since 1970.",
                  METRIC_OPERATION },
                { "sitesnap_guard_state", "The version that the guard's state is about.",
                  METRIC_GUARD },
        };
        struct metrics m = { .api = api, .out = out };
        uint64_t waiting;
        int64_t oldest;

        put_head(out, "sitesnap_uptime_seconds", "gauge", "Since the daemon started.");
        (void)fprintf(out, "sitesnap_uptime_seconds %" PRId64 "\n",
                      (clock_boot_usec() - api->started_usec) / USEC_PER_SEC);
        for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
                put_head(out, gauges[i].name, "gauge", gauges[i].help);
                m.what = gauges[i].what;
                m.sites = 0;
                if (catalog_sites(api->catalog, put_metric, &m, err) < 0)
                        return -1;
        }
        put_head(out, "sitesnap_sites", "gauge", "Sites that versions are kept of.");
        (void)fprintf(out, "sitesnap_sites %zu\n", m.sites);
        put_head(out, "sitesnap_probe_answers_total", "counter", "What probes measured.");
        watch_count(api->watch, put_probe, out);
        if (api->outbox == NULL || outbox_lag(api->outbox, &waiting, &oldest, err) < 0)
                return api->outbox == NULL ? 0 : -1;
        put_head(out, "sitesnap_notices_waiting", "gauge", "Deliveries that are not made yet.");
        (void)fprintf(out, "sitesnap_notices_waiting %" PRIu64 "\n", waiting);
        put_head(out, "sitesnap_notices_lag_seconds", "gauge", "How old the oldest of them is.");
        (void)fprintf(out, "sitesnap_notices_lag_seconds %" PRId64 "\n",
                      oldest == 0 ? 0 : (clock_wall_usec() - oldest) / USEC_PER_SEC);
        return 0;
}

int route_metrics(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        int ret;

        (void)call;
        (void)target;
        if (out == NULL)
                return err_oom(err);
        ret = put_all(api, out, err);
        if (fclose(out) != 0)
                return err_oom(err);
        if (ret < 0 || answer_text(answer, 200, text, err) < 0)
                return -1;
        text = NULL;
        answer->type = "text/plain; version=0.0.4; charset=utf-8";
        return 0;
}
