/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/prober_task.h"

/* The status page of a pool, as JSON: "listen queue" are requests that wait for a process, "max
 * children reached" how often there was none since the pool was started. */
struct pool {
        struct fetch_target *target;
        struct fetch *fetch;
        uint64_t reached, started;
        bool known; /* the two above are of the last answer */
};

static void pool_close(struct task *task)
{
        struct pool *pool = task->state;

        if (pool == NULL)
                return;
        fetch_cancel(pool->fetch);
        fetch_target_close(pool->target);
        free(pool);
        task->state = NULL;
}

static int pool_open(struct task *task, struct err *err)
{
        struct pool *pool = calloc(1, sizeof(*pool));
        CLEANUP(freep) char *url = NULL;

        if (pool == NULL)
                return err_oom(err);
        task->state = pool;
        if (asprintf(&url, "%s%cjson", task->probe.urls[0],
                     strchr(task->probe.urls[0], '?') == NULL ? '?' : '&') < 0) {
                url = NULL;
                pool_close(task);
                return err_oom(err);
        }
        if (fetch_target_open(url, task->probe.address, &pool->target, err) < 0) {
                pool_close(task);
                return -1;
        }
        return 0;
}

PRINTF(3, 4)
static void say(struct tally_answer *ret, enum probe_verdict verdict, const char *fmt, ...)
{
        va_list ap;

        ret->verdict = verdict;
        va_start(ap, fmt);
        (void)vsnprintf(ret->what, sizeof(ret->what), fmt, ap);
        va_end(ap);
}

static void pool_judge(struct task *task, const json_t *status, struct tally_answer *ret)
{
        struct pool *pool = task->state;
        uint64_t queue = json_get_u64(status, "listen queue");
        uint64_t reached = json_get_u64(status, "max children reached");
        uint64_t started = json_get_u64(status, "start time");

        if (queue > task->probe.max_queue)
                say(ret, PROBE_BAD, "%" PRIu64 " requests wait for a process of PHP", queue);
        else if (pool->known && pool->started == started && reached > pool->reached)
                say(ret, PROBE_BAD, "no process of PHP was free, %" PRIu64 " times",
                    reached - pool->reached);
        pool->reached = reached;
        pool->started = started;
        pool->known = true;
}

static void on_status(const struct fetch_answer *answer, void *arg)
{
        struct task *task = arg;
        struct pool *pool = task->state;
        struct tally_answer judged = { .verdict = PROBE_GOOD,
                                       .usec = answer->usec,
                                       .status = answer->status,
                                       .url = fetch_target_url(pool->target),
                                       .excerpt = answer->body,
                                       .n_excerpt = answer->n_body };
        CLEANUP(json_decrefp) json_t *status = NULL;
        struct err err;

        pool->fetch = NULL;
        if (answer->failure == FETCH_NO_NAME || answer->failure == FETCH_OURS)
                say(&judged, PROBE_UNKNOWN, "could not be asked: %s", answer->error);
        else if (answer->failure != FETCH_ANSWERED)
                say(&judged, task->probe.unreachable, "no answer: %s", answer->error);
        else if (answer->status != 200 ||
                 json_parse(answer->body, answer->n_body, &status, &err) < 0 ||
                 json_object_get(status, "listen queue") == NULL)
                say(&judged, task->probe.unreachable, "no status page of PHP-FPM, status %u",
                    answer->status);
        else
                pool_judge(task, status, &judged);
        tally_add(&task->sample, &judged);
        task_end(task);
}

static void pool_measure(struct task *task)
{
        struct pool *pool = task->state;
        const struct fetch_request request = {
                .target = pool->target,
                .agent = task->agent,
                .headers = task->probe.headers,
                .timeout_msec = task->probe.timeout_msec,
                .verify = task->probe.tls == PROBE_TLS_VERIFY,
        };
        struct err err = { 0 };

        if (fetch_start(tasks_fetcher(task->tasks), &request, on_status, task, &pool->fetch, &err) <
            0) {
                const struct fetch_answer failed = { .failure = FETCH_OURS, .error = err.msg };

                on_status(&failed, task);
        }
}

const struct task_kind task_kind_phpfpm = { pool_open, pool_close, pool_measure, NULL };
