/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/webconf.h"

/*
 * Templates: @SITE@ is the site's name, @ROOT@ what is served, @MATCH@ the same as a regular
 * expression, @PRIVATE@ the database's path relative to it.
 */

static const char nginx_serve[] =
        "# Site '@SITE@': these lines stand in its server block, in place of its own root and\n"
        "# PHP location.\n"
        "root \"@ROOT@\";\n"
        "\n"
        "# The root is a symlink that is flipped while requests run.  open_file_cache would go on\n"
        "# serving what it pointed to before; disable_symlinks would refuse it.\n"
        "open_file_cache off;\n"
        "disable_symlinks off;\n"
        "\n";

static const char nginx_php[] =
        "location ~ \\.php(/|$) {\n"
        "        fastcgi_split_path_info ^(.+?\\.php)(/.*)?$;\n"
        "        set $sitesnap_path_info $fastcgi_path_info; # try_files empties the other\n"
        "        try_files $fastcgi_script_name =404;\n"
        "\n"
        "        # $realpath_root is the version that the symlink names now, looked up once for\n"
        "        # this request: PHP sees one version, however long the request runs, and opcache\n"
        "        # keeps each version's files under their own paths.\n"
        "        fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;\n"
        "        fastcgi_param DOCUMENT_ROOT   $realpath_root;\n"
        "\n"
        "        # With the port: an application that builds its own addresses from it would\n"
        "        # redirect for ever on any port but 80 and 443.\n"
        "        fastcgi_param HTTP_HOST       $http_host;\n"
        "\n"
        "        # The rest of the usual parameters.  Not by an include: most of those set\n"
        "        # DOCUMENT_ROOT too, to the path through the symlink.\n"
        "        fastcgi_param SCRIPT_NAME     $fastcgi_script_name;\n"
        "        fastcgi_param PATH_INFO       $sitesnap_path_info;\n"
        "        fastcgi_param QUERY_STRING    $query_string;\n"
        "        fastcgi_param REQUEST_METHOD  $request_method;\n"
        "        fastcgi_param REQUEST_URI     $request_uri;\n"
        "        fastcgi_param REQUEST_SCHEME  $scheme;\n"
        "        fastcgi_param DOCUMENT_URI    $document_uri;\n"
        "        fastcgi_param CONTENT_TYPE    $content_type;\n"
        "        fastcgi_param CONTENT_LENGTH  $content_length;\n"
        "        fastcgi_param SERVER_PROTOCOL $server_protocol;\n"
        "        fastcgi_param SERVER_SOFTWARE nginx;\n"
        "        fastcgi_param SERVER_NAME     $server_name;\n"
        "        fastcgi_param SERVER_ADDR     $server_addr;\n"
        "        fastcgi_param SERVER_PORT     $server_port;\n"
        "        fastcgi_param REMOTE_ADDR     $remote_addr;\n"
        "        fastcgi_param REMOTE_PORT     $remote_port;\n"
        "        fastcgi_param REMOTE_USER     $remote_user;\n"
        "        fastcgi_param HTTPS           $https if_not_empty;\n"
        "        fastcgi_param GATEWAY_INTERFACE CGI/1.1;\n"
        "        fastcgi_param REDIRECT_STATUS 200;\n"
        "        fastcgi_pass unix:/run/php/php-fpm.sock; # this site's pool\n"
        "}\n";

static const char nginx_private[] = "\n"
                                    "# The database lies inside the tree; nobody downloads it.\n"
                                    "location ^~ \"/@PRIVATE@\" {\n"
                                    "        deny all;\n"
                                    "}\n";

static const char apache_serve[] = "# Site '@SITE@': these lines stand in its VirtualHost, in "
                                   "place of its own DocumentRoot and\n"
                                   "# PHP handler.  Modules: rewrite, proxy, proxy_fcgi.\n"
                                   "DocumentRoot \"@ROOT@\"\n"
                                   "\n"
                                   "# The root is a symlink of root's to a directory of the "
                                   "site's: SymLinksIfOwnerMatch would\n"
                                   "# refuse it.\n"
                                   "<Directory \"@ROOT@\">\n"
                                   "        Options +FollowSymLinks -SymLinksIfOwnerMatch\n"
                                   "        Require all granted\n"
                                   "</Directory>\n"
                                   "\n";

static const char apache_php[] =
        "# Apache cannot resolve a symlink by itself, and PHP would do it again and again within "
        "one\n"
        "# request.  A helper, started once with the server, answers which version the symlink "
        "names\n"
        "# now; each request asks once and hands on the answer, so PHP sees one version, however\n"
        "# long the request runs, and opcache keeps each version's files under their own paths.\n"
        "RewriteEngine On\n"
        "RewriteMap sitesnap \"prg:/usr/bin/perl -MCwd=realpath -lne 'BEGIN{$|=1}print realpath "
        "$_'\" "
        "www-data:www-data\n"
        "RewriteRule ^ - \"[E=SITESNAP_ROOT:${sitesnap:@ROOT@}]\"\n"
        "<FilesMatch \"\\.php$\">\n"
        "        SetHandler \"proxy:unix:/run/php/php-fpm.sock|fcgi://localhost\"\n"
        "        ProxyFCGISetEnvIf \"reqenv('SCRIPT_FILENAME') =~ m#@MATCH@(/.*)$#\" "
        "SCRIPT_FILENAME \"%{reqenv:SITESNAP_ROOT}$1\"\n"
        "        ProxyFCGISetEnvIf \"true\" DOCUMENT_ROOT \"%{reqenv:SITESNAP_ROOT}\"\n"
        "</FilesMatch>\n";

static const char apache_private[] = "\n"
                                     "# The database lies inside the tree; nobody downloads it.\n"
                                     "<Location \"/@PRIVATE@\">\n"
                                     "        Require all denied\n"
                                     "</Location>\n";

static const char fpm_notes[] =
        "\n"
        "# In PHP-FPM's own configuration:\n"
        "#   process_control_timeout = 10s   (section [global]) a reload of FPM, if one is run "
        "after\n"
        "#                                   a switch, lets running requests end; with the "
        "default,\n"
        "#                                   0, they are cut off\n"
        "#   opcache.*                       may stay as they are: each version has a path of its\n"
        "#                                   own, so nothing there is ever out of date, and no "
        "reload\n"
        "#                                   is needed after a switch.  "
        "opcache.memory_consumption\n"
        "#                                   and opcache.max_accelerated_files count for two "
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

static const struct server {
        const char *name;
        const char *serve, *php, *private;
} servers[] = {
        { "nginx", nginx_serve, nginx_php, nginx_private },
        { "apache", apache_serve, apache_php, apache_private },
};

static void print_all(FILE *out, const struct webconf *conf, const struct server *server)
{
        const char *database = conf->site->database.path;

        fill(out, conf, server->serve);
        fill(out, conf, server->php);
        if (database != NULL && database[0] != '/')
                fill(out, conf, server->private);
        fill(out, conf, fpm_notes);
        if (strcmp(conf->site->switcher, "mount") == 0)
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
                return err_fail(err, ERR_INVALID, 0, "'%s' is none of 'nginx', 'apache'", server);
        if (asprintf(&current, "%s/current", site->home) < 0)
                return err_oom(err);
        conf.root = mounts ? site->docroot : current;
        if (check_plain(conf.root, err) < 0 ||
            (site->database.path != NULL && check_plain(site->database.path, err) < 0))
                return -1;
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
