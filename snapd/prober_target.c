/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "snapd/prober_target.h"

#define URL_MAX 3800 /* bytes; something is added to it */

DEFINE_CLEANUP(CURLU *, curl_url_cleanup);
DEFINE_CLEANUP(struct fetch_target *, fetch_target_close);

/* A part of a URL, as ours to free; NULL when it is missing. */
static char *part_of(CURLU *url, CURLUPart part, unsigned flags)
{
        char *text = NULL, *copy;

        if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == NULL)
                return NULL;
        copy = strdup(text);
        curl_free(text);
        return copy;
}

/* "[::1]" as "::1"; in place. */
static void unbracket(char *host)
{
        size_t n = strlen(host);

        if (host[0] != '[' || n < 2 || host[n - 1] != ']')
                return;
        memmove(host, host + 1, n - 2);
        host[n - 2] = '\0';
}

static int address_take(struct fetch_target *target, CURLU *url, const char *address,
                        struct err *err)
{
        const char *colon = strrchr(address, ':');
        bool is_unix = strncmp(address, "unix:", 5) == 0;
        char port[16];

        if (!target->https) {
                CLEANUP(freep) char *shown_port = part_of(url, CURLUPART_PORT, 0);

                if (asprintf(&target->host_header, shown_port == NULL ? "%s" : "%s:%s",
                             target->name, shown_port) < 0)
                        return err_oom(err);
        }
        if (is_unix) {
                target->unix_path = strdup(address + 5);
                if (target->unix_path == NULL ||
                    (!target->https && curl_url_set(url, CURLUPART_HOST, "localhost", 0) != 0))
                        return err_oom(err);
                return 0;
        }
        free(target->host);
        target->host = strndup(address, (size_t)(colon - address));
        if (target->host == NULL)
                return err_oom(err);
        if (target->https)
                return asprintf(&target->connect_to, "::%s", address) < 0 ? err_oom(err) : 0;
        (void)snprintf(port, sizeof(port), "%.10s", colon + 1);
        return curl_url_set(url, CURLUPART_HOST, target->host, 0) != CURLUE_OK ||
                               curl_url_set(url, CURLUPART_PORT, port, 0) != CURLUE_OK
                       ? err_fail(err, ERR_INVALID, 0, "'%.100s' is no address", address)
                       : 0;
}

int fetch_target_open(const char *text, const char *address, struct fetch_target **ret_target,
                      struct err *err)
{
        CLEANUP(fetch_target_closep) struct fetch_target *target = calloc(1, sizeof(*target));
        CLEANUP(curl_url_cleanupp) CURLU *url = curl_url();
        CLEANUP(freep) char *port = NULL;
        CLEANUP(freep) char *scheme = NULL;

        if (target == NULL || url == NULL)
                return err_oom(err);
        if (strlen(text) > URL_MAX || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is no URL", text);
        (void)curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
        scheme = part_of(url, CURLUPART_SCHEME, 0);
        target->given = strdup(text);
        target->name = part_of(url, CURLUPART_HOST, 0);
        target->host = target->name == NULL ? NULL : strdup(target->name);
        if (target->given == NULL || target->host == NULL || scheme == NULL)
                return err_oom(err);
        target->https = strcmp(scheme, "https") == 0;
        if (address != NULL && address_take(target, url, address, err) < 0)
                return -1;
        port = part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        target->port = port == NULL ? 0 : (unsigned)strtoul(port, NULL, 10);
        if (target->connect_to != NULL)
                target->port = (unsigned)strtoul(strrchr(target->connect_to, ':') + 1, NULL, 10);
        target->url = part_of(url, CURLUPART_URL, 0);
        if (target->url == NULL)
                return err_oom(err);
        unbracket(target->host);
        *ret_target = STEAL(target);
        return 0;
}

void fetch_target_close(struct fetch_target *target)
{
        if (target == NULL)
                return;
        free(target->given);
        free(target->url);
        free(target->host_header);
        free(target->connect_to);
        free(target->unix_path);
        free(target->host);
        free(target->name);
        free(target);
}

const char *fetch_target_url(const struct fetch_target *target)
{
        return target->given;
}

static const char *without_www(const char *name)
{
        return strncasecmp(name, "www.", 4) == 0 ? name + 4 : name;
}

bool fetch_target_follows(const struct fetch_target *target, const char *location)
{
        CLEANUP(curl_url_cleanupp) CURLU *to = curl_url();
        CLEANUP(curl_url_cleanupp) CURLU *from = curl_url();
        CLEANUP(freep) char *host = NULL;
        CLEANUP(freep) char *port = NULL;
        CLEANUP(freep) char *own = NULL;
        CLEANUP(freep) char *scheme = NULL;

        if (to == NULL || from == NULL || strlen(location) > URL_MAX ||
            curl_url_set(to, CURLUPART_URL, location, 0) != CURLUE_OK ||
            curl_url_set(from, CURLUPART_URL, target->given, 0) != CURLUE_OK)
                return false;
        host = part_of(to, CURLUPART_HOST, 0);
        scheme = part_of(to, CURLUPART_SCHEME, 0);
        port = part_of(to, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        own = part_of(from, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        if (host == NULL || scheme == NULL || port == NULL || own == NULL ||
            (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) ||
            strcasecmp(without_www(host), without_www(target->name)) != 0)
                return false;
        return strcmp(port, own) == 0 || strcmp(port, "80") == 0 || strcmp(port, "443") == 0;
}
