/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/site.h"
#include "snapd/webconf.h"
#include "tests/lib/test.h"

static struct err err;

/* Sites and texts live until the test's process ends. */
static struct {
        struct site *site;
        char *text;
} kept[32];
static size_t n_kept;

static void keep(struct site *site, char *text)
{
        ASSERT(n_kept < sizeof(kept) / sizeof(kept[0]));
        kept[n_kept].site = site;
        kept[n_kept++].text = text;
}

__attribute__((destructor)) static void give_back(void)
{
        while (n_kept-- > 0) {
                site_free(kept[n_kept].site);
                free(kept[n_kept].text);
        }
}

static struct site *site_with(const char *more)
{
        struct site *site = NULL;
        char text[1000];

        (void)snprintf(text, sizeof(text), "[site]\nhome = /srv/wiki 1.4\nowner = daemon\n%s",
                       more);
        ASSERT_OK(site_parse("wiki", "wiki.conf", text, NULL, &site, &err));
        keep(site, NULL);
        return site;
}

static char *lines_for(const struct site *site, const char *server)
{
        char *text = NULL;

        ASSERT_OK(webconf_print(site, server, &text, &err));
        keep(NULL, text);
        return text;
}

static void has(const char *text, const char *line)
{
        if (strstr(text, line) == NULL)
                test_fail(__FILE__, __LINE__, "no '%s' in:\n%s", line, text);
}

/* Exit status of a program; what it says is shown when it fails.  127: there is none. */
static int run(const char *const *argv)
{
        CLEANUP(closep) int said_fd = memfd_create("said", MFD_CLOEXEC);
        CLEANUP(freep) char *said = NULL;
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
                (void)dup2(said_fd, 1);
                (void)dup2(said_fd, 2);
                (void)execvp(argv[0], (char *const *)argv);
                _exit(127);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
        ASSERT(lseek(said_fd, 0, SEEK_SET) == 0);
        ASSERT_OK(file_read_fd(said_fd, 1 << 20, &said, NULL, &err));
        for (const char *line = said; status != 0 && *line != '\0';) {
                size_t n = strcspn(line, "\n");

                printf("# %.*s\n", (int)n, line);
                line += n + (line[n] == '\n');
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_conf(const char *name, const char *text)
{
        CLEANUP(closep) int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(file_replace(fd, name, text, strlen(text), 0644, &err));
}

TEST(nginx_pins_a_request_to_the_resolved_root)
{
        char *text = lines_for(site_with(""), "nginx");

        has(text, "set $sitesnap_root \"/srv/wiki 1.4/current\";\n");
        has(text, "set $sitesnap_root \"$realpath_root\";\n");
        has(text, "SCRIPT_FILENAME $sitesnap_root$fastcgi_script_name;\n");
        has(text, "DOCUMENT_ROOT   $sitesnap_root;\n");
        has(text, "HTTP_HOST       $http_host;\n");
        has(text, "process_control_timeout");
        ASSERT(strstr(text, "$document_root") == NULL);
        ASSERT(strstr(text, "@ROOT@") == NULL && strstr(text, "@HOME@") == NULL);
}

TEST(apache_asks_for_the_resolved_root_once)
{
        char *text = lines_for(site_with(""), "apache");

        has(text, "DocumentRoot \"/srv/wiki 1.4/current\"\n");
        has(text, "RewriteRule ^ - \"[E=SITESNAP_ROOT:${sitesnap:%{ENV:SITESNAP_PATH}}]\"\n");
        has(text, "m#/srv/wiki 1[.]4/current(/.*)$#");
}

TEST(a_database_in_the_tree_is_not_served)
{
        struct site *site = site_with("[database]\nengine = sqlite\npath = data/db\n");

        has(lines_for(site, "nginx"), "location ^~ \"/data/db\" {\n        deny all;");
        has(lines_for(site, "apache"), "<Location \"/data/db\">\n        Require all denied");
}

TEST(a_mounted_docroot_is_served_with_its_price_said)
{
        struct site *site = site_with("docroot = /var/www/w\n[switch]\nmethod = mount\n");
        char *text = lines_for(site, "nginx");

        has(text, "set $sitesnap_root \"/var/www/w\";\n");
        has(text, "after = /usr/bin/systemctl reload");
}

TEST(sessions_stay_only_where_that_is_asked)
{
        static const char *const servers[] = { "nginx", "apache" };

        for (size_t i = 0; i < 2; i++) {
                char *text = lines_for(site_with("[front]\nsticky = 90s\n"), servers[i]);

                has(text, "/front/stay/");
                has(text, "Max-Age=90;");
                ASSERT(strstr(lines_for(site_with(""), servers[i]), "sitesnap_session") == NULL);
        }
}

TEST(other_servers_and_odd_paths_are_refused)
{
        struct site *site = site_with("");
        char *text = NULL;

        ASSERT_ERR(webconf_print(site, "iis", &text, &err), ERR_INVALID,
                   "none of 'nginx', 'apache'");
        free(site->home);
        site->home = strdup("/srv/a$b");
        ASSERT_ERR(webconf_print(site, "nginx", &text, &err), ERR_UNSUPPORTED, "has a '$' in it");
        ASSERT(text == NULL);
}

TEST(nginx_accepts_the_lines)
{
        const char *dir = test_tmpdir();
        char file[256], *text = NULL;
        const char *argv[] = { "nginx", "-t", "-p", dir,
                               "-c",    file, "-g", "pid nginx.pid; error_log stderr;",
                               NULL };
        struct site *site = site_with("[database]\nengine = sqlite\npath = "
                                      "data\n[front]\nkeep_version = yes\nsticky = 1h\n");
        int status;

        (void)snprintf(file, sizeof(file), "%s/nginx.conf", dir);
        ASSERT(asprintf(&text,
                        "events {}\nhttp { access_log off; client_body_temp_path b; "
                        "proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; "
                        "scgi_temp_path s;\nserver { listen unix:%s/sock;\n%s} }\n",
                        dir, lines_for(site, "nginx")) > 0);
        keep(NULL, text);
        write_conf("nginx.conf", text);
        status = run(argv);
        if (status == 127)
                test_skip("nginx is not installed");
        ASSERT_EQ(status, 0);
}

#define LOAD(name) "LoadModule " name "_module /usr/lib/apache2/modules/mod_" name ".so\n"

TEST(apache_accepts_the_lines)
{
        const char *dir = test_tmpdir();
        char file[256], *text = NULL;
        const char *argv[] = { "apache2", "-t", "-f", file, NULL };
        struct site *site = site_with("[database]\nengine = sqlite\npath = "
                                      "data\n[front]\nkeep_version = yes\nsticky = 1h\n");
        int status;

        (void)snprintf(file, sizeof(file), "%s/apache.conf", dir);
        free(site->home);
        site->home = strdup(dir); /* it looks whether the directory is there */
        ASSERT(asprintf(&text,
                        "ServerRoot %s\nServerName localhost\nPidFile pid\nErrorLog log\n"
                        "Listen 127.0.0.1:1\n" LOAD("mpm_event") LOAD("authz_core") LOAD("headers")
                                LOAD("rewrite") LOAD("proxy")
                                        LOAD("proxy_fcgi") "<VirtualHost *:1>\n%s</VirtualHost>\n",
                        dir, lines_for(site, "apache")) > 0);
        keep(NULL, text);
        write_conf("apache.conf", text);
        status = run(argv);
        if (status == 127)
                test_skip("apache2 is not installed");
        ASSERT_EQ(status, 0);
}
