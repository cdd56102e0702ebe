/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "common/url.h"
#include "snapd/probe_values.h"

int probe_url_valid(const char *text, bool relative, struct err *err)
{
        static const char *const schemes[] = { "http", "https", NULL };
        CLEANUP(freep) char *whole = NULL;

        if (relative && text[0] == '/') {
                if (asprintf(&whole, "http://localhost%s", text) < 0) {
                        whole = NULL;
                        return err_oom(err);
                }
                text = whole;
        } else if (relative && strncmp(text, "http", 4) != 0) {
                return err_fail(err, ERR_INVALID, 0,
                                "'%.200s' begins with none of http://, https://, /", text);
        }
        return url_check(text, schemes, NULL, err);
}

int probe_address_valid(const char *text, struct err *err)
{
        const char *port = strrchr(text, ':');
        char *end;
        unsigned long number;

        if (strncmp(text, "unix:/", 6) == 0)
                return safepath_valid(text + 6, err) < 0 || strlen(text) > 100
                               ? err_fail(err, ERR_INVALID, 0, "'%.120s' is not a plain path", text)
                               : 0;
        if (port == NULL || port == text || port[1] < '0' || port[1] > '9' ||
            strcspn(text, " /?#@\"") != strlen(text) || (text[0] == '[') != (port[-1] == ']') ||
            (text[0] != '[' && strchr(text, ':') != port))
                return err_fail(err, ERR_INVALID, 0,
                                "'%.120s' is none of HOST:PORT, [IPV6]:PORT, unix:/PATH", text);
        number = strtoul(port + 1, &end, 10);
        if (*end != '\0' || number == 0 || number > 65535)
                return err_fail(err, ERR_INVALID, 0, "'%.120s' has no port", text);
        return 0;
}

/* The next "CODE" or "CODE-CODE" of the text; false at its end or where it is wrong. */
static bool status_next(const char **text, unsigned *from, unsigned *to)
{
        char *end;

        *text += strspn(*text, " ");
        if (**text < '1' || **text > '5')
                return false;
        *from = *to = (unsigned)strtoul(*text, &end, 10);
        if (*end == '-' && end[1] >= '1' && end[1] <= '5')
                *to = (unsigned)strtoul(end + 1, &end, 10);
        if ((*end != '\0' && *end != ' ') || *from < 100 || *to > 599 || *from > *to)
                return false;
        *text = end;
        return true;
}

int probe_status_valid(const char *text, struct err *err)
{
        const char *at = text;
        unsigned from, to;

        while (status_next(&at, &from, &to))
                ;
        if (*at != '\0' || at == text)
                return err_fail(err, ERR_INVALID, 0,
                                "codes from 100 to 599 are expected, as '200 301-308'");
        return 0;
}

bool probe_status_in(const char *text, unsigned status)
{
        unsigned from, to;

        while (status_next(&text, &from, &to))
                if (status >= from && status <= to)
                        return true;
        return false;
}

struct check {
        const struct site_probe *probe;
        probe_problem_visit visit;
        void *arg;
        struct err *err;
};

PRINTF(3, 4)
static int report(const struct check *check, const char *key, const char *fmt, ...)
{
        struct err problem = { 0 };
        char text[300];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        (void)err_fail(&problem, ERR_INVALID, 0, "%s", text);
        return check->visit(key == NULL ? NULL : probe_key_find(key), &problem, check->arg,
                            check->err);
}

/* A key of another kind does nothing, and whoever wrote it thinks it does. */
static int check_kinds(const struct check *check)
{
        const struct site_probe *probe = check->probe;

        for (const struct probe_key *key = probe_keys; key->key != NULL; key++)
                if (key->kinds != 0 && (key->kinds & 1u << probe->kind) == 0 &&
                    probe_key_set(probe, key) &&
                    report(check, key->key, "a probe of kind '%s' has no '%s'",
                           probe_kind_name(probe->kind), key->key) < 0)
                        return -1;
        return 0;
}

static int check_needed(const struct check *check)
{
        const struct site_probe *probe = check->probe;
        const struct {
                unsigned kind;
                const char *key;
                bool there;
        } needed[] = {
                { PROBE_HTTP, "url", probe->urls != NULL },
                { PROBE_PHPFPM, "url", probe->urls != NULL },
                { PROBE_ACCESSLOG, "log", probe->log != NULL },
                { PROBE_COMMAND, "command", probe->command != NULL },
        };

        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
                if (needed[i].kind == probe->kind && !needed[i].there &&
                    report(check, NULL, "'%s' is missing: a probe of kind '%s' needs it",
                           needed[i].key, probe_kind_name(probe->kind)) < 0)
                        return -1;
        return 0;
}

static bool wants_secret(const struct site_probe *probe)
{
        for (char **header = probe->headers; header != NULL && *header != NULL; header++)
                if (strstr(*header, "{secret}") != NULL)
                        return true;
        return probe->login_form != NULL && strstr(probe->login_form, "{secret}") != NULL;
}

static int check_login(const struct check *check)
{
        const struct site_probe *probe = check->probe;

        if ((probe->login_url == NULL) != (probe->login_form == NULL) &&
            report(check, probe->login_url == NULL ? "login_form" : "login_url",
                   "login_url and login_form go together") < 0)
                return -1;
        if (wants_secret(probe) && probe->secret == NULL &&
            report(check, NULL, "{secret} stands for nothing: set 'secret'") < 0)
                return -1;
        if (!wants_secret(probe) && probe->secret != NULL &&
            report(check, "secret", "no header and no login_form has {secret} in it") < 0)
                return -1;
        return 0;
}

static int check_rest(const struct check *check)
{
        const struct site_probe *probe = check->probe;

        if (probe->when != PROBE_ALWAYS && probe->kind == PROBE_ACCESSLOG &&
            report(check, "when", "a log is read always; there is nothing to ask once") < 0)
                return -1;
        if (probe->unreachable == PROBE_GOOD && probe->kind == PROBE_PHPFPM &&
            report(check, "unreachable", "what is not there is not good: bad or unknown") < 0)
                return -1;
        if (probe->kind == PROBE_PHPFPM && probe->urls != NULL && probe->urls[1] != NULL)
                return report(check, "url", "a pool has one status page");
        return 0;
}

int probe_check(const struct site_probe *probe, probe_problem_visit visit, void *arg,
                struct err *err)
{
        static int (*const checks[])(const struct check *) = { check_kinds, check_needed,
                                                               check_login, check_rest };
        const struct check check = { probe, visit, arg, err };

        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
                if (checks[i](&check) < 0)
                        return -1;
        return 0;
}
