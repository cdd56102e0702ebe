/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "snapd/probe.h"
#include "snapd/probe_values.h"

#define MEMBER(m)                                                                                  \
        .offset = offsetof(struct site_probe, m), .size = sizeof(((struct site_probe *)0)->m)
#define HTTP    (1u << PROBE_HTTP)
#define LOG     (1u << PROBE_ACCESSLOG)
#define FPM     (1u << PROBE_PHPFPM)
#define COMMAND (1u << PROBE_COMMAND)

static const char *const kinds[] = { "http", "accesslog", "phpfpm", "database", "command", NULL };
static const char *const weights[] = { "required", "wanted", NULL };
static const char *const whens[] = { "always", "before", "after", NULL };
static const char *const formats[] = { "auto", "combined", "json", NULL };
static const char *const times[] = { "none", "seconds", "microseconds", NULL };
static const char *const tls[] = { "verify", "any", NULL };
static const char *const verdicts[] = { "good", "bad", "unknown", NULL };

const struct probe_key probe_keys[] = {
        { "kind", 0, &probe_value_word, MEMBER(kind), .words = kinds, .preset = "http",
          .help = "http, accesslog, phpfpm, database or command" },
        { "weight", 0, &probe_value_word, MEMBER(weight), .words = weights, .preset = "required",
          .help = "required: a breach is acted on; wanted: it is told" },
        { "when", 0, &probe_value_word, MEMBER(when), .words = whens, .preset = "always",
          .help = "always, or only once before or after an upgrade" },
        { "interval", 0, &probe_value_duration, MEMBER(interval_msec), .min = 200, .max = 86400000,
          .preset = "10s", .help = "how often it is measured" },
        { "timeout", 0, &probe_value_duration, MEMBER(timeout_msec), .min = 50, .max = 600000,
          .preset = "10s", .help = "when one answer is waited for no longer" },
        { "url", HTTP | FPM, &probe_value_url, MEMBER(urls), .repeatable = true,
          .help = "the page; '/PATH' belongs to [guard] url" },
        { "address", HTTP | FPM, &probe_value_address, MEMBER(address),
          .help = "HOST:PORT or unix:/PATH to connect to, past DNS and front door" },
        { "header", HTTP | FPM, &probe_value_header, MEMBER(headers), .repeatable = true,
          .help = "'NAME: VALUE' to send" },
        { "secret", HTTP, &probe_value_path, MEMBER(secret),
          .help = "a file of root's; {secret} in header and login_form is its first line" },
        { "tls", HTTP | FPM, &probe_value_word, MEMBER(tls), .words = tls, .preset = "verify",
          .help = "any: certificates are not looked at" },
        { "login_url", HTTP, &probe_value_url_one, MEMBER(login_url),
          .help = "login_form is posted there first; its cookies are kept" },
        { "login_form", HTTP, &probe_value_text, MEMBER(login_form),
          .help = "what is posted, urlencoded" },
        { "status", HTTP, &probe_value_status, MEMBER(status),
          .help = "the codes that are right, as '200 301-308'; every other one is bad" },
        { "expect", HTTP, &probe_value_texts, MEMBER(expect), .repeatable = true,
          .help = "text that is in the page" },
        { "expect_match", HTTP, &probe_value_regex, MEMBER(expect_match), .repeatable = true,
          .help = "an expression (PCRE2) that matches the page" },
        { "reject", HTTP, &probe_value_texts, MEMBER(reject), .repeatable = true,
          .help = "text that is not in the page" },
        { "reject_match", HTTP, &probe_value_regex, MEMBER(reject_match), .repeatable = true,
          .help = "an expression (PCRE2) that does not match the page" },
        { "redirects", HTTP, &probe_value_count, MEMBER(redirects), .min = 0, .max = 10,
          .preset = "0", .help = "how many redirects are followed" },
        { "slow", HTTP, &probe_value_duration, MEMBER(slow_msec), .min = 0, .max = 600000,
          .preset = "0", .help = "an answer that takes longer is bad; 0: none is" },
        { "log", LOG, &probe_value_path, MEMBER(log), .help = "the web server's access log" },
        { "format", LOG, &probe_value_word, MEMBER(format), .words = formats, .preset = "auto",
          .help = "combined, json, or auto: seen at each line" },
        { "time", LOG, &probe_value_word, MEMBER(time), .words = times, .preset = "none",
          .help = "of a combined line's last field: seconds ($request_time) or microseconds (%D)" },
        { "host", LOG, &probe_value_text, MEMBER(host),
          .help = "only lines of this host, in a log of many" },
        { "max_bytes", LOG, &probe_value_size, MEMBER(max_bytes), .min = 4096, .max = 16777216,
          .preset = "1M", .help = "what is read in one interval; more is passed over" },
        { "max_queue", FPM, &probe_value_count, MEMBER(max_queue), .min = 0, .max = 65535,
          .preset = "0", .help = "a longer listen queue is bad" },
        { "unreachable", FPM, &probe_value_word, MEMBER(unreachable), .words = verdicts,
          .preset = "unknown",
          .help = "what it is when the status page is not there: bad, unknown" },
        { "command", COMMAND, &probe_value_argv, MEMBER(command),
          .help = "a program, run as the site's user: exit 0 good, 1 bad, else unknown" },
        { NULL },
};

static_assert(sizeof(probe_keys) / sizeof(probe_keys[0]) <= PROBE_KEYS_MAX, "PROBE_KEYS_MAX");

const struct probe_key *probe_key_find(const char *name)
{
        for (const struct probe_key *key = probe_keys; key->key != NULL; key++)
                if (strcmp(key->key, name) == 0)
                        return key;
        return NULL;
}

const char *probe_kind_name(unsigned kind)
{
        return kinds[kind];
}

const char *probe_weight_name(unsigned weight)
{
        return weights[weight];
}

const char *probe_when_name(unsigned when)
{
        return whens[when];
}

const char *probe_verdict_name(unsigned verdict)
{
        return verdicts[verdict];
}

static int is_preset(const char *text, void *arg, struct err *err)
{
        (void)err;
        return strcmp(text, arg) == 0 ? 0 : -1;
}

bool probe_key_set(const struct site_probe *probe, const struct probe_key *key)
{
        char nothing[] = "";
        struct err ignored;
        union {
                const char *text;
                char *arg; /* a visitor's argument is not const; is_preset() does not write */
        } preset = { .text = key->preset == NULL ? nothing : key->preset };

        return key->kind->write(probe, key, is_preset, preset.arg, &ignored) < 0;
}
