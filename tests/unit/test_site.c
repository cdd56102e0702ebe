/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/words.h"
#include "snapd/site.h"
#include "snapd/site_keys.h"
#include "tests/lib/test.h"

#define GOOD "[site]\nhome = /srv/wiki\nowner = daemon\n"

static struct err err;
static struct site_problems problems;

/* A configuration directory with sites.d/wiki.conf in it; not synced, nothing here is about that.
 */
static int conf_with(const char *text)
{
        int conf_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int fd = -1;

        test_need_syscalls();
        ASSERT(conf_fd >= 0);
        ASSERT(mkdirat(conf_fd, "sites.d", 0755) == 0 || errno == EEXIST);
        fd = openat(conf_fd, "sites.d/wiki.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        return conf_fd;
}

static struct site *load(const char *text)
{
        struct site *site = NULL;

        ASSERT_OK(site_load(conf_with(text), "wiki", NULL, &site, &err));
        return site;
}

/* The text has exactly this mistake, in this line, of this key. */
static void wrong(const char *text, int line, const char *key, const char *message)
{
        struct site *site = NULL;

        site_problems_done(&problems);
        ASSERT_ERR(site_load(conf_with(text), "wiki", &problems, &site, &err), ERR_INVALID,
                   message);
        if (problems.n != 1)
                test_fail(__FILE__, __LINE__, "%zu mistakes in: %s\n# last: %s", problems.n, text,
                          problems.n == 0 ? "" : problems.items[problems.n - 1].message);
        ASSERT_EQ(problems.items[0].line, line);
        ASSERT_STR(problems.items[0].key, key);
        ASSERT(strstr(problems.items[0].message, message) != NULL);
        ASSERT(strstr(problems.items[0].file, "/sites.d/wiki.conf") != NULL);
        ASSERT(site == NULL);
}

/* As wrong(), the line being the fourth, in [site] or where ${line} itself opens a section. */
static void wrong_line(const char *line, const char *key, const char *message)
{
        char text[20000];

        (void)snprintf(text, sizeof(text), GOOD "%s\n", line);
        wrong(text, line[0] == '[' ? 5 : 4, key, message);
}

TEST(a_short_file_has_every_other_value)
{
        struct site *site = load(GOOD);

        ASSERT_STR(site->name, "wiki");
        ASSERT_STR(site->home, "/srv/wiki");
        ASSERT_STR(site->owner, "daemon");
        ASSERT_EQ(site->uid, 1);
        ASSERT_EQ(site->gid, 1);
        ASSERT_STR(site->driver, "auto");
        ASSERT_STR(site->switcher, "symlink");
        ASSERT(site->docroot == NULL && site->pool == NULL && site->command == NULL);
        ASSERT(site->database.engine == NULL && site->n_shared == 0 && site->n_rules == 0);
        ASSERT_EQ(site->timeout_sec, 1800);
        ASSERT_EQ(site->hold_msec, 2000);
        ASSERT_EQ(site->drain_sec, 10);
        ASSERT_EQ(site->after_timeout_sec, 120);
        ASSERT_EQ(site->owner_may, MAY_READ);
        ASSERT_EQ(site->keep.min, 2);
        ASSERT_EQ(site->keep.max, 10);
        ASSERT_STR(site->guard.policy, "rollback");
        ASSERT_STR(site->guard.after, "alert");
        ASSERT_EQ(site->guard.probation_sec, 1800);
        ASSERT_EQ(site->guard.interval_msec, 1000);
        ASSERT_EQ(site->guard.min_samples, 100);
        ASSERT_EQ(site->guard.confirm, 3);
        ASSERT_EQ(site->guard.error_rate_ppm, 10000);
        ASSERT_EQ(site->guard.error_factor_milli, 3000);
        ASSERT_EQ(site->guard.latency_factor_milli, 3000);
        ASSERT_EQ(site->guard.latency_floor_msec, 250);
        site_free(site);
}

TEST(a_full_file_is_read)
{
        struct site *site =
                load("# a comment\n; another\n[site]\nhome=/srv/my wiki\nowner: daemon\r\n"
                     "docroot = /var/www/wiki\ndriver = overlayfs\npool = \"/srv/pool ; one\"\n"
                     "shared = images\n  shared = \" a\"\nowner_may = activate\n"
                     "[database]\nengine = sqlite\npath = /var/lib/wiki\n"
                     "[config]\nset = LocalSettings.php php-assign wgSQLiteDataDir {database_dir}\n"
                     "set = conf.ini regex \"^DB NAME=(.*)\" \"a \\\"b\\\" # c\"\n"
                     "[upgrade]\ncommand = /usr/bin/php -d \"a b\" maintenance/update.php\n"
                     "timeout = 1h\nhold = 500ms\ndrain = 0\n"
                     "[switch]\nmethod = mount\nafter = /bin/systemctl reload php8.2-fpm\n"
                     "[keep]\nmin = 3\nmax = 0\nage = 30d\nspace = 20G\nfree = 1G\n"
                     "[guard]\npolicy = freeze\nprobation = 2h\ninterval = 500ms\n"
                     "min_samples = 50\nconfirm = 4\nerror_rate = 0.25%\nerror_factor = 2.5\n"
                     "latency_factor = 10\nlatency_floor = 1s\nafter = rollback\n");

        ASSERT_STR(site->home, "/srv/my wiki");
        ASSERT_STR(site->docroot, "/var/www/wiki");
        ASSERT_STR(site->pool, "/srv/pool ; one");
        ASSERT_EQ(site->n_shared, 2);
        ASSERT_STR(site->shared[1], " a");
        ASSERT(site->shared[2] == NULL);
        ASSERT_EQ(site->owner_may, MAY_READ | MAY_ACTIVATE);
        ASSERT_STR(site->database.engine, "sqlite");
        ASSERT_EQ(site->n_rules, 2);
        ASSERT_STR(site->rules[0].key, "wgSQLiteDataDir");
        ASSERT_STR(site->rules[1].file, "conf.ini");
        ASSERT_STR(site->rules[1].key, "^DB NAME=(.*)");
        ASSERT_STR(site->rules[1].value, "a \"b\" # c");
        ASSERT_STR(site->command[2], "a b");
        ASSERT_EQ(site->timeout_sec, 3600);
        ASSERT_EQ(site->hold_msec, 500);
        ASSERT_EQ(site->drain_sec, 0);
        ASSERT_STR(site->after_switch[1], "reload");
        ASSERT_EQ(site->keep.age_sec, 30 * 86400);
        ASSERT_EQ(site->keep.space_bytes, 20LL << 30);
        ASSERT_EQ(site->keep.free_bytes, 1LL << 30);
        ASSERT_STR(site->guard.policy, "freeze");
        ASSERT_EQ(site->guard.probation_sec, 7200);
        ASSERT_EQ(site->guard.interval_msec, 500);
        ASSERT_EQ(site->guard.error_rate_ppm, 2500);
        ASSERT_EQ(site->guard.error_factor_milli, 2500);
        ASSERT_EQ(site->guard.latency_factor_milli, 10000);
        ASSERT_EQ(site->guard.latency_floor_msec, 1000);
        ASSERT_STR(site->guard.after, "rollback");
        site_free(site);
}

TEST(each_mistake_names_line_key_and_what_is_expected)
{
        wrong("[site]\nowner = daemon\n", 0, "home", "missing in [site]");
        wrong("[site]\nhome = srv\nowner = daemon\n", 2, "home", "'srv' is not an absolute path");
        wrong("[site]\nhome = /\nowner = daemon\n", 2, "home", "'/' is not a plain path");
        wrong("[site]\nhome = /srv/../etc\nowner = daemon\n", 2, "home", "is not a plain path");
        wrong("[site]\nhome = /srv/a/\nowner = daemon\n", 2, "home", "is not a plain path");
        wrong("[site]\nhome = /srv\nowner = no-such-user\n", 3, "owner", "no user 'no-such-user'");
        wrong("[site]\nhome = /srv\nowner = root\n", 3, "owner", "'root' is root");
        wrong("home = /srv\n" GOOD, 1, "home", "before the first [section]");
        wrong_line("home = /srv/b", "home", "given twice, first in line 2");
        wrong_line("docroot = /var/www ; x", "docroot", "a comment stands on a line of its own");
        wrong_line("docroot =", "docroot", "has no value");
        wrong_line("driver = zfs", "driver", "'zfs' is none of 'auto', 'btrfs', 'overlayfs'");
        wrong_line("owner_may = read eat", "owner_may", "'eat' is none of");
        wrong_line("shared = /images", "shared", "not a relative path");
        wrong_line("shared = a/../b", "shared", "not a relative path");
        wrong_line("just words", "", "'just words': KEY = VALUE is expected");
        wrong_line("[keep]\nage = 30", "age", "'30' is not a duration such as 30m");
        wrong_line("[keep]\nspace = 20", "space", "'20' is not a size such as 20G");
        wrong_line("[keep]\nmin = 0", "min", "from 1 to 10000 are possible");
        wrong_line("[keep]\nmin = 2x", "min", "'2x' is not a number");
        wrong_line("[guard]\npolicy = pray", "policy", "'pray' is none of");
        wrong_line("[guard]\nerror_rate = 1", "error_rate", "'1' is not a share such as 0.5%");
        wrong_line("[guard]\nerror_rate = 0%", "error_rate", "from 0.01% to 90% are possible");
        wrong_line("[guard]\nerror_rate = 1.23456%", "error_rate", "is not a share");
        wrong_line("[guard]\nerror_factor = .5", "error_factor", "is not a factor such as 2.5");
        wrong_line("[guard]\nerror_factor = 0.5", "error_factor", "from 1 to 1000 are possible");
        wrong_line("[guard]\nconfirm = 1", "confirm", "from 2 to 60 are possible");
        wrong_line("[upgrade]\ntimeout = 1500ms", "timeout",
                   "from 1s to 1w are possible, in whole");
        wrong_line("[upgrade]\nhold = 2h", "hold", "from 10ms to 1m are possible");
        wrong_line("[upgrade]\ncommand = php x", "command", "absolute path; there is no shell");
        wrong_line("[upgrade]\ncommand = /bin/sh \"x", "command", "without its other half");
        wrong_line("[config]\nset = a b c", "set", "not 3 words");
        wrong_line("[config]\nset = a perl c d", "set", "no kind of file 'perl'");
        wrong_line("[config]\nset = a ini c x{databse}", "set", "'{databse}' stands for nothing");
        wrong_line("[config]\nset = ../a ini c d", "set", "not a relative path");
        wrong_line("[config]\nset = a ini \"\" d", "set", "is no key of a ini rule");
}

TEST(misspelt_names_get_the_nearest_known_one)
{
        wrong_line("sharde = a", "sharde", "is 'shared' meant?");
        wrong_line("timeout = 1m", "timeout", "it belongs to [upgrade]");
        wrong_line("timout = 1m", "timout", "is 'timeout' of [upgrade] meant?");
        wrong_line("colour = red", "colour", "sitesnap-site.conf(5)");
        wrong("[stie]\nx = 1\ny = 2\n" GOOD, 1, "[stie]", "is [site] meant?");
        wrong("[bogus]\nx = 1\n" GOOD, 1, "[bogus]", "there are [site]");
        wrong("[site\n" GOOD, 1, "[", "a section is '[NAME]'");
        wrong("[site] home = /x\n" GOOD, 1, "[", "alone on its line");
}

TEST(values_that_contradict_each_other_are_named)
{
        wrong_line("docroot = /srv", "docroot", "holds home '/srv/wiki'");
        wrong_line("docroot = /srv/wiki/versions/x", "docroot", "belongs to sitesnap");
        wrong_line("pool = /srv", "pool", "'/srv' holds home");
        wrong("[site]\nhome = /srv/wiki\nowner = daemon\ndocroot = /var/www\npool = /var/www/p\n",
              5, "pool", "lie in one another");
        wrong_line("shared = a\nshared = a/b", "shared", "'a' and 'a/b' lie in one another");
        wrong_line("shared = a\nshared = a", "shared", "once");
        wrong_line("[switch]\nmethod = mount", "method", "set [site] docroot");
        wrong_line("[keep]\nmax = 1", "max", "max 1 is less than min 2");
        wrong_line("[guard]\nprobation = 11s", "probation", "no room for 3 times 1000 ms");
        wrong_line("[database]\nengine = sqlite", "engine", "needs a path, which is missing");
        wrong_line("[database]\npath = /var/db", "path", "engine is missing");
}

TEST(keys_of_a_database_fit_its_engine)
{
        wrong_line("[database]\nengine = mariadb", "engine", "needs a name, which is missing");
        wrong(GOOD "[database]\nengine = mariadb\nname = a\npath = /x\n", 7, "path",
              "does not go with engine mariadb");
        wrong(GOOD "[database]\nengine = mariadb\nname = a\ndatabase = b\n", 7, "database",
              "does not go with engine mariadb");
        wrong(GOOD "[database]\nengine = sqlite\npath = /x\nuser = b\n", 7, "user",
              "does not go with engine sqlite");
        wrong(GOOD "[database]\nengine = postgres\nname = a\nsocket = /s\nhost = h\n", 7, "socket",
              "host is given too");
        wrong(GOOD "[database]\nengine = postgres\nname = a\nport = 70\n", 7, "port",
              "is of no use without host");
        wrong(GOOD "[database]\nengine = postgres\nname = a\nrun_as = root\n", 7, "run_as",
              "is not read as root");
        wrong(GOOD "[database]\nengine = mariadb\nname = a\nway = clone\n", 7, "way",
              "'clone' is none of 'auto', 'snapshot', 'files', 'dump'");
        wrong(GOOD "[database]\nengine = mariadb\nname = a\nstreams = 0\n", 7, "streams",
              "from 1 to 16");
}

TEST(a_database_on_a_server_is_read)
{
        struct site *site = load(
                GOOD "[database]\nengine = postgres\nname = my db\nsocket = /run/postgresql\n"
                     "user = us\nrun_as = daemon\nsecret_file = /etc/x\ndatabase = apps\n"
                     "table_prefix = wp_\napp_user = wiki\nway = snapshot\nstreams = 4\n"
                     "[config]\nset = a.ini ini x {database_name}{database_schema}{database_user}\n"
                     "set = a.ini ini y {database_host}{database_port}{database_socket}\n");

        ASSERT(site_database_serves(site));
        ASSERT_STR(site->database.name, "my db");
        ASSERT_STR(site->database.database, "apps");
        ASSERT_STR(site->database.run_as, "daemon");
        ASSERT_EQ(site->database.streams, 4);
        site_free(site);
}

TEST(neighbours_in_name_only_are_no_contradiction)
{
        site_free(load(GOOD "docroot = /srv/wiki-old\nshared = a\nshared = a-b\nshared = b/a\n"));
        site_free(load(GOOD "docroot = /srv/wiki/htdocs\n[keep]\nmax = 2\n"));
}

TEST(rules_and_database_fit_the_shared_paths)
{
        wrong(GOOD "shared = data\n[database]\nengine = sqlite\npath = data/db\n", 7, "path",
              "belongs to its version");
        wrong_line("[config]\nset = a.ini ini x {database_dir}", "set", "add [database]");
        wrong(GOOD "shared = conf\n[config]\nset = conf/a.ini ini x y\n", 6, "set",
              "cannot differ between versions");
}

TEST(all_mistakes_are_collected)
{
        struct site *site = NULL;

        ASSERT_ERR(site_load(conf_with("[site]\nhome = x\nbogus\nowner = root\n[keep]\nmin = z\n"),
                             "wiki", &problems, &site, &err),
                   ERR_INVALID, "wiki.conf:2: home: 'x' is not an absolute path (and 3 more)");
        ASSERT_EQ(problems.n, 4);
        ASSERT_EQ(problems.items[1].line, 3);
        ASSERT_EQ(problems.items[3].line, 6);
}

TEST(long_lines_and_files_are_refused)
{
        char *text = malloc(90000);

        memset(text, '\0', 90000);
        memcpy(text, GOOD "docroot = /", strlen(GOOD) + 11);
        memset(text + strlen(text), 'x', 9000);
        wrong(text, 4, "", "a line has at most");
        memset(text, '\n', 89999);
        ASSERT_ERR(site_load(conf_with(text), "wiki", NULL, NULL, &err), ERR_INVALID,
                   "longer than 65536 bytes");
        free(text);
}

TEST(a_file_others_can_write_is_refused)
{
        int conf_fd = conf_with(GOOD);
        struct site *site = NULL;

        ASSERT_EQ(fchmodat(conf_fd, "sites.d/wiki.conf", 0664, 0), 0);
        ASSERT_ERR(site_load(conf_fd, "wiki", NULL, &site, &err), ERR_REFUSED, "chmod go-w");
        ASSERT_EQ(fchmodat(conf_fd, "sites.d/wiki.conf", 0644, 0), 0);
        ASSERT_EQ(fchmodat(conf_fd, "sites.d", 0777, 0), 0);
        ASSERT_ERR(site_load(conf_fd, "wiki", NULL, &site, &err), ERR_REFUSED, "chmod go-w");
        if (geteuid() != 0)
                return; /* giving files away is root's */
        ASSERT_EQ(fchmodat(conf_fd, "sites.d", 0755, 0), 0);
        ASSERT_EQ(fchownat(conf_fd, "sites.d/wiki.conf", 1, 1, 0), 0);
        ASSERT_ERR(site_load(conf_fd, "wiki", NULL, &site, &err), ERR_REFUSED, "belongs to uid 1");
}

TEST(links_and_fifos_are_not_followed)
{
        int conf_fd = conf_with(GOOD);
        struct site *site = NULL;

        ASSERT_EQ(symlinkat("wiki.conf", conf_fd, "sites.d/link.conf"), 0);
        ASSERT_ERR(site_load(conf_fd, "link", NULL, &site, &err), ERR_REFUSED, "symbolic link");
        ASSERT_EQ(mkfifoat(conf_fd, "sites.d/fifo.conf", 0600), 0);
        ASSERT_ERR(site_load(conf_fd, "fifo", NULL, &site, &err), ERR_INVALID,
                   "not a regular file");
        ASSERT_ERR(site_load(conf_fd, "none", NULL, &site, &err), ERR_NOT_FOUND, "no site 'none'");
}

TEST(names_are_short_and_plain)
{
        static const char *const bad[] = {
                "",     "-a",  "1a",  "A",   "a.b",
                "../x", "a/b", "a b", "a_b", "a23456789012345678901234567890123"
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                ASSERT_ERR(site_name_valid(bad[i], &err), ERR_INVALID, "a letter first");
        ASSERT_OK(site_name_valid("a", &err));
        ASSERT_OK(site_name_valid("a2345678901234567890123456789012", &err));
}

TEST(a_removed_site_leaves_its_file_aside)
{
        int conf_fd = conf_with(GOOD);

        ASSERT_OK(site_delete_conf(conf_fd, "wiki", &err));
        ASSERT_EQ(faccessat(conf_fd, "sites.d/wiki.conf.removed", F_OK, 0), 0);
        ASSERT_ERR(site_delete_conf(conf_fd, "wiki", &err), ERR_NOT_FOUND, "wiki.conf");
}

TEST(what_a_line_cannot_hold_is_not_saved)
{
        int conf_fd = conf_with(GOOD);
        struct site *site = load(GOOD);
        char *newline[] = { (char *)"/bin/x", (char *)"a\nb", NULL }, **before = site->command;

        site->command = newline;
        ASSERT_ERR(site_save(conf_fd, site, &err), ERR_INVALID, "[upgrade] command: has a control");
        site->command = before;
        free(site->home);
        site->home = strdup("/srv/a\nowner = games");
        ASSERT_ERR(site_save(conf_fd, site, &err), ERR_INVALID, "[site] home");
        site_free(site);
        site_free(load(GOOD)); /* what was there is still there */
}

TEST(what_could_not_be_loaded_again_is_not_saved)
{
        int conf_fd = conf_with(GOOD);
        struct site *site = NULL;

        ASSERT_OK(site_new("wiki", &site, &err));
        ASSERT_ERR(site_check(site, &problems, &err), ERR_INVALID, "missing in [site]");
        ASSERT_EQ(problems.n, 2);
        site->home = strdup("/srv/other");
        site->owner = strdup("root");
        ASSERT_ERR(site_save(conf_fd, site, &err), ERR_INVALID, "'root' is root");
        free(site->owner);
        site->owner = strdup("games");
        ASSERT_OK(site_check(site, NULL, &err));
        site_free(site);
        ASSERT_OK(site_load(conf_fd, "wiki", NULL, &site, &err));
        ASSERT_STR(site->home, "/srv/wiki");
        site_free(site);
}

/* A random site, out of values that are hard to quote. */

static unsigned seed = 7;

static size_t pick(size_t n)
{
        return (size_t)rand_r(&seed) % n;
}

static char *odd_text(const char *prefix)
{
        static const char *const parts[] = { "a",  " ",      "\"", "\\", ";",     "#",
                                             " ;", " #",     "=",  "[",  "$(id)", "\xC3\xA9",
                                             "'",  "{site}", "-",  "," };
        char text[200];
        size_t used = (size_t)snprintf(text, sizeof(text), "%s", prefix);

        for (size_t n = pick(6); n > 0; n--)
                used += (size_t)snprintf(text + used, sizeof(text) - used, "%s",
                                         parts[pick(sizeof(parts) / sizeof(parts[0]))]);
        return strdup(text);
}

static char **odd_argv(void)
{
        char **argv = calloc(5, sizeof(*argv));

        argv[0] = odd_text("/");
        for (size_t i = 1, n = 1 + pick(4); i < n; i++)
                argv[i] = odd_text("");
        return argv;
}

static struct site *odd_site(void)
{
        static const char *const rules[][2] = {
                { "php-define", "DB_NAME" }, { "php-assign", "a.b" },
                { "ini", "a b.c" },          { "env", "A" },
                { "json", "a.0" },           { "regex", "\"a\\\\b; #(.*)" },
        };
        struct site *site = NULL;

        ASSERT_OK(site_parse("wiki", "wiki.conf", GOOD, NULL, &site, &err));
        free(site->home);
        site->home = odd_text("/h");
        if (pick(2) == 0)
                site->docroot = odd_text("/d");
        if (pick(2) == 0)
                site->pool = odd_text("/p");
        site->n_shared = pick(4);
        free(site->shared);
        site->shared = calloc(5, sizeof(char *));
        for (size_t i = 0; i < site->n_shared; i++)
                site->shared[i] = odd_text((const char *const[]){ " a", "b", "\"", "d" }[i]);
        if (pick(4) == 0) {
                site->database.engine = strdup(pick(2) == 0 ? "mariadb" : "postgres");
                site->database.name = strdup("a ; b");
                site->database.host = strdup("db.example.org");
                site->database.port = (unsigned)pick(65536);
                site->database.streams = (unsigned)pick(17);
                site->database.secret_file = odd_text("/s");
                site->database.app_user = strdup("wiki@'10.0.%'");
                site->database.way = strdup("files");
        } else if (pick(2) == 0) {
                site->database.engine = strdup("sqlite");
                site->database.path = odd_text(pick(2) == 0 ? "/x" : "x");
        }
        site->n_rules = pick(4);
        site->rules = calloc(4, sizeof(*site->rules));
        for (size_t i = 0; i < site->n_rules; i++) {
                const char *const *rule = rules[pick(6)];

                site->rules[i] = (struct site_rule){ odd_text("z"), strdup(rule[0]),
                                                     strdup(rule[1]), odd_text("") };
        }
        if (pick(2) == 0)
                site->command = odd_argv();
        if (pick(2) == 0)
                site->after_switch = odd_argv();
        site->timeout_sec = 1 + (unsigned)pick(604800);
        site->drain_sec = (unsigned)pick(3601);
        site->after_timeout_sec = 1 + (unsigned)pick(3600);
        site->hold_msec = 10 + (unsigned)pick(59991);
        site->owner_may = pick(8) == 0 ? 0 : (unsigned)pick(64) | MAY_READ;
        site->keep.min = 1 + (unsigned)pick(100);
        site->keep.max = pick(2) == 0 ? 0 : site->keep.min + (unsigned)pick(100);
        site->keep.age_sec = (int64_t)pick(1 << 30);
        site->keep.space_bytes = (uint64_t)pick(1 << 30) << pick(30);
        site->keep.free_bytes = (uint64_t)pick(1 << 30) << pick(30);
        site->guard.error_rate_ppm = 100 + (unsigned)pick(899901);
        site->guard.error_factor_milli = 1000 + (unsigned)pick(999001);
        site->guard.latency_factor_milli = 1000 + (unsigned)pick(999001);
        site->guard.interval_msec = 200 + (unsigned)pick(60000);
        site->guard.probation_sec = 30000 + (unsigned)pick(86400);
        return site;
}

static void same_text(const char *a, const char *b)
{
        if (a == NULL || b == NULL)
                ASSERT(a == b);
        else
                ASSERT_STR(a, b);
}

static void same_site(const struct site *a, const struct site *b)
{
        same_text(a->home, b->home);
        same_text(a->owner, b->owner);
        same_text(a->docroot, b->docroot);
        same_text(a->pool, b->pool);
        same_text(a->driver, b->driver);
        same_text(a->switcher, b->switcher);
        same_text(a->database.engine, b->database.engine);
        same_text(a->database.path, b->database.path);
        same_text(a->database.name, b->database.name);
        same_text(a->database.host, b->database.host);
        same_text(a->database.secret_file, b->database.secret_file);
        same_text(a->database.app_user, b->database.app_user);
        same_text(a->database.way, b->database.way);
        ASSERT_EQ(a->database.port, b->database.port);
        ASSERT_EQ(a->database.streams, b->database.streams);
        ASSERT_EQ(a->uid, b->uid);
        ASSERT_EQ(a->n_shared, b->n_shared);
        for (size_t i = 0; i < a->n_shared; i++)
                same_text(a->shared[i], b->shared[i]);
        ASSERT_EQ(a->n_rules, b->n_rules);
        for (size_t i = 0; i < a->n_rules; i++) {
                same_text(a->rules[i].file, b->rules[i].file);
                same_text(a->rules[i].kind, b->rules[i].kind);
                same_text(a->rules[i].key, b->rules[i].key);
                same_text(a->rules[i].value, b->rules[i].value);
        }
        ASSERT(words_equal(a->command, b->command));
        ASSERT(words_equal(a->after_switch, b->after_switch));
        ASSERT_EQ(a->timeout_sec, b->timeout_sec);
        ASSERT_EQ(a->drain_sec, b->drain_sec);
        ASSERT_EQ(a->after_timeout_sec, b->after_timeout_sec);
        ASSERT_EQ(a->hold_msec, b->hold_msec);
        ASSERT_EQ(a->owner_may, b->owner_may);
        ASSERT_EQ(memcmp(&a->keep, &b->keep, sizeof(a->keep)), 0);
        same_text(a->guard.policy, b->guard.policy);
        same_text(a->guard.after, b->guard.after);
        ASSERT_EQ(a->guard.probation_sec, b->guard.probation_sec);
        ASSERT_EQ(a->guard.interval_msec, b->guard.interval_msec);
        ASSERT_EQ(a->guard.error_rate_ppm, b->guard.error_rate_ppm);
        ASSERT_EQ(a->guard.error_factor_milli, b->guard.error_factor_milli);
        ASSERT_EQ(a->guard.latency_factor_milli, b->guard.latency_factor_milli);
}

TEST(what_is_written_is_read_again)
{
        for (unsigned run = 0; run < 1000; run++) {
                struct site *site = odd_site(), *again = NULL;

                if (site_resolve(site, &again, &err) < 0)
                        test_fail(__FILE__, __LINE__, "run %u: %s", run, err.msg);
                same_site(site, again);
                site_free(again);
                site_free(site);
        }
}

TEST(what_is_saved_is_loaded_again)
{
        int conf_fd = conf_with(GOOD);

        for (unsigned run = 0; run < 3; run++) {
                struct site *site = odd_site(), *again = NULL;

                ASSERT_OK(site_save(conf_fd, site, &err));
                ASSERT_OK(site_load(conf_fd, "wiki", NULL, &again, &err));
                same_site(site, again);
                site_free(again);
                site_free(site);
        }
}

TEST(every_key_is_in_its_man_page)
{
        CLEANUP(closep) int fd = open(SOURCE_ROOT "/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *page = NULL;

        ASSERT_OK(file_read(fd, "sitesnap-site.conf.5", 1 << 20, &page, NULL, &err));
        for (const struct site_key *key = site_keys; key->key != NULL; key++) {
                char section[64], item[64];
                const char *at, *found, *next;

                (void)snprintf(section, sizeof(section), ".Ss [%s]\\&\n", key->section);
                (void)snprintf(item, sizeof(item), ".It Ic %s ", key->key);
                at = strstr(page, section);
                found = at == NULL ? NULL : strstr(at, item);
                next = at == NULL ? NULL : strstr(at + 1, "\n.Ss ");
                if (found == NULL || (next != NULL && next < found))
                        test_fail(__FILE__, __LINE__, "[%s] %s is not in the man page",
                                  key->section, key->key);
        }
        free(page);
}
