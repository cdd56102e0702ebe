/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/prober_task.h"

#define KEPT_TASKS 300 /* whose connections by TLS are kept open: 11 MB of the 64 there are */

/* One URL of the probe, while it is asked for. */
struct page {
        struct task *task;
        struct fetch_target *target, *redirected; /* the second: where we are sent, or NULL */
        unsigned redirects;
        int64_t usec; /* of the answers before the last redirect */
        struct fetch *fetch;
        struct sibling_ask *ask;
        char error[100];
};

struct http {
        struct judge_patterns patterns;
        struct fetch_target *login;
        struct page login_page;
        char *cookies, *form;
        char **headers;
        bool logged_in;
        size_t n, n_open;
        struct page pages[];
};

/* "{secret}" is what the file says. */
static int secret_put(const char *text, const char *secret, char **ret_text, struct err *err)
{
        const char *at = strstr(text, "{secret}");

        if (at == NULL || secret == NULL)
                return (*ret_text = strdup(text)) == NULL ? err_oom(err) : 0;
        if (asprintf(ret_text, "%.*s%s%s", (int)(at - text), text, secret, at + 8) < 0)
                return err_oom(err);
        return 0;
}

static int http_fill(struct http *http, const struct task *task, struct err *err)
{
        const struct site_probe *probe = &task->probe;
        size_t n = 0;

        for (; http->n < 64 && probe->urls[http->n] != NULL; http->n++)
                if (fetch_target_open(probe->urls[http->n], probe->address,
                                      &http->pages[http->n].target, err) < 0)
                        return -1;
        while (probe->headers != NULL && probe->headers[n] != NULL)
                n++;
        http->headers = calloc(n + 1, sizeof(char *));
        if (http->headers == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++)
                if (secret_put(probe->headers[i], task->secret, &http->headers[i], err) < 0)
                        return -1;
        if (probe->login_url != NULL &&
            (fetch_target_open(probe->login_url, probe->address, &http->login, err) < 0 ||
             secret_put(probe->login_form, task->secret, &http->form, err) < 0))
                return -1;
        if (patterns_open(probe->expect_match, &http->patterns.expect, err) < 0 ||
            patterns_open(probe->reject_match, &http->patterns.reject, err) < 0)
                return -1;
        return 0;
}

static void page_close(struct page *page)
{
        fetch_cancel(STEAL(page->fetch));
        sibling_forget(STEAL(page->ask));
        fetch_target_close(STEAL(page->redirected));
}

static void http_close(struct task *task)
{
        struct http *http = task->state;

        if (http == NULL)
                return;
        page_close(&http->login_page);
        fetch_target_close(http->login);
        for (size_t i = 0; i < http->n; i++) {
                page_close(&http->pages[i]);
                fetch_target_close(http->pages[i].target);
        }
        for (size_t i = 0; http->headers != NULL && http->headers[i] != NULL; i++)
                free(http->headers[i]);
        free(http->headers);
        free(http->form);
        free(http->cookies);
        patterns_close(http->patterns.expect);
        patterns_close(http->patterns.reject);
        free(http);
        task->state = NULL;
}

static int http_open(struct task *task, struct err *err)
{
        size_t n = 0;
        struct http *http;

        while (task->probe.urls != NULL && task->probe.urls[n] != NULL)
                n++;
        if (n == 0)
                return err_fail(err, ERR_INVALID, 0, "no url");
        http = calloc(1, sizeof(*http) + n * sizeof(struct page));
        if (http == NULL)
                return err_oom(err);
        task->state = http;
        http->login_page.task = task;
        for (size_t i = 0; i < n; i++)
                http->pages[i].task = task;
        if (http_fill(http, task, err) < 0) {
                http_close(task);
                return -1;
        }
        return 0;
}

static void page_counted(struct page *page, struct tally_answer *answer)
{
        struct task *task = page->task;
        struct http *http = task->state;

        answer->url = fetch_target_url(page->target);
        tally_add(&task->sample, answer);
        fetch_target_close(STEAL(page->redirected));
        if (--http->n_open == 0)
                task_end(task);
}

/* All pages at once, because of what went wrong before any was asked for. */
static void pages_counted(struct task *task, struct tally_answer *answer)
{
        struct http *http = task->state;

        http->n_open = http->n;
        for (size_t i = 0; i < http->n; i++)
                page_counted(&http->pages[i], answer);
}

static void page_or_all_counted(struct page *page, struct tally_answer *answer)
{
        struct http *http = page->task->state;

        if (page == &http->login_page)
                pages_counted(page->task, answer);
        else
                page_counted(page, answer);
}

static void on_siblings(enum sibling sibling, void *arg)
{
        struct page *page = arg;
        struct tally_answer answer = { .usec = -1, .verdict = PROBE_BAD };

        page->ask = NULL;
        if (sibling == SIBLING_LOST) {
                answer.verdict = PROBE_UNKNOWN;
                (void)snprintf(answer.what, sizeof(answer.what),
                               "no site can be connected to there: %s", page->error);
        } else {
                (void)snprintf(answer.what, sizeof(answer.what), "cannot connect: %s", page->error);
        }
        page_or_all_counted(page, &answer);
}

