/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/prober_fetch.h"
#include "snapd/prober_gate.h"
#include "snapd/prober_hoard.h"
#include "snapd/prober_multi.h"
#include "snapd/prober_names.h"
#include "snapd/prober_target.h"
#include "snapd/prober_tls.h"

#define SPARE_MAX       32    /* handles that wait for the next request */
#define CONNECTIONS_MAX 2048  /* that are kept open */
#define HEADERS_MAX     32768 /* bytes of an answer's; a page of more is no page */
#define CONNECT_MSEC    5000
#define NAME_MSEC       5000
#define BUFFER_BYTES    4096
#define COOKIES_MAX     50
#define COOKIE_MAX      4096
#define HANDSHAKES_MAX  128 /* at a time */
#define BY_TLS_MAX      512 /* requests at a time: 18 MB of the 64 there are */

struct fetcher {
        sd_event *event;
        struct multi *multi;
        struct tls *tls;
        struct gate *by_tls, *handshakes;
        struct names *names;
        struct hoard hoard;
        CURL *spare[SPARE_MAX];
        size_t n_spare;
        uint64_t number; /* makes each request one that no cache has seen */
};

struct fetch {
        struct fetcher *fetcher;
        struct fetch_request copy;
        fetch_end end;
        void *arg;
        int64_t from_usec;
        sd_event_source *late; /* while a name is asked for, or it failed at once */
        struct names_ask *ask;
        CURL *easy;
        struct tls_peer *peer; /* by https */
        struct gate_slot whole,
                handshake; /* from its beginning to its end; to that of the latter */
        char *addresses;
        struct curl_slist *headers, *resolve, *connect_to;
        struct body body;
        size_t n_headers;
        bool full;
        char error[CURL_ERROR_SIZE];
};

static void fetch_free(struct fetch *fetch)
{
        struct fetcher *fetcher = fetch->fetcher;

        (void)sd_event_source_disable_unref(fetch->late);
        names_forget(fetch->ask);
        gate_leave(fetcher->handshakes, &fetch->handshake);
        gate_leave(fetcher->by_tls, &fetch->whole);
        if (fetch->easy != NULL) {
                (void)curl_multi_remove_handle(multi_curl(fetcher->multi), fetch->easy);
                /* A handle that is reset still has its cookies, which are one site's. */
                if (fetch->copy.cookies == NULL && fetcher->n_spare < SPARE_MAX) {
                        curl_easy_reset(fetch->easy);
                        fetcher->spare[fetcher->n_spare++] = fetch->easy;
                } else {
                        curl_easy_cleanup(fetch->easy);
                }
        }
        tls_release(fetch->peer);
        curl_slist_free_all(fetch->headers);
        curl_slist_free_all(fetch->resolve);
        curl_slist_free_all(fetch->connect_to);
        free(fetch->addresses);
        hoard_remove(&fetcher->hoard, &fetch->body);
        free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
        if (fetch != NULL)
                fetch_free(fetch);
}

/* Tell, and be gone. */
static void fetch_tell(struct fetch *fetch, const struct fetch_answer *answer)
{
        fetch->end(answer, fetch->arg);
        fetch_free(fetch);
}

static void fetch_fail(struct fetch *fetch, enum fetch_failure failure, const char *error)
{
        const struct fetch_answer answer = { .failure = failure,
                                             .error = error,
                                             .usec = clock_boot_usec() - fetch->from_usec,
                                             .body = "" };

        fetch_tell(fetch, &answer);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
        struct fetch *fetch = arg;
        size_t take = n < FETCH_BODY_MAX - fetch->body.n ? n : FETCH_BODY_MAX - fetch->body.n;

        (void)size;
        if (take > 0 && !hoard_add(&fetch->fetcher->hoard, &fetch->body, data, take))
                return 0;
        fetch->full |= take < n; /* enough was seen: libcurl ends the request with an error */
        return take;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
        struct fetch *fetch = arg;

        (void)data;
        (void)size;
        fetch->n_headers += n;
        return fetch->n_headers > HEADERS_MAX ? 0 : n;
}

