/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/rewrite.h"
#include "tests/lib/test.h"

static struct err err;

static char *fixture(const char *name, size_t *n)
{
        const char *dir = getenv("SITESNAP_TEST_CONFIG");
        CLEANUP(closep)
        int fd = openat(AT_FDCWD, dir == NULL ? "tests/unit/config" : dir, O_RDONLY | O_DIRECTORY);
        char *data;

        ASSERT(fd >= 0);
        ASSERT_OK(file_read(fd, name, REWRITE_FILE_MAX, &data, n, &err));
        return data;
}

/* Apply one rule to text; the result, or NULL with err filled. */
static char *apply(const char *text, const char *kind, const char *key, const char *value)
{
        const struct rewrite_rule rule = { kind, key, value };
        char *out;
        size_t n;

        if (rewrite_apply("f", text, strlen(text), &rule, 1, &out, &n, &err) < 0)
                return NULL;
        ASSERT_EQ(strlen(out), n);
        return out;
}

#define ASSERT_APPLIED(text, kind, key, value, wanted)                                             \
        do {                                                                                       \
                char *out_ = apply(text, kind, key, value);                                        \
                if (out_ == NULL)                                                                  \
                        test_fail(__FILE__, __LINE__, "%s", err.msg);                              \
                ASSERT_STR(out_, wanted);                                                          \
                free(out_);                                                                        \
        } while (0)

#define ASSERT_NOT(text, kind, key, code, message)                                                 \
        ASSERT_ERR(apply(text, kind, key, "new") == NULL ? -1 : 0, code, message)

static void assert_reads(const char *text, const char *kind, const char *key, const char *wanted)
{
        char *value = NULL;

        ASSERT_OK(rewrite_read("f", text, strlen(text), kind, key, &value, &err));
        ASSERT_STR(value, wanted);
        free(value);
}

/* A setting of a fixture: what it is, and how another value is written in its place. */
struct setting {
        const char *file, *kind, *key;
        const char *is;                    /* NULL: an expression */
        const char *was_written, *written; /* for the value below */
};
#define VALUE "/srv/x/db/snap12_shop"

