/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/webconf.h"
#include "snapd/webconf_text.h"

#define LIVE_POOL "/run/php/php-fpm.sock"

/*
 * Templates: @SITE@ is the site's name, @ROOT@ what is served, @MATCH@ the same as a regular
 * expression, @PRIVATE@ the database's path relative to it, @HOME@ the site's home, @OTHER@ the PHP
 * pool of versions that are not the live one, @RETRY@ the seconds of Retry-After, @STICKY@ those
 * for which a session stays, @OWNER@ the site's user.
 */

static const char fpm_notes[] =
        "\n"
        "# In PHP-FPM's own configuration:\n"
        "#   process_control_timeout = 10s   (section [global]) a reload of FPM, if one is run "
        "after\n"
        "#                                   a switch, lets running requests end; with the "
        "default,\n"
        "#                                   0, they are cut off\n"
        "#   opcache.validate_timestamps = 1 and opcache.revalidate_freq = 2 (both as they are by\n"
        "#                                   default): a version that becomes the live one again\n"
        "#                                   has a database of its own by then, which its\n"
        "#                                   configuration file names; no switch is made before 2 "
        "s\n"
        "#                                   have passed since that file changed.  No reload is\n"
        "#                                   needed after a switch\n"
        "#   opcache.memory_consumption      and opcache.max_accelerated_files count for two "
        "versions\n"
        "#                                   while they follow one another\n";

static const char mount_notes[] =
        "\n"
        "# This site is switched by mounting versions on its docroot ([switch] method = mount): "
        "both\n"
        "# versions have the same path.  Requests that run during a switch can mix them, and PHP\n"
        "# serves cached code until it looks again, so after a switch FPM has to be reloaded:\n"
        "#   [switch]\n"
        "#   after = /usr/bin/systemctl reload php8.2-fpm\n"
        "# method = symlink has neither fault.\n";

struct webconf {
        const struct site *site;
        const char *root;
        char match[4096]; /* @MATCH@; a path has at most 1,032 bytes */
        char retry[16], sticky[16];
};

static void fill(FILE *out, const struct webconf *conf, const char *text)
{
        const struct {
                const char *name, *value;
        } values[] = {
                { "@SITE@", conf->site->name },
                { "@ROOT@", conf->root },
                { "@MATCH@", conf->match },
                { "@PRIVATE@", conf->site->database.path },
                { "@HOME@", conf->site->home },
                { "@OTHER@",
                  conf->site->front.other_pool != NULL ? conf->site->front.other_pool : LIVE_POOL },
                { "@RETRY@", conf->retry },
                { "@STICKY@", conf->sticky },
                { "@OWNER@", conf->site->owner },
        };

        while (*text != '\0') {
                size_t i = 0, n = sizeof(values) / sizeof(values[0]);

                while (i < n && strncmp(text, values[i].name, strlen(values[i].name)) != 0)
                        i++;
                if (i < n) {
                        (void)fputs(values[i].value, out);
                        text += strlen(values[i].name);
                } else {
                        (void)fputc(*text++, out);
                }
        }
}

/* Both servers give a meaning to most signs in some place; a path with one of them is refused
 * rather than quoted in six ways. */
static int check_plain(const char *path, struct err *err)
{
        for (const char *c = path; *c != '\0'; c++)
                if (!isalnum((unsigned char)*c) && strchr("/._-+@~ ", *c) == NULL &&
                    (unsigned char)*c < 0x80)
                        return err_fail(err, ERR_UNSUPPORTED, 0,
                                        "'%s' has a '%c' in it, which means something in the "
                                        "configuration of web servers: use another path",
                                        path, *c);
        return 0;
}

/* The path as a regular expression. */
static void match_make(struct webconf *conf)
{
        char *to = conf->match;

        for (const char *c = conf->root; *c != '\0'; c++) {
                bool plain = isalnum((unsigned char)*c) || strchr("/_-~@ ", *c) != NULL ||
                             (unsigned char)*c >= 0x80;

                if (!plain)
                        *to++ = '[';
                *to++ = *c;
                if (!plain)
                        *to++ = ']';
        }
}

/* In the order of a printed file; NULL ends it. */
static const struct server {
        const char *name;
        const char *const *parts;
} servers[] = {
        { "nginx",
          (const char *const[]){ webconf_nginx_serve, webconf_nginx_choose, webconf_nginx_keep,
                                 webconf_nginx_guard, webconf_nginx_stay, webconf_nginx_now,
                                 webconf_nginx_session, webconf_nginx_php, webconf_nginx_private,
                                 fpm_notes, NULL } },
        { "apache",
          (const char *const[]){ webconf_apache_serve, webconf_apache_resolve,
                                 webconf_apache_choose, webconf_apache_keep, webconf_apache_guard,
                                 webconf_apache_stay, webconf_apache_session, webconf_apache_other,
                                 webconf_apache_php, webconf_apache_private, fpm_notes, NULL } },
        { "quarantine", (const char *const[]){ webconf_quarantine, NULL } },
};

/* Parts that are not for every site. */
static bool is_wanted(const struct site *site, const char *part)
{
        const char *database = site->database.path;

        if (part == webconf_nginx_private || part == webconf_apache_private)
                return database != NULL && database[0] != '/';
        if (part == webconf_nginx_keep || part == webconf_apache_keep)
                return site->front.keep_version;
        if (part == webconf_nginx_stay || part == webconf_nginx_session ||
            part == webconf_apache_stay || part == webconf_apache_session)
                return site->front.sticky_sec > 0;
        return true;
}

static void print_all(FILE *out, const struct webconf *conf, const struct server *server)
{
        for (const char *const *part = server->parts; *part != NULL; part++)
                if (is_wanted(conf->site, *part))
                        fill(out, conf, *part);
        if (strcmp(server->name, "quarantine") != 0 && strcmp(conf->site->switcher, "mount") == 0)
                fill(out, conf, mount_notes);
}

int webconf_print(const struct site *site, const char *server, char **ret_text, struct err *err)
{
        bool mounts = strcmp(site->switcher, "mount") == 0;
        struct webconf conf = { .site = site };
        CLEANUP(freep) char *current = NULL;
        CLEANUP(freep) char *text = NULL;
        const struct server *found = NULL;
        size_t n = 0;
        FILE *out;

        for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
                if (strcmp(servers[i].name, server) == 0)
                        found = &servers[i];
        if (found == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is none of 'nginx', 'apache', 'quarantine'", server);
        if (asprintf(&current, "%s/current", site->home) < 0)
                return err_oom(err);
        conf.root = mounts ? site->docroot : current;
        if (check_plain(conf.root, err) < 0 ||
            (site->database.path != NULL && check_plain(site->database.path, err) < 0) ||
            (site->front.other_pool != NULL && check_plain(site->front.other_pool, err) < 0))
                return -1;
        (void)snprintf(conf.retry, sizeof(conf.retry), "%u", site->front.retry_sec);
        (void)snprintf(conf.sticky, sizeof(conf.sticky), "%u", site->front.sticky_sec);
        match_make(&conf);

        out = open_memstream(&text, &n);
        if (out == NULL)
                return err_oom(err);
        print_all(out, &conf, found);
        if (fclose(out) != 0)
                return err_oom(err);
        *ret_text = STEAL(text);
        return 0;
}