static const char *header_of(CURL *easy, const char *name)
{
        struct curl_header *header;

        if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
                return NULL;
        return header->value;
}

/* The header that says the answer comes out of a cache between us and the application. */
static const char *cached_by(CURL *easy)
{
        static const char *const hits[] = { "X-Cache",           "cf-cache-status",
                                            "X-Cache-Status",    "X-Proxy-Cache",
                                            "X-Drupal-Cache",    "X-FastCGI-Cache",
                                            "X-LiteSpeed-Cache", "X-Varnish-Cache",
                                            "X-Nginx-Cache" };
        static const char *const words[] = { "HIT", "STALE", "UPDATING", "REVALIDATED" };
        const char *age = header_of(easy, "Age"), *value;

        if (age != NULL && strtoul(age, NULL, 10) > 0)
                return "Age";
        for (size_t i = 0; i < sizeof(hits) / sizeof(hits[0]); i++) {
                value = header_of(easy, hits[i]);
                for (size_t k = 0; value != NULL && k < sizeof(words) / sizeof(words[0]); k++)
                        if (strncasecmp(value, words[k], strlen(words[k])) == 0)
                                return hits[i];
        }
        /* Varnish gives the number of the request, and of the one that filled the cache. */
        value = header_of(easy, "X-Varnish");
        return value != NULL && strchr(value, ' ') != NULL ? "X-Varnish" : NULL;
}

static enum fetch_failure failure_of(const struct fetch *fetch, CURLcode code)
{
        if (fetch->body.dropped)
                return FETCH_OURS;
        switch (code) {
        case CURLE_OK:
                return FETCH_ANSWERED;
        case CURLE_WRITE_ERROR:
                return fetch->full                      ? FETCH_ANSWERED
                       : fetch->n_headers > HEADERS_MAX ? FETCH_BROKEN
                                                        : FETCH_OURS;
        case CURLE_COULDNT_RESOLVE_HOST:
                return FETCH_NO_NAME;
        case CURLE_COULDNT_CONNECT:
                return FETCH_NO_CONNECT;
        case CURLE_OPERATION_TIMEDOUT: {
                curl_off_t connected = 0;

                (void)curl_easy_getinfo(fetch->easy, CURLINFO_CONNECT_TIME_T, &connected);
                return connected > 0 ? FETCH_TIMEOUT : FETCH_NO_CONNECT;
        }
        case CURLE_OUT_OF_MEMORY:
        case CURLE_FAILED_INIT:
                return FETCH_OURS;
        default:
                return FETCH_BROKEN;
        }
}

static void cookies_keep(struct fetch *fetch)
{
        struct curl_slist *lines = NULL;
        size_t n = 0, size = 0;
        char *text = NULL;
        FILE *out;

        if (fetch->copy.cookies == NULL ||
            curl_easy_getinfo(fetch->easy, CURLINFO_COOKIELIST, &lines) != CURLE_OK)
                return;
        out = open_memstream(&text, &size);
        for (const struct curl_slist *line = lines; out != NULL && line != NULL && n < COOKIES_MAX;
             line = line->next, n++)
                if (strlen(line->data) < COOKIE_MAX)
                        (void)fprintf(out, "%s\n", line->data);
        curl_slist_free_all(lines);
        if (out != NULL && fclose(out) == 0) {
                free(*fetch->copy.cookies);
                *fetch->copy.cookies = text;
        }
}

static void answer_address(CURL *easy, char buf[static 64])
{
        char *ip = NULL;
        long port = 0;

        if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip != NULL &&
            curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) == CURLE_OK && port > 0)
                (void)snprintf(buf, 64, strchr(ip, ':') != NULL ? "[%s]:%ld" : "%s:%ld", ip, port);
}