static const struct setting settings[] = {
        { "wp-config.php", "php-define", "DB_NAME", "shop", "'DB_NAME', 'shop'",
          "'DB_NAME', '" VALUE "'" },
        { "wp-config.php", "php-define", "DB_PASSWORD", "it's \\ se\"cret $x",
          "'it\\'s \\\\ se\"cret $x'", "'" VALUE "'" },
        { "wp-config.php", "php-define", "DB_DIR", NULL, "__DIR__ . '/wp-content/database/'",
          "'" VALUE "'" },
        { "wp-config.php", "php-define", "DB_FILE", ".ht.sqlite", "'.ht.sqlite'", "'" VALUE "'" },
        { "wp-config.php", "php-define", "SECURE_AUTH_KEY", "put your unique phrase here",
          "\"put your unique phrase here\"", "'" VALUE "'" },
        { "wp-config.php", "php-assign", "table_prefix", "wp_", "'wp_'", "'" VALUE "'" },
        { "wp-config.php", "regex", "^define\\( 'DB_HOST', '([^']*)' \\);$",
          "localhost:/run/mysqld/mysqld.sock", "localhost:/run/mysqld/mysqld.sock", VALUE },
        { "LocalSettings.php", "php-assign", "wgDBname", "my_wiki", "\"my_wiki\"", "'" VALUE "'" },
        { "LocalSettings.php", "php-assign", "$wgSQLiteDataDir", "/srv/wiki/data",
          "\"/srv/wiki/data\"", "'" VALUE "'" },
        { "LocalSettings.php", "php-assign", "wgDBprefix", "mw_", "\"mw_\"", "'" VALUE "'" },
        { "LocalSettings.php", "php-assign", "wgObjectCaches.CACHE_DB.server.dbDirectory", NULL,
          "'wikicache',\n\t\t'tablePrefix' => '',\n\t\t'variables' => [ 'synchronous' => "
          "'NORMAL' ],\n\t\t'dbDirectory' => $wgSQLiteDataDir",
          "'wikicache',\n\t\t'tablePrefix' => '',\n\t\t'variables' => [ 'synchronous' => "
          "'NORMAL' ],\n\t\t'dbDirectory' => '" VALUE "'" },
        { "LocalSettings.php", "php-assign", "wgObjectCaches[CACHE_DB]['server']['dbname']",
          "wikicache", "'wikicache'", "'" VALUE "'" },
        { "LocalSettings.php", "php-assign", "wgJobTypeConf.default.server.dbname", NULL,
          "\"{$wgDBname}_jobqueue\"", "'" VALUE "'" },
        { "settings.php", "php-assign", "databases.default.default.database", "drupal",
          "'database' => 'drupal'", "'database' => '" VALUE "'" },
        { "settings.php", "php-assign", "databases['legacy']['default']['prefix']['default']", "x_",
          "'x_'", "'" VALUE "'" },
        { "settings.php", "php-assign", "databases.default.default.port", "3306", "3306",
          "'" VALUE "'" },
        { "settings.php", "php-assign", "CFG->dbname", "moodle", "'moodle'", "'" VALUE "'" },
        { "settings.php", "php-assign", "CFG->dboptions.dbsocket", "/run/mysqld/mysqld.sock",
          "'/run/mysqld/mysqld.sock'", "'" VALUE "'" },
        { "settings.php", "php-assign", "db", "joomla", "'joomla'", "'" VALUE "'" },
        { "settings.php", "php-assign", "return.db.name", "laravel", "'laravel'", "'" VALUE "'" },
        { "config.ini.php", "ini", "database.dbname", "matomo", "dbname = matomo ;",
          "dbname = " VALUE " ;" },
        { "config.ini.php", "ini", "database.host", "127.0.0.1", "\"127.0.0.1\"", "\"" VALUE "\"" },
        { "config.ini.php", "ini", "database_reader.path", "/srv/a=b:c", "/srv/a=b:c", VALUE },
        { "config.ini.php", "ini", "database_reader.empty", "", "empty =\n", "empty =" VALUE "\n" },
        { "config.ini.php", "ini", "toplevel", "1", "toplevel = 1", "toplevel = " VALUE },
        { "config.ini.php", "ini", "General.salt", "a;b", "'a;b'", "\"" VALUE "\"" },
        { "env", "env", "DB_DATABASE", "/srv/app/database.sqlite",
          "/srv/app/database.sqlite # inline", VALUE " # inline" },
        { "env", "env", "DB_USERNAME", "app user", "'app user'", "'" VALUE "'" },
        { "env", "env", "DB_PASSWORD", "p\"a$s s", "\"p\\\"a\\$s s\"", "'" VALUE "'" },
        { "env", "env", "DB_URL", NULL, "\"sqlite://${DB_DATABASE}\"", "'" VALUE "'" },
        { "env", "env", "EMPTY", "", "EMPTY=", "EMPTY=" VALUE },
        { "config.json", "json", "database.connection.filename", "/var/lib/ghost/content/data.db",
          "\"/var/lib/ghost\\/content/data.db\"", "\"" VALUE "\"" },
        { "config.json", "json", "database.pool.1.name", "b\"c", "\"b\\\"c\"", "\"" VALUE "\"" },
        { "config.json", "json", "database.pool.2", "last", "\"last\"", "\"" VALUE "\"" },
        { "config.json", "json", "database.connection.port", "3306", "3306", "\"" VALUE "\"" },
        { "config.json", "json", "db", "escaped key", "\"escaped key\"", "\"" VALUE "\"" },
};
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

