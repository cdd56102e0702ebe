/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBE_H
#define SNAPD_PROBE_H

/*
 * What is to be measured of a site: the [probe NAME] sections of sites.d/SITE.conf, and those of
 * the presets in probes.d that `[guard] presets` names.  Here a probe is data; snapd/prober.h asks.
 *
 * One table says which keys there are, what their values look like and which kinds of probes they
 * are for.  Configuration files are read by it, and so are the messages to the process that probes.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define PROBE_NAME_MAX 33 /* bytes with the NUL */
#define PROBES_MAX     16 /* of one site */

enum probe_kind {
        PROBE_HTTP,      /* pages are asked for */
        PROBE_ACCESSLOG, /* what real visitors got, from the web server's log */
        PROBE_PHPFPM,    /* the status page of a pool of PHP */
        PROBE_DATABASE,  /* the live version's database answers */
        PROBE_COMMAND,   /* a program of the site's user: exit 0 good, 1 bad, else unknown */
        PROBE_KINDS
};

enum probe_weight { PROBE_REQUIRED, PROBE_WANTED }; /* rolls back, or warns */
enum probe_when {
        PROBE_ALWAYS,
        PROBE_BEFORE,
        PROBE_AFTER
}; /* each interval and with every
    * upgrade; once before one; once
    * after one */
enum probe_format { PROBE_FORMAT_AUTO, PROBE_FORMAT_COMBINED, PROBE_FORMAT_JSON };
enum probe_time { PROBE_TIME_NONE, PROBE_TIME_SECONDS, PROBE_TIME_MICROSECONDS };
enum probe_tls { PROBE_TLS_VERIFY, PROBE_TLS_ANY };
enum probe_verdict { PROBE_GOOD, PROBE_BAD, PROBE_UNKNOWN };

/* Lists are NULL-terminated, or NULL when they are empty. */
struct site_probe {
        char *name;
        unsigned kind, weight, when; /* of the enums above */
        unsigned interval_msec, timeout_msec;

        /* http, and those that phpfpm has too: urls, address, headers, secret, tls */
        char **urls;    /* whole ones; or "/path" of [guard] url, until site_probes() */
        char *address;  /* "HOST:PORT" or "unix:/PATH" to connect to, else where the URL leads */
        char **headers; /* "Name: value", sent */
        char *secret;   /* the file of root's that {secret} in headers and login_form stands for */
        char *login_url, *login_form;
        char *status; /* "200 301-308", or NULL: 2xx and 3xx are good, 5xx bad, 4xx unknown */
        char **expect, **expect_match; /* all of them in the body; text, and PCRE2 */
        char **reject, **reject_match; /* none of them */
        unsigned redirects;            /* how many are followed */
        unsigned slow_msec;            /* an answer that takes longer is bad; 0: none is */
        unsigned tls;

        /* accesslog */
        char *log;
        unsigned format, time;
        char *host;         /* lines of other hosts in a log of many are not counted */
        uint64_t max_bytes; /* read in one interval; the rest is passed over */

        /* phpfpm */
        unsigned max_queue;   /* a longer listen queue is bad */
        unsigned unreachable; /* enum probe_verdict */

        char **command;
};

struct probe_list {
        struct site_probe *items;
        size_t n;
};

struct probe_key;

struct probe_value_kind {
        /* Set the member from one text; of a list, add to it.  ERR_INVALID. */
        int (*read)(struct site_probe *probe, const struct probe_key *key, const char *text,
                    struct err *err);
        /* Visit each text that read() makes the member from again; none when it is not set. */
        int (*write)(const struct site_probe *probe, const struct probe_key *key,
                     int (*visit)(const char *text, void *arg, struct err *err), void *arg,
                     struct err *err);
        void (*done)(struct site_probe *probe, const struct probe_key *key); /* NULL: no memory */
};

struct probe_key {
        const char *key;
        unsigned kinds; /* bits 1 << enum probe_kind: who has it; 0: all */
        const struct probe_value_kind *kind;
        size_t offset, size;
        bool repeatable;
        uint64_t min, max;
        const char *const *words;
        const char *preset; /* the value when nothing is said; NULL: not set */
        const char *help;
};

/* In the order of a written file; ends with a row whose key is NULL. */
extern const struct probe_key probe_keys[];
#define PROBE_KEYS_MAX 40

/* probe_key_find(name): The row, or NULL. */
const struct probe_key *probe_key_find(const char *name);

/* probe_key_set(probe, key): Does it have a value that is not the preset's? */
bool probe_key_set(const struct site_probe *probe, const struct probe_key *key);

/* probe_kind_name(kind), probe_weight_name(weight), probe_when_name(when),
 * probe_verdict_name(verdict): As in the file. */
const char *probe_kind_name(unsigned kind);
const char *probe_weight_name(unsigned weight);
const char *probe_when_name(unsigned when);
const char *probe_verdict_name(unsigned verdict);

/* probe_name_valid(name, err): ERR_INVALID unless 1 to 32 of [a-z0-9-], a letter first. */
int probe_name_valid(const char *name, struct err *err) MUST_CHECK;

/* probe_list_add(list, name, ret_probe, err): A new probe with every key at its preset; the
 * pointer lives until the next is added.  ERR_EXISTS; ERR_INVALID: the name, or too many. */
int probe_list_add(struct probe_list *list, const char *name, struct site_probe **ret_probe,
                   struct err *err) MUST_CHECK;

/* probe_list_find(list, name): NULL when there is none. */
struct site_probe *probe_list_find(const struct probe_list *list, const char *name);

/* probe_list_copy(from, list, err): Add copies of all of ${from}. */
int probe_list_copy(const struct probe_list *from, struct probe_list *list,
                    struct err *err) MUST_CHECK;
void probe_list_done(struct probe_list *list);
void probe_done(struct site_probe *probe);

/* probe_check(probe, visit, arg, err): Visit what is wrong between values that are each right; the
 * key is NULL when it is the probe as a whole.  -1 only when visit() fails. */
typedef int (*probe_problem_visit)(const struct probe_key *key, const struct err *problem,
                                   void *arg, struct err *err);
int probe_check(const struct site_probe *probe, probe_problem_visit visit, void *arg,
                struct err *err) MUST_CHECK;

/* probe_url_valid(url, relative, err): An http or https URL without a password in it; with
 * ${relative} also "/path". */
int probe_url_valid(const char *url, bool relative, struct err *err) MUST_CHECK;

/* probe_address_valid(address, err): "HOST:PORT", "[::1]:PORT" or "unix:/PATH". */
int probe_address_valid(const char *address, struct err *err) MUST_CHECK;

/* probe_status_valid(text, err), probe_status_in(text, status): "200 301-308". */
int probe_status_valid(const char *text, struct err *err) MUST_CHECK;
bool probe_status_in(const char *text, unsigned status);

/* probe_json(probe), probe_from_json(json, probe, err): For a message: {"name", KEY: TEXT or
 * [TEXT]}.  NULL when memory is short; ERR_INVALID.  Give the result to probe_done(), also on
 * failure. */
json_t *probe_json(const struct site_probe *probe);
int probe_from_json(const json_t *json, struct site_probe *probe, struct err *err) MUST_CHECK;

#endif