static void fetch_ended(struct fetch *fetch, CURLcode code)
{
        struct fetch_answer answer = { .failure = failure_of(fetch, code),
                                       .body = fetch->body.data == NULL ? "" : fetch->body.data,
                                       .n_body = fetch->body.n };
        curl_off_t usec = 0;
        char *location = NULL;
        long status = 0;

        (void)curl_easy_getinfo(fetch->easy, CURLINFO_TOTAL_TIME_T, &usec);
        (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(fetch->easy, CURLINFO_REDIRECT_URL, &location);
        answer.usec = usec;
        answer.status = (unsigned)status;
        answer_address(fetch->easy, answer.address);
        if (answer.failure != FETCH_ANSWERED) {
                if (fetch->peer != NULL) {
                        *tls_hung(fetch->peer) = fetch->handshake.state == GATE_INSIDE;
                        *tls_slow(fetch->peer) =
                                answer.failure == FETCH_TIMEOUT || fetch->body.dropped;
                        tls_forget(fetch->peer);
                }
                answer.error = fetch->body.dropped              ? "too many servers send slowly"
                               : fetch->n_headers > HEADERS_MAX ? "more headers than a page has"
                               : fetch->error[0] != '\0'        ? fetch->error
                                                                : curl_easy_strerror(code);
        } else {
                if (fetch->peer != NULL)
                        *tls_slow(fetch->peer) = false;
                answer.location = location;
                answer.cached = cached_by(fetch->easy);
                answer.retry_after = header_of(fetch->easy, "Retry-After") != NULL;
                answer.maintenance = header_of(fetch->easy, "X-Nextcloud-Maintenance-Mode");
                cookies_keep(fetch);
        }
        fetch_tell(fetch, &answer);
}

static void on_end(CURL *easy, CURLcode code, void *arg)
{
        struct fetch *fetch = NULL;

        (void)arg;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &fetch);
        fetch_ended(fetch, code);
}

/* What a request says beside its address. */
static bool request_fill(struct fetch *fetch)
{
        const struct fetch_request *request = &fetch->copy;
        static const char *const always[] = { "Cache-Control: no-cache", "Pragma: no-cache",
                                              "Accept: */*" };
        char host[300];

        for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
                fetch->headers = curl_slist_append(fetch->headers, always[i]);
        for (char *const *h = request->headers; h != NULL && *h != NULL; h++)
                fetch->headers = curl_slist_append(fetch->headers, *h);
        if (request->target->host_header != NULL) {
                (void)snprintf(host, sizeof(host), "Host: %s", request->target->host_header);
                fetch->headers = curl_slist_append(fetch->headers, host);
        }
        if (fetch->headers == NULL)
                return false;
        (void)curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers);
        (void)curl_easy_setopt(fetch->easy, CURLOPT_USERAGENT, request->agent);
        if (request->post != NULL) {
                (void)curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDS, request->post);
        } else {
                (void)curl_easy_setopt(fetch->easy, CURLOPT_HTTPGET, 1L);
        }
        if (request->cookies != NULL) {
                char *text = *request->cookies == NULL ? NULL : strdup(*request->cookies), *rest;

                (void)curl_easy_setopt(fetch->easy, CURLOPT_COOKIEFILE, "");
                for (char *line = text == NULL ? NULL : strtok_r(text, "\n", &rest); line != NULL;
                     line = strtok_r(NULL, "\n", &rest))
                        (void)curl_easy_setopt(fetch->easy, CURLOPT_COOKIELIST, line);
                free(text);
        }
        return true;
}

static bool place_fill(struct fetch *fetch, const char *addresses)
{
        const struct fetch_target *target = fetch->copy.target;
        char text[NAMES_ADDRESSES_MAX + 300], url[4096];

        (void)snprintf(url, sizeof(url), "%s", target->url);
        if (fetch->copy.busted)
                (void)snprintf(url + strlen(url), sizeof(url) - strlen(url), "%csitesnap=%" PRIx64,
                               strchr(url, '?') == NULL ? '?' : '&', fetch->fetcher->number++);
        if (target->unix_path != NULL)
                (void)curl_easy_setopt(fetch->easy, CURLOPT_UNIX_SOCKET_PATH, target->unix_path);
        if (target->connect_to != NULL) {
                fetch->connect_to = curl_slist_append(NULL, target->connect_to);
                (void)curl_easy_setopt(fetch->easy, CURLOPT_CONNECT_TO, fetch->connect_to);
        }
        if (addresses != NULL && strcmp(addresses, target->host) != 0) {
                (void)snprintf(text, sizeof(text), "+%s:%u:%s", target->host, target->port,
                               addresses);
                fetch->resolve = curl_slist_append(NULL, text);
                (void)curl_easy_setopt(fetch->easy, CURLOPT_RESOLVE, fetch->resolve);
        }
        return curl_easy_setopt(fetch->easy, CURLOPT_URL, url) == CURLE_OK;
}