TEST(settings_of_real_files_are_read)
{
        for (size_t i = 0; i < N_SETTINGS; i++) {
                const struct setting *s = &settings[i];
                size_t n;
                CLEANUP(freep) char *text = fixture(s->file, &n);
                char *value;

                if (s->is != NULL)
                        assert_reads(text, s->kind, s->key, s->is);
                else
                        ASSERT_ERR(rewrite_read(s->file, text, n, s->kind, s->key, &value, &err),
                                   ERR_UNSUPPORTED, "not a plain value");
        }
}

TEST(settings_of_real_files_are_written_and_all_else_stays)
{
        for (size_t i = 0; i < N_SETTINGS; i++) {
                const struct setting *s = &settings[i];
                const struct rewrite_rule rule = { s->kind, s->key, VALUE };
                size_t n, n_out, at;
                CLEANUP(freep) char *text = fixture(s->file, &n);
                CLEANUP(freep) char *wanted = malloc(n + 300);
                char *out, *place = strstr(text, s->was_written);

                ASSERT(place != NULL && strstr(place + 1, s->was_written) == NULL);
                at = (size_t)(place - text);
                (void)snprintf(wanted, n + 300, "%.*s%s%s", (int)at, text, s->written,
                               place + strlen(s->was_written));
                ASSERT_OK(rewrite_apply(s->file, text, n, &rule, 1, &out, &n_out, &err));
                ASSERT_STR(out, wanted);
                free(out);
        }
}

TEST(all_rules_of_a_file_are_applied_together)
{
        const struct rewrite_rule rules[] = {
                { "php-assign", "wgDBname", "snap3_wiki" },
                { "php-assign", "wgSQLiteDataDir", "/srv/wiki/db/snap3_wiki" },
                { "php-assign", "wgDBprefix", "" },
        };
        size_t n, n_out;
        CLEANUP(freep) char *text = fixture("LocalSettings.php", &n);
        CLEANUP(freep) char *out = NULL;

        ASSERT_OK(rewrite_apply("L", text, n, rules, 3, &out, &n_out, &err));
        assert_reads(out, "php-assign", "wgDBname", "snap3_wiki");
        assert_reads(out, "php-assign", "wgDBprefix", "");
        assert_reads(out, "php-assign", "wgSQLiteDataDir", "/srv/wiki/db/snap3_wiki");
}

TEST(values_are_escaped_for_their_format)
{
        ASSERT_APPLIED("<?php $a = \"x\";", "php-assign", "a", "it's \\' $b {$c} ?> \"",
                       "<?php $a = 'it\\'s \\\\\\' $b {$c} ?> \"';");
        ASSERT_APPLIED("<?php $a = 12;", "php-assign", "a", "3307", "<?php $a = 3307;");
        ASSERT_APPLIED("<?php $a = 12;", "php-assign", "a", "007", "<?php $a = '007';");
        ASSERT_APPLIED("A=x", "env", "A", "a b$c", "A='a b$c'");
        ASSERT_APPLIED("A=x", "env", "A", "it's $5 \\ `", "A=\"it's \\$5 \\\\ \\`\"");
        ASSERT_APPLIED("[s]\na=x", "ini", "s.a", "a b", "[s]\na=\"a b\"");
        ASSERT_APPLIED("{\"a\":1}", "json", "a", "q\"\\/\xc3\xa4",
                       "{\"a\":\"q\\\"\\\\/\xc3\xa4\"}");
        ASSERT_APPLIED("{\"a\":1}", "json", "a", "22", "{\"a\":22}");
}

TEST(values_that_cannot_be_written_are_refused)
{
        ASSERT(apply("<?php $a = 1;", "php-assign", "a", "x\ny") == NULL);
        ASSERT(strstr(err.msg, "control character") != NULL);
        ASSERT(apply("[s]\na=\"x\"", "ini", "s.a", "x\"y") == NULL);
        ASSERT(strstr(err.msg, "cannot be written in an INI file") != NULL);
        ASSERT(apply("{\"a\":1}", "json", "a", "\xff") == NULL);
        ASSERT(strstr(err.msg, "UTF-8") != NULL);
        /* The pattern would read something else. */
        ASSERT(apply("a=1;", "regex", "a=([^;]*);", "x;y") == NULL);
        ASSERT(strstr(err.msg, "read the same") != NULL);
}

