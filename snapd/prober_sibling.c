/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/prober_sibling.h"

#define SIBLINGS_MAX 3
#define WAIT_USEC    1000000

struct dial {
        struct sibling_ask *ask;
        int fd;
        sd_event_source *source;
};

struct sibling_ask {
        sibling_end end;
        void *arg;
        sd_event_source *timer; /* tells: when it is late, or at once */
        enum sibling result;
        bool canary_done;
        size_t n_open, n;
        char addresses[SIBLINGS_MAX][64];
        struct dial dials[SIBLINGS_MAX + 1]; /* the first is the loopback's */
};

static void dial_close(struct dial *dial)
{
        dial->source = sd_event_source_disable_unref(dial->source);
        closep(&dial->fd);
        dial->fd = -1;
}

void sibling_forget(struct sibling_ask *ask)
{
        if (ask == NULL)
                return;
        for (size_t i = 0; i <= SIBLINGS_MAX; i++)
                dial_close(&ask->dials[i]);
        (void)sd_event_source_disable_unref(ask->timer);
        free(ask);
}

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
        struct sibling_ask *ask = arg;
        sibling_end end = ask->end;
        void *end_arg = ask->arg;
        enum sibling result = ask->canary_done ? ask->result : SIBLING_LOST;

        (void)source;
        (void)usec;
        sibling_forget(ask);
        end(result, end_arg);
        return 0;
}

static void tell_now(struct sibling_ask *ask, enum sibling result)
{
        ask->result = result;
        ask->canary_done = true;
        (void)sd_event_source_set_time_relative(ask->timer, 0);
}

/* The loopback must answer, else nothing that fails says anything; then one sibling is enough. */
static int on_dialled(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct dial *dial = arg;
        struct sibling_ask *ask = dial->ask;
        int failed = 0;
        socklen_t n = sizeof(failed);
        bool canary = dial == &ask->dials[0];

        (void)source;
        (void)revents;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0)
                failed = errno;
        dial_close(dial);
        ask->n_open--;
        if (canary)
                ask->canary_done = true;
        if (canary && failed != 0)
                tell_now(ask, SIBLING_LOST);
        else if (!canary && failed == 0)
                ask->result = SIBLING_REACHED;
        if (ask->canary_done && (ask->n_open == 0 || ask->result == SIBLING_REACHED))
                tell_now(ask, ask->result);
        return 0;
}

/* "1.2.3.4:80" or "[::1]:80", as prober_fetch.c makes them. */
static socklen_t address_parse(const char *text, struct sockaddr_storage *ret_address)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret_address;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret_address;
        const char *colon = strrchr(text, ':');
        char host[64];
        in_port_t port;

        if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
                return 0;
        port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
        memset(ret_address, 0, sizeof(*ret_address));
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = port;
                return sizeof(*v4);
        }
        if (host[0] != '[' || strlen(host) < 3)
                return 0;
        host[strlen(host) - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
                return 0;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        return sizeof(*v6);
}

static bool dial_open(struct sibling_ask *ask, struct dial *dial, sd_event *event,
                      const struct sockaddr *address, socklen_t n)
{
        dial->ask = ask;
        dial->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (dial->fd < 0 || (connect(dial->fd, address, n) < 0 && errno != EINPROGRESS) ||
            sd_event_add_io(event, &dial->source, dial->fd, EPOLLOUT, on_dialled, dial) < 0) {
                dial_close(dial);
                return false;
        }
        ask->n_open++;
        return true;
}

struct search {
        const struct task *own;
        struct sibling_ask *ask;
        bool shared; /* another site has our address: it is not ours that fails */
};

static bool search_visit(const struct task *task, void *arg)
{
        struct search *search = arg;
        struct sibling_ask *ask = search->ask;

        if (task->address[0] == '\0' || strcmp(task->site, search->own->site) == 0)
                return true;
        if (strcmp(task->address, search->own->address) == 0) {
                search->shared = true;
                return false;
        }
        for (size_t i = 0; i < ask->n; i++)
                if (strcmp(ask->addresses[i], task->address) == 0)
                        return true;
        if (ask->n < SIBLINGS_MAX)
                (void)memcpy(ask->addresses[ask->n++], task->address, sizeof(task->address));
        return true;
}

int sibling_look(sd_event *event, const struct sockaddr_in *canary, struct tasks *tasks,
                 const struct task *task, sibling_end end, void *arg, struct sibling_ask **ret_ask,
                 struct err *err)
{
        struct sibling_ask *ask = calloc(1, sizeof(*ask));
        struct search search = { .own = task, .ask = ask };

        if (ask == NULL)
                return err_oom(err);
        *ask = (struct sibling_ask){ .end = end, .arg = arg, .result = SIBLING_NONE };
        for (size_t i = 0; i <= SIBLINGS_MAX; i++)
                ask->dials[i].fd = -1;
        if (sd_event_add_time_relative(event, &ask->timer, CLOCK_BOOTTIME, WAIT_USEC, 1000, on_late,
                                       ask) < 0) {
                free(ask);
                return err_oom(err);
        }
        *ret_ask = ask;
        tasks_visit(tasks, search_visit, &search);
        if (search.shared || !dial_open(ask, &ask->dials[0], event, (const struct sockaddr *)canary,
                                        sizeof(*canary))) {
                tell_now(ask, SIBLING_LOST);
                return 0;
        }
        for (size_t i = 0; i < ask->n; i++) {
                struct sockaddr_storage address;
                socklen_t n = address_parse(ask->addresses[i], &address);

                ask->result = SIBLING_LOST; /* until one is reached */
                if (n > 0)
                        (void)dial_open(ask, &ask->dials[i + 1], event,
                                        (const struct sockaddr *)(const void *)&address, n);
        }
        return 0;
}