static void easy_fill(struct fetch *fetch)
{
        const struct fetch_request *request = &fetch->copy;
        CURL *easy = fetch->easy;

        (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
        (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
        (void)curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
        (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_msec);
        (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                               (long)(request->timeout_msec < CONNECT_MSEC ? request->timeout_msec
                                                                           : CONNECT_MSEC));
        (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
        (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
        (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE,
                               request->brief && request->target->https ? 1L : 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request->verify ? 1L : 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request->verify ? 2L : 0L);
}

/* Whom a session is with: whose certificate it is, who has it, and whether that was looked at. */
static struct tls_peer *peer_of(const struct fetch *fetch)
{
        const struct fetch_target *target = fetch->copy.target;
        char key[1024];
        int n = snprintf(key, sizeof(key), "%s:%u %s %s %d", target->name, target->port,
                         target->connect_to == NULL ? "" : target->connect_to,
                         target->unix_path == NULL ? "" : target->unix_path, fetch->copy.verify);

        return n < (int)sizeof(key) ? tls_peer(fetch->fetcher->tls, key) : NULL;
}

/* The connection is there, and the request goes out. */
static int on_established(void *arg, char *to, char *from, int to_port, int from_port)
{
        struct fetch *fetch = arg;

        (void)to;
        (void)from;
        (void)to_port;
        (void)from_port;
        *tls_hung(fetch->peer) = false;
        gate_leave(fetch->fetcher->handshakes, &fetch->handshake);
        return CURL_PREREQFUNC_OK;
}

/* Let libcurl go on. */
static void fetch_add(struct fetch *fetch)
{
        struct fetcher *fetcher = fetch->fetcher;

        fetch->easy = fetcher->n_spare > 0 ? fetcher->spare[--fetcher->n_spare] : curl_easy_init();
        if (fetch->easy == NULL) {
                fetch_fail(fetch, FETCH_OURS, "out of memory");
                return;
        }
        easy_fill(fetch);
        if (fetch->peer != NULL) {
                tls_fill(fetch->easy, fetch->peer);
                (void)curl_easy_setopt(fetch->easy, CURLOPT_PREREQFUNCTION, on_established);
                (void)curl_easy_setopt(fetch->easy, CURLOPT_PREREQDATA, fetch);
        }
        if (!request_fill(fetch) || !place_fill(fetch, fetch->addresses) ||
            curl_multi_add_handle(multi_curl(fetcher->multi), fetch->easy) != CURLM_OK)
                fetch_fail(fetch, FETCH_OURS, "out of memory");
}

static void on_turn(struct gate_slot *slot)
{
        fetch_add(slot->owner);
}

static void on_turned_out(struct gate_slot *slot)
{
        struct fetch *fetch = slot->owner;

        *tls_hung(fetch->peer) = true;
        fetch_fail(fetch, FETCH_OURS, "too many servers hang while a connection is made");
}

static void gate_pass(struct gate *gate, struct gate_slot *slot, struct fetch *fetch, bool suspect)
{
        slot->owner = fetch;
        slot->suspect = suspect;
        gate_enter(gate, slot);
}

static void on_whole_turn(struct gate_slot *slot)
{
        struct fetch *fetch = slot->owner;

        gate_pass(fetch->fetcher->handshakes, &fetch->handshake, fetch, *tls_hung(fetch->peer));
}

static void on_whole_turned_out(struct gate_slot *slot)
{
        struct fetch *fetch = slot->owner;

        *tls_slow(fetch->peer) = true;
        fetch_fail(fetch, FETCH_OURS, "too many servers are slow to answer");
}

/* The name is known. */
static void fetch_go(struct fetch *fetch, const char *addresses)
{
        fetch->late = sd_event_source_disable_unref(fetch->late);
        if ((addresses != NULL && (fetch->addresses = strdup(addresses)) == NULL) ||
            (fetch->copy.target->https && (fetch->peer = peer_of(fetch)) == NULL)) {
                fetch_fail(fetch, FETCH_OURS, "out of memory");
        } else if (fetch->peer == NULL) {
                fetch_add(fetch);
        } else {
                gate_pass(fetch->fetcher->by_tls, &fetch->whole, fetch,
                          *tls_hung(fetch->peer) || *tls_slow(fetch->peer));
        }
}

int fetcher_open(sd_event *event, struct fetcher **ret_fetcher, struct err *err)
{
        struct fetcher *fetcher = calloc(1, sizeof(*fetcher));

        if (fetcher == NULL)
                return err_oom(err);
        fetcher->event = event;
        (void)!getrandom(&fetcher->number, sizeof(fetcher->number), 0);
        (void)curl_global_init(CURL_GLOBAL_ALL);
        if (multi_open(event, on_end, fetcher, &fetcher->multi, err) < 0 ||
            tls_open(&fetcher->tls, err) < 0 || names_open(event, &fetcher->names, err) < 0 ||
            gate_open(event, HANDSHAKES_MAX, on_turn, on_turned_out, &fetcher->handshakes, err) <
                    0 ||
            gate_open(event, BY_TLS_MAX, on_whole_turn, on_whole_turned_out, &fetcher->by_tls,
                      err) < 0) {
                fetcher_close(fetcher);
                return -1;
        }
        (void)curl_multi_setopt(multi_curl(fetcher->multi), CURLMOPT_MAXCONNECTS,
                                (long)CONNECTIONS_MAX);
        *ret_fetcher = fetcher;
        return 0;
}

void fetcher_close(struct fetcher *fetcher)
{
        if (fetcher == NULL)
                return;
        while (fetcher->n_spare > 0)
                curl_easy_cleanup(fetcher->spare[--fetcher->n_spare]);
        multi_close(fetcher->multi);
        gate_close(fetcher->handshakes);
        gate_close(fetcher->by_tls);
        names_close(fetcher->names);
        tls_close(fetcher->tls);
        free(fetcher);
}

static void on_name(const char *addresses, const char *error, void *arg)
{
        struct fetch *fetch = arg;

        fetch->ask = NULL;
        if (addresses == NULL)
                fetch_fail(fetch, FETCH_NO_NAME, error);
        else
                fetch_go(fetch, addresses);
}

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)source;
        (void)usec;
        fetch_fail(arg, FETCH_NO_NAME, "no resolver answers for the name");
        return 0;
}

int fetch_start(struct fetcher *fetcher, const struct fetch_request *request, fetch_end end,
                void *arg, struct fetch **ret_fetch, struct err *err)
{
        unsigned wait = request->timeout_msec < NAME_MSEC ? request->timeout_msec : NAME_MSEC;
        const struct fetch_target *target = request->target;
        char addresses[NAMES_ADDRESSES_MAX];
        struct fetch *fetch = calloc(1, sizeof(*fetch));
        int known;

        if (fetch == NULL)
                return err_oom(err);
        *fetch = (struct fetch){ .fetcher = fetcher,
                                 .copy = *request,
                                 .end = end,
                                 .arg = arg,
                                 .from_usec = clock_boot_usec() };
        *ret_fetch = fetch;
        known = target->unix_path != NULL ? 1 : names_look(fetcher->names, target->host, addresses);
        if (known > 0) {
                fetch_go(fetch, target->unix_path != NULL ? NULL : addresses);
                return 0;
        }
        /* Asked for by others just now and failed: not at once, or ${end} comes before we return.
         */
        if (sd_event_add_time_relative(fetcher->event, &fetch->late, CLOCK_BOOTTIME,
                                       known < 0 ? 0 : (uint64_t)wait * 1000, 1000, on_late,
                                       fetch) < 0 ||
            (known == 0 &&
             names_ask(fetcher->names, target->host, on_name, fetch, &fetch->ask, err) < 0)) {
                fetch_free(fetch);
                return err_oom(err);
        }
        return 0;
}