TEST(php_comments_strings_and_text_outside_do_not_match)
{
        static const char define[] =
                "define('A','html');<?php // define('A','1');\n# define('A','2');\n"
                "/* define('A','3'); */ $x = \"define('A','4');\"; $y = 'define(\\'A\\',5);';"
                "$z = <<<E\ndefine('A','6');"
                "\n  E;\n$o->define('A', '7'); X::define('A', '8'); function define($a) {}\n"
                "// ?> define('A','9'); <?php\ndefine  ( /* c */ \"A\" , # c\n 'yes' , true ) ;";

        assert_reads(define, "php-define", "A", "yes");
        assert_reads("<?php const A = 'c'; class B { const A = 'd'; }", "php-define", "A", "c");
        assert_reads("<?php $a = 'x'; f($a == 'y', $a = 'z'); function g($a = 'w') {} if ($a === 1)"
                     " $b['a'] = 'v'; $b->a = 'u'; $$a = 't'; X::$a = 's'; $aa = 'r'; $A = 'q';",
                     "php-assign", "a", "x");
        assert_reads("<?php $a = 'x'; __halt_compiler(); $a = 'y';", "php-assign", "a", "x");
        assert_reads("<?php $a = 'x' ?> $a = 'y';", "php-assign", "a", "x");
        ASSERT_NOT("$a = 'x';", "php-assign", "a", ERR_NOT_FOUND, "'a' is not set");
}

TEST(a_setting_that_is_set_twice_is_said_so)
{
        ASSERT_NOT("<?php\ndefine('A', 1);\n\ndefine('A', 2);", "php-define", "A", ERR_INVALID,
                   "f:4: it is set here and in line 2 too");
        ASSERT_NOT("<?php\n$a = 1;\n$a = 2;", "php-assign", "a", ERR_INVALID, "f:3:");
        ASSERT_NOT("<?php\n$a['x'] = 1;\n$a = ['x' => 2];", "php-assign", "a.x", ERR_INVALID,
                   "f:3:");
        ASSERT_NOT("<?php\n$a = ['x' => 1,\n'x' => 2];", "php-assign", "a.x", ERR_INVALID, "f:3:");
        ASSERT_NOT("<?php\n$a['x'] = 1;\n$a = [];", "php-assign", "a.x", ERR_INVALID,
                   "f:3: what line 2 sets is replaced here");
        ASSERT_NOT("<?php\n$a = 'x';\n$a .= 'y';", "php-assign", "a", ERR_INVALID,
                   "f:3: it is changed by '.='");
        ASSERT_NOT("<?php\n$a = $b = 'y';", "php-assign", "a", ERR_INVALID, "more than one thing");
        ASSERT_NOT("[s]\na=1\na=2\n", "ini", "s.a", ERR_INVALID, "f:3: it is set here and in");
        ASSERT_NOT("A=1\nexport A=2\n", "env", "A", ERR_INVALID, "f:2: it is set here and in");
        ASSERT_NOT("{\"a\":1,\"a\":2}", "json", "a", ERR_INVALID, "duplicate");
        ASSERT_NOT("a=1\na=2\n", "regex", "^a=(.*)$", ERR_INVALID, "f:2:");
}

TEST(what_is_not_there_is_not_found)
{
        ASSERT_NOT("<?php ", "php-define", "A", ERR_NOT_FOUND, "rule php-define A: f: no const");
        ASSERT_NOT("<?php $a = ['x' => 1] + $more;", "php-assign", "a.x", ERR_NOT_FOUND, "not set");
        ASSERT_NOT("[t]\na=1\n;[s]\n;a=1", "ini", "s.a", ERR_NOT_FOUND, "'s.a' is not set");
        ASSERT_NOT("#A=1\nB=A=1\n", "env", "A", ERR_NOT_FOUND, "'A' is not set");
        ASSERT_NOT("{\"a\":{\"b\":1}}", "json", "a.c", ERR_NOT_FOUND, "'a.c' is not set");
        ASSERT_NOT("[1]", "json", "1", ERR_NOT_FOUND, "not set");
        ASSERT_NOT("b=1", "regex", "^a=(.*)$", ERR_NOT_FOUND, "nowhere");
        ASSERT_NOT("", "env", "A", ERR_NOT_FOUND, "not set");
}