/* There was no answer: is it the site's fault? */
static void page_failed(struct page *page, const struct fetch_answer *failed)
{
        static const struct {
                enum probe_verdict verdict;
                const char *what;
        } rows[] = {
                [FETCH_NO_NAME] = { PROBE_UNKNOWN, "its name does not resolve" },
                [FETCH_TIMEOUT] = { PROBE_BAD, "no answer in time" },
                [FETCH_BROKEN] = { PROBE_BAD, "no answer" },
                [FETCH_OURS] = { PROBE_UNKNOWN, "could not be asked" },
        };
        struct task *task = page->task;
        struct tally_answer answer = { .usec = failed->usec };
        struct err ignored;

        if (failed->failure == FETCH_NO_CONNECT) {
                (void)snprintf(page->error, sizeof(page->error), "%s", failed->error);
                if (tasks_siblings(task->tasks, task, on_siblings, page, &page->ask, &ignored) == 0)
                        return;
                answer.verdict = PROBE_UNKNOWN;
                (void)snprintf(answer.what, sizeof(answer.what), "could not be asked");
        } else {
                answer.verdict = rows[failed->failure].verdict;
                (void)snprintf(answer.what, sizeof(answer.what), "%s: %s",
                               rows[failed->failure].what, failed->error);
        }
        page_or_all_counted(page, &answer);
}

static void page_start(struct page *page, const struct fetch_target *target, const char *post,
                       fetch_end end)
{
        struct task *task = page->task;
        struct http *http = task->state;
        const struct fetch_request request = {
                .target = target,
                .agent = task->agent,
                .headers = http->headers,
                .post = post,
                .cookies = http->login != NULL ? &http->cookies : NULL,
                .timeout_msec = task->probe.timeout_msec,
                .verify = task->probe.tls == PROBE_TLS_VERIFY,
                .brief = task->id >= KEPT_TASKS,
                .busted = post == NULL,
        };
        struct err err = { 0 };

        if (fetch_start(tasks_fetcher(task->tasks), &request, end, page, &page->fetch, &err) < 0) {
                const struct fetch_answer failed = { .failure = FETCH_OURS, .error = err.msg };

                page->fetch = NULL;
                page_failed(page, &failed);
        }
}

static void on_page(const struct fetch_answer *answer, void *arg)
{
        struct page *page = arg;
        struct task *task = page->task;
        struct http *http = task->state;
        const struct fetch_target *at = page->redirected != NULL ? page->redirected : page->target;
        struct fetch_answer whole = *answer;
        struct tally_answer judged;
        struct err ignored;

        page->fetch = NULL;
        if (answer->failure != FETCH_ANSWERED) {
                page_failed(page, answer);
                return;
        }
        if (answer->address[0] != '\0')
                (void)memcpy(task->address, answer->address, sizeof(task->address));
        page->usec += answer->usec;
        if (answer->location != NULL && page->redirects < task->probe.redirects &&
            fetch_target_follows(at, answer->location)) {
                struct fetch_target *next = NULL;

                page->redirects++;
                if (fetch_target_open(answer->location, task->probe.address, &next, &ignored) ==
                    0) {
                        fetch_target_close(page->redirected);
                        page->redirected = next;
                        page_start(page, next, NULL, on_page);
                        return;
                }
        }
        whole.usec = page->usec;
        judge_page(&task->probe, &http->patterns, &whole, task->held, &judged);
        /* A session that is over is begun anew next time. */
        if (judged.verdict != PROBE_GOOD)
                http->logged_in = false;
        page_counted(page, &judged);
}

static void pages_ask(struct task *task)
{
        struct http *http = task->state;
        size_t n = http->n;

        http->n_open = n;
        for (size_t i = 0; i < n; i++) {
                http->pages[i].redirects = 0;
                http->pages[i].usec = 0;
                page_start(&http->pages[i], http->pages[i].target, NULL, on_page);
        }
}

static void on_login(const struct fetch_answer *answer, void *arg)
{
        struct page *page = arg;
        struct http *http = page->task->state;

        page->fetch = NULL;
        if (answer->failure != FETCH_ANSWERED) {
                page_failed(page, answer);
        } else if (answer->status >= 400) {
                struct tally_answer judged = {
                        .verdict = answer->status >= 500 ? PROBE_BAD : PROBE_UNKNOWN,
                        .usec = answer->usec,
                        .status = answer->status,
                        .excerpt = answer->body,
                        .n_excerpt = answer->n_body,
                };

                (void)snprintf(judged.what, sizeof(judged.what), "status %u of the login",
                               answer->status);
                pages_counted(page->task, &judged);
        } else {
                http->logged_in = true;
                pages_ask(page->task);
        }
}

static void http_measure(struct task *task)
{
        struct http *http = task->state;

        if (http->login == NULL || http->logged_in) {
                pages_ask(task);
                return;
        }
        free(STEAL(http->cookies));
        http->login_page.target = http->login;
        page_start(&http->login_page, http->login, http->form, on_login);
}

const struct task_kind task_kind_http = { http_open, http_close, http_measure, NULL };
