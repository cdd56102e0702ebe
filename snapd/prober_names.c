/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <search.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/prober_names.h"

#define KEPT_USEC     (60 * INT64_C(1000000)) /* an answer's own time, but not longer */
#define KEPT_MIN_USEC (5 * INT64_C(1000000))  /* nor shorter, as is a failure */
#define TIMEOUT_MSEC  2000
#define TRIES         2
#define HOSTS_MAX     20000

struct names_ask {
        struct known *entry;
        struct names_ask *next;
        names_end end; /* NULL: forgotten */
        void *arg;
};

struct known {
        struct names *names;
        TAILQ_ENTRY(known) link; /* of those that get old */
        int64_t until_usec;      /* INT64_MAX: out of /etc/hosts */
        bool asking;
        char addresses[NAMES_ADDRESSES_MAX]; /* "" when it failed */
        struct names_ask *asks;
        const char *name;
};

struct watch {
        struct names *names;
        struct watch *next;
        int fd;
        sd_event_source *source;
};

struct names {
        sd_event *event;
        sd_event_source *timer;
        ares_channel channel;
        bool closing;
        struct watch *watches;
        void *entries; /* tsearch(3) */
        TAILQ_HEAD(ages, known) aging;
};

static int by_name(const void *a, const void *b)
{
        return strcasecmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

static struct known *entry_find(struct names *names, const char *name)
{
        const struct known wanted = { .name = name };
        struct known *const *found = tfind(&wanted, &names->entries, by_name);

        return found == NULL ? NULL : *found;
}

static void entry_free(void *arg)
{
        struct known *entry = arg;

        while (entry->asks != NULL) {
                struct names_ask *ask = entry->asks;

                entry->asks = ask->next;
                free(ask);
        }
        free(entry);
}

/* With each name that comes two are looked at, so that what is old goes faster than it comes. */
static void names_age(struct names *names)
{
        int64_t now = clock_boot_usec();
        struct known *entry;

        for (int i = 0; i < 2 && (entry = TAILQ_FIRST(&names->aging)) != NULL; i++) {
                TAILQ_REMOVE(&names->aging, entry, link);
                if (entry->until_usec >= now || entry->asking) {
                        TAILQ_INSERT_TAIL(&names->aging, entry, link);
                        continue;
                }
                (void)tdelete(entry, &names->entries, by_name);
                entry_free(entry);
        }
}

/* ${until_usec} INT64_MAX: it never gets old. */
static struct known *entry_add(struct names *names, const char *name, int64_t until_usec)
{
        size_t n = strlen(name) + 1;
        struct known *entry;

        names_age(names);
        entry = calloc(1, sizeof(*entry) + n);
        if (entry == NULL)
                return NULL;
        *entry = (struct known){ .names = names,
                                 .until_usec = until_usec,
                                 .name = memcpy(entry + 1, name, n) };
        if (tsearch(entry, &names->entries, by_name) == NULL) {
                free(entry);
                return NULL;
        }
        if (until_usec != INT64_MAX)
                TAILQ_INSERT_TAIL(&names->aging, entry, link);
        return entry;
}

static void address_add(char *buf, int family, const void *address)
{
        char text[INET6_ADDRSTRLEN];
        size_t used = strlen(buf);

        if (inet_ntop(family, address, text, sizeof(text)) != NULL &&
            used + strlen(text) + 4 < NAMES_ADDRESSES_MAX)
                (void)snprintf(buf + used, NAMES_ADDRESSES_MAX - used,
                               family == AF_INET6 ? "%s[%s]" : "%s%s", used == 0 ? "" : ",", text);
}

/* Link-local addresses lead to the machine's neighbours and to a cloud's metadata; a site's name
 * that says so was not set up by an administrator of this machine. */
static bool address_public(const struct sockaddr *address)
{
        if (address->sa_family == AF_INET6)
                return !IN6_IS_ADDR_LINKLOCAL(
                        &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
        return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >>
                16) != 0xa9fe;
}

static void hosts_read(struct names *names)
{
        const struct hostent *host;

        sethostent(1);
        for (int n = 0; n < HOSTS_MAX && (host = gethostent()) != NULL; n++)
                for (char **alias = NULL; alias == NULL || *alias != NULL;
                     alias = alias == NULL ? host->h_aliases : alias + 1) {
                        const char *name = alias == NULL ? host->h_name : *alias;
                        struct known *entry = entry_find(names, name);

                        if (entry == NULL && (entry = entry_add(names, name, INT64_MAX)) == NULL)
                                break;
                        for (char **a = host->h_addr_list; *a != NULL; a++)
                                address_add(entry->addresses, host->h_addrtype, *a);
                        if (host->h_aliases[0] == NULL)
                                break;
                }
        endhostent();
}

static void timer_set(struct names *names)
{
        struct timeval wait, *next = ares_timeout(names->channel, NULL, &wait);

        if (next == NULL) {
                (void)sd_event_source_set_enabled(names->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time_relative(
                names->timer, (uint64_t)next->tv_sec * USEC_PER_SEC + (uint64_t)next->tv_usec);
        (void)sd_event_source_set_enabled(names->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
        struct names *names = arg;

        (void)source;
        (void)usec;
        ares_process_fd(names->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        timer_set(names);
        return 0;
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct names *names = ((struct watch *)arg)->names; /* the watch may go */

        (void)source;
        ares_process_fd(names->channel, (revents & ~(uint32_t)EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD,
                        (revents & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
        timer_set(names);
        return 0;
}

static void socket_changed(void *arg, ares_socket_t fd, int readable, int writable)
{
        struct names *names = arg;
        struct watch **at = &names->watches, *watch;
        uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

        while (*at != NULL && (*at)->fd != fd)
                at = &(*at)->next;
        watch = *at;
        if (watch != NULL && events != 0) {
                (void)sd_event_source_set_io_events(watch->source, events);
        } else if (watch != NULL) {
                *at = watch->next;
                (void)sd_event_source_disable_unref(watch->source);
                free(watch);
        } else if (events != 0 && (watch = calloc(1, sizeof(*watch))) != NULL) {
                *watch = (struct watch){ .names = names, .next = names->watches, .fd = fd };
                if (sd_event_add_io(names->event, &watch->source, fd, events, on_socket, watch) < 0)
                        free(watch); /* the query ends by its timeout */
                else
                        names->watches = watch;
        }
}

int names_open(sd_event *event, struct names **ret_names, struct err *err)
{
        struct names *names = calloc(1, sizeof(*names));
        struct ares_options options = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                                        .timeout = TIMEOUT_MSEC,
                                        .tries = TRIES,
                                        .lookups = (char[]){ "b" },
                                        .sock_state_cb = socket_changed,
                                        .sock_state_cb_data = names };
        int r;

        if (names == NULL)
                return err_oom(err);
        names->event = event;
        TAILQ_INIT(&names->aging);
        hosts_read(names);
        r = ares_init_options(&names->channel, &options,
                              ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                      ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
        if (r != ARES_SUCCESS) {
                tdestroy(names->entries, entry_free);
                free(names);
                return err_fail(err, ERR_IO, 0, "cannot set up the resolver: %s", ares_strerror(r));
        }
        if (sd_event_add_time_relative(event, &names->timer, CLOCK_BOOTTIME, 0, 10000, on_timer,
                                       names) < 0 ||
            sd_event_source_set_enabled(names->timer, SD_EVENT_OFF) < 0) {
                names_close(names);
                return err_fail(err, ERR_IO, 0, "cannot watch the resolver");
        }
        *ret_names = names;
        return 0;
}

void names_close(struct names *names)
{
        if (names == NULL)
                return;
        names->closing = true;
        ares_destroy(names->channel);
        (void)sd_event_source_disable_unref(names->timer);
        tdestroy(names->entries, entry_free);
        free(names);
}

int names_look(struct names *names, const char *name, char buf[static NAMES_ADDRESSES_MAX])
{
        unsigned char address[sizeof(struct in6_addr)];
        const struct known *entry;

        if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
                (void)snprintf(buf, NAMES_ADDRESSES_MAX, "%s", name);
                return 1;
        }
        if (strcasecmp(name, "localhost") == 0) {
                (void)snprintf(buf, NAMES_ADDRESSES_MAX, "127.0.0.1,[::1]");
                return 1;
        }
        entry = entry_find(names, name);
        if (entry == NULL || entry->asking || entry->until_usec < clock_boot_usec())
                return 0;
        (void)snprintf(buf, NAMES_ADDRESSES_MAX, "%s", entry->addresses);
        return entry->addresses[0] == '\0' ? -1 : 1;
}

static void entry_answer(struct known *entry, const char *error)
{
        struct names_ask *ask = entry->asks;

        entry->asks = NULL;
        while (ask != NULL) {
                struct names_ask *next = ask->next;

                if (ask->end != NULL && !entry->names->closing)
                        ask->end(error == NULL ? entry->addresses : NULL, error, ask->arg);
                free(ask);
                ask = next;
        }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
        struct known *entry = arg;
        int64_t kept = KEPT_USEC;

        (void)timeouts;
        entry->asking = false;
        entry->addresses[0] = '\0';
        for (const struct ares_addrinfo_node *node = info == NULL ? NULL : info->nodes;
             node != NULL; node = node->ai_next) {
                const void *address =
                        node->ai_family == AF_INET6
                                ? (const void *)&(
                                          (const struct sockaddr_in6 *)(const void *)node->ai_addr)
                                          ->sin6_addr
                                : (const void *)&(
                                          (const struct sockaddr_in *)(const void *)node->ai_addr)
                                          ->sin_addr;

                if (address_public(node->ai_addr))
                        address_add(entry->addresses, node->ai_family, address);
                if (node->ai_ttl >= 0 && node->ai_ttl * INT64_C(1000000) < kept)
                        kept = node->ai_ttl * INT64_C(1000000);
        }
        if (info != NULL)
                ares_freeaddrinfo(info);
        if (kept < KEPT_MIN_USEC || entry->addresses[0] == '\0')
                kept = KEPT_MIN_USEC;
        entry->until_usec = clock_boot_usec() + kept;
        entry_answer(entry, entry->addresses[0] != '\0' ? NULL
                            : status == ARES_SUCCESS    ? "no address that may be asked"
                                                        : ares_strerror(status));
}

/* c-ares may answer before it returns; whoever asks is told from the loop. */
static int on_start(sd_event_source *source, void *arg)
{
        static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
                                                          .ai_flags = ARES_AI_NOSORT,
                                                          .ai_socktype = SOCK_STREAM };
        struct known *entry = arg;
        struct names *names = entry->names;

        (void)sd_event_source_disable_unref(source);
        ares_getaddrinfo(names->channel, entry->name, NULL, &hints, on_answer, entry);
        timer_set(names);
        return 0;
}

int names_ask(struct names *names, const char *name, names_end end, void *arg,
              struct names_ask **ret_ask, struct err *err)
{
        struct known *entry = entry_find(names, name);
        struct names_ask *ask = calloc(1, sizeof(*ask));
        sd_event_source *start = NULL;

        if (ask == NULL || (entry == NULL && (entry = entry_add(names, name, 0)) == NULL)) {
                free(ask);
                return err_oom(err);
        }
        if (!entry->asking && sd_event_add_defer(names->event, &start, on_start, entry) < 0) {
                free(ask);
                return err_oom(err);
        }
        entry->asking = true;
        *ask = (struct names_ask){ .entry = entry, .next = entry->asks, .end = end, .arg = arg };
        entry->asks = ask;
        *ret_ask = ask;
        return 0;
}

void names_forget(struct names_ask *ask)
{
        if (ask != NULL)
                ask->end = NULL;
}