TEST(files_that_are_not_what_they_should_be_are_refused)
{
        char *out;
        size_t n;

        ASSERT_NOT("<?php $a = 'x;", "php-assign", "a", ERR_INVALID, "f:1: a string begins");
        ASSERT_NOT("<?php\n/* $a = 'x';", "php-assign", "a", ERR_INVALID, "f:2: a comment begins");
        ASSERT_NOT("<?php $a = <<<E\nx\n", "php-assign", "a", ERR_INVALID, "a string begins");
        ASSERT_NOT("<?php $a = 'x'", "php-assign", "a", ERR_INVALID, "no end");
        ASSERT_NOT("<?php $a = ;", "php-assign", "a", ERR_INVALID, "no value");
        ASSERT_NOT("[s]\na=1\n what\n", "ini", "s.a", ERR_INVALID, "f:3: this is no INI line");
        ASSERT_NOT("A='x\n", "env", "A", ERR_INVALID, "a quote begins");
        ASSERT_NOT("A='x'y\n", "env", "A", ERR_INVALID, "glued");
        ASSERT_NOT("{\"a\":1,}", "json", "a", ERR_INVALID, "not valid JSON");
        ASSERT_NOT("{\"a\":{}}", "json", "a", ERR_INVALID, "settings of its own");
        ASSERT_NOT("ab", "regex", "a|(b)", ERR_INVALID, "without its group");
        ASSERT_ERR(rewrite_apply("f", "a\0b", 3, NULL, 0, &out, &n, &err), ERR_INVALID, "NUL byte");
}

TEST(rules_that_make_no_sense_are_refused)
{
        ASSERT_ERR(rewrite_check_rule("perl", "a", &err), ERR_INVALID, "no kind of file 'perl'");
        ASSERT_ERR(rewrite_check_rule("php-define", "A'", &err), ERR_INVALID, "name of a constant");
        ASSERT_ERR(rewrite_check_rule("php-assign", "a..b", &err), ERR_INVALID, "steps from it");
        ASSERT_ERR(rewrite_check_rule("php-assign", "a['b", &err), ERR_INVALID, "steps from it");
        ASSERT_ERR(rewrite_check_rule("php-assign", "1a", &err), ERR_INVALID, "steps from it");
        ASSERT_ERR(rewrite_check_rule("ini", "a.", &err), ERR_INVALID, "section.key");
        ASSERT_ERR(rewrite_check_rule("env", "A B", &err), ERR_INVALID, "variable's name");
        ASSERT_ERR(rewrite_check_rule("json", "a..b", &err), ERR_INVALID, "a path");
        ASSERT_ERR(rewrite_check_rule("regex", "a", &err), ERR_INVALID, "exactly one group");
        ASSERT_ERR(rewrite_check_rule("regex", "(a)(b)", &err), ERR_INVALID, "exactly one group");
        ASSERT_ERR(rewrite_check_rule("regex", "(a", &err), ERR_INVALID, "exactly one group");
        ASSERT_ERR(rewrite_check_rule("env", "", &err), ERR_INVALID, "variable's name");
        ASSERT_OK(rewrite_check_rule("php-assign", "a['x.y'][\"z\"]->c.d[E]", &err));
}

TEST(a_later_rule_may_not_undo_an_earlier_one)
{
        const struct rewrite_rule rules[] = {
                { "env", "A", "one" },
                { "regex", "^A=(.*)$", "two" },
        };
        char *out;
        size_t n;

        ASSERT_ERR(rewrite_apply("f", "A=0\n", 4, rules, 2, &out, &n, &err), ERR_INVALID,
                   "env A is undone by a later rule");
}

TEST(a_hostile_text_cannot_burn_time_in_a_pattern)
{
        size_t n = 200000;
        CLEANUP(freep) char *text = malloc(n + 1);
        clock_t before = clock();
        char *value;

        memset(text, 'a', n);
        text[n] = '\0';
        ASSERT_ERR(rewrite_read("f", text, n, "regex", "(a+)+[bc]", &value, &err), ERR_INVALID,
                   "takes too long");
        ASSERT_ERR(rewrite_read("f", text, n, "regex", "(x?)a*a*a*[bc]", &value, &err), ERR_INVALID,
                   "takes too long");
        /* Another one that reads far without ever giving back. */
        ASSERT_ERR(rewrite_read("f", text, n, "regex", "[^;]*+[;,](x?)", &value, &err), ERR_INVALID,
                   "takes too long");
        ASSERT((clock() - before) / CLOCKS_PER_SEC < 5);
}

/* Whatever the text is, the outcome is an error or the text with other bytes in one place only,
 * and reading it gives the value. */
static void try_text(const struct setting *s, const char *text, size_t n, unsigned *applied)
{
        const struct rewrite_rule rule = { s->kind, s->key, VALUE };
        size_t n_out, same = 0, tail = 0;
        char *out, *value;

        if (rewrite_apply(s->file, text, n, &rule, 1, &out, &n_out, &err) < 0) {
                ASSERT(err.code > 0 && err.code < ERR_CODES && err.msg[0] != '\0');
                return;
        }
        ASSERT_OK(rewrite_read(s->file, out, n_out, s->kind, s->key, &value, &err));
        ASSERT_STR(value, VALUE);
        while (same < n && same < n_out && text[same] == out[same])
                same++;
        while (tail < n - same && tail < n_out - same &&
               text[n - 1 - tail] == out[n_out - 1 - tail])
                tail++;
        /* What differs is no more than the literal. */
        ASSERT(n_out - same - tail <= strlen(VALUE) + 2);
        free(value);
        free(out);
        ++*applied;
}

/* Positions of a file are shared out among its settings: each is tried with one of them. */
static bool is_turn(size_t setting, size_t position)
{
        size_t all = 0, rank = 0;

        for (size_t i = 0; i < N_SETTINGS; i++)
                if (strcmp(settings[i].file, settings[setting].file) == 0) {
                        rank += i < setting;
                        all++;
                }
        return position % all == rank;
}

TEST(truncated_files_give_an_error_or_one_changed_value)
{
        unsigned applied = 0;

        for (size_t i = 0; i < N_SETTINGS; i++) {
                size_t n;
                CLEANUP(freep) char *text = fixture(settings[i].file, &n);

                for (size_t cut = 0; cut <= n; cut++) {
                        CLEANUP(freep) char *head = malloc(cut + 1);

                        if (!is_turn(i, cut))
                                continue;
                        memcpy(head, text, cut);
                        head[cut] = '\0';
                        try_text(&settings[i], head, cut, &applied);
                }
        }
        ASSERT(applied >= 100);
        printf("# %u of the files were still good\n", applied);
}

TEST(files_with_a_flipped_byte_give_an_error_or_one_changed_value)
{
        static const unsigned char flips[] = { 0x01, 0x02, 0x20, 0x80, 0xff };
        unsigned applied = 0;

        for (size_t i = 0; i < N_SETTINGS; i++) {
                size_t n;
                CLEANUP(freep) char *text = fixture(settings[i].file, &n);

                for (size_t at = 0; at < n; at++) {
                        char was = text[at];

                        if (!is_turn(i, at))
                                continue;
                        text[at] = (char)((unsigned char)was ^ flips[at % sizeof(flips)]);
                        try_text(&settings[i], text, n, &applied);
                        text[at] = was;
                }
        }
        ASSERT(applied > 1000);
        printf("# %u of the files were still good\n", applied);
}
