/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/units.h"
#include "snapctl/cmd.h"
#include "snapctl/grammar.h"
#include "snapctl/text.h"

/* The same rule as the daemon's: what passes needs no escapes in an URL. */
static bool valid_site(const char *word)
{
        size_t n = strlen(word);

        return n >= 1 && n <= 32 && word[0] >= 'a' && word[0] <= 'z' &&
               strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool valid_number(const char *word)
{
        uint64_t value;

        return text_parse_u64(word, &value);
}

static bool valid_range(const char *word)
{
        uint64_t first, last;

        return text_parse_range(word, &first, &last);
}

static bool valid_duration(const char *word)
{
        struct err ignored;
        uint64_t msec;

        return units_duration(word, &msec, &ignored) == 0 && msec >= 1000;
}

static bool valid_until(const char *word)
{
        int64_t ignored;

        return text_parse_until(word, &ignored);
}

static bool valid_database(const char *word)
{
        size_t n = strcspn(word, ":");

        return word[n] == ':' && word[n + 1] != '\0' &&
               ((n == 6 && strncmp(word, "sqlite", n) == 0) ||
                (n == 7 && strncmp(word, "mariadb", n) == 0) ||
                (n == 8 && strncmp(word, "postgres", n) == 0));
}

static bool valid_pair(const char *word)
{
        size_t n = strcspn(word, "=");

        return n > 0 && word[n] == '=' && word[n + 1] != '\0';
}

static bool valid_url(const char *word)
{
        return strncmp(word, "http://", 7) == 0 || strncmp(word, "https://", 8) == 0;
}

#define SITE_NAME "a site's name (small letters, digits and '-', a letter first, at most 32)"

const struct word_spec word_specs[WORD_KINDS] = {
        [WORD_SITE] = { "SITE", NULL, valid_site, SITE_NAME },
        [WORD_NEW_SITE] = { "NAME", NULL, valid_site, SITE_NAME },
        [WORD_VERSION] = { "N", NULL, valid_number, "a version's number" },
        [WORD_RANGE] = { "RANGE", NULL, valid_range, "a version's number or a range like 3-7" },
        [WORD_OPERATION] = { "ID", NULL, valid_number, "an operation's number" },
        [WORD_TARGET] = { "TARGET", NULL, valid_site, "the name of a file in notices.d" },
        [WORD_MARK] = { "MARK", "good bad none", NULL, "one of good, bad, none" },
        [WORD_SERVER] = { "SERVER", "nginx apache quarantine", NULL,
                          "one of nginx, apache, quarantine" },
        [WORD_FORMAT] = { "FORMAT", "table json csv", NULL, "one of table, json, csv" },
        [WORD_DRIVER] = { "DRIVER", "auto btrfs overlayfs", NULL, "one of auto, btrfs, overlayfs" },
        [WORD_SWITCHER] = { "SWITCHER", "symlink mount", NULL, "one of symlink, mount" },
        [WORD_COLUMNS] = { "A,B", NULL, NULL, "names of columns" },
        [WORD_COUNT] = { "COUNT", NULL, valid_number, "a number from 1" },
        [WORD_DURATION] = { "DURATION", NULL, valid_duration,
                            "a time from 1s, like 90s, 15m or 1h30m" },
        [WORD_UNTIL] = { "TIME", NULL, valid_until, "a time like 2h, 18:30 or 2026-03-01T18:30" },
        [WORD_ADDRESS] = { "ADDRESS", NULL, NULL, "a machine's address" },
        [WORD_REDIRECT] = { "STATUS", "302 307", NULL, "one of 302, 307" },
        [WORD_DIRECTORY] = { "DIR", NULL, NULL, "a directory" },
        [WORD_FILE] = { "PATH", NULL, NULL, "a path" },
        [WORD_SHARED] = { "PATH", NULL, NULL, "a path below the docroot" },
        [WORD_DATABASE] = { "ENGINE:WHERE", NULL, valid_database,
                            "sqlite:PATH, mariadb:NAME or postgres:NAME" },
        [WORD_PAIR] = { "KEY=VALUE", NULL, valid_pair, "KEY=VALUE" },
        [WORD_RULE] = { "'FILE KIND KEY VALUE'", NULL, NULL, "'FILE KIND KEY VALUE'" },
        [WORD_USER] = { "USER", NULL, NULL, "a user's name" },
        [WORD_TEXT] = { "TEXT", NULL, NULL, "a text" },
        [WORD_SPAN] = { "SPAN", "hour day month", NULL, "one of hour, day, month" },
        [WORD_TOPIC] = { "COMMAND", NULL, NULL, "a command" },
        [WORD_PHASE] = { "PHASE", "available scheduled", NULL, "one of available, scheduled" },
        [WORD_URL] = { "URL", NULL, valid_url, "an address like https://shop.example.org/" },
};

const struct option_spec option_specs[OPTIONS] = {
        [OPT_FORMAT] = { "format", '\0', WORD_FORMAT, false, "output as table, json or csv" },
        [OPT_JSON] = { "json", '\0', WORD_NONE, false, "the same as --format json" },
        [OPT_COLUMNS] = { "columns", '\0', WORD_COLUMNS, false, "only these columns" },
        [OPT_NO_HEADERS] = { "no-headers", '\0', WORD_NONE, false, "no header and no footer" },
        [OPT_UTC] = { "utc", '\0', WORD_NONE, false, "times in UTC, not the local ones" },
        [OPT_QUIET] = { "quiet", 'q', WORD_NONE, false, "say nothing but results and errors" },
        [OPT_VERBOSE] = { "verbose", 'v', WORD_NONE, false, "show more" },
        [OPT_DRY_RUN] = { "dry-run", 'n', WORD_NONE, false, "show what would be done" },
        [OPT_YES] = { "yes", 'y', WORD_NONE, false, "do not ask before something is lost" },
        [OPT_NO_WAIT] = { "no-wait", '\0', WORD_NONE, false,
                          "print the operation's number and do not wait for it" },
        [OPT_WAIT] = { "wait", '\0', WORD_NONE, false,
                       "wait until the version that was left is kept, too" },
        [OPT_PLAIN] = { "plain", 'p', WORD_NONE, false, "numbers alone" },
        [OPT_SOCKET] = { "socket", '\0', WORD_FILE, false, "the daemon's socket" },
        [OPT_HELP] = { "help", 'h', WORD_NONE, false, "explain a command" },
        [OPT_VERSION] = { "version", '\0', WORD_NONE, false, "the version of this program" },
        [OPT_LABEL] = { "label", '\0', WORD_TEXT, false, "the release, as it is to be listed" },
        [OPT_REASON] = { "reason", '\0', WORD_TEXT, false, "why, for the list" },
        [OPT_TIMEOUT] = { "timeout", '\0', WORD_DURATION, false,
                          "end the command and undo after this time" },
        [OPT_KEEP] = { "keep", '\0', WORD_COUNT, false, "keep this many versions" },
        [OPT_LIMIT] = { "limit", '\0', WORD_COUNT, false, "at most this many" },
        [OPT_HOME] = { "home", '\0', WORD_DIRECTORY, false, "where the site's versions appear" },
        [OPT_OWNER] = { "owner", '\0', WORD_USER, false, "the user the site belongs to" },
        [OPT_ADOPT] = { "adopt", '\0', WORD_DIRECTORY, false, "take this docroot over" },
        [OPT_SHARED] = { "shared", '\0', WORD_SHARED, true,
                         "shared by all versions (uploads); can be repeated" },
        [OPT_DRIVER] = { "driver", '\0', WORD_DRIVER, false, "how trees are kept" },
        [OPT_POOL] = { "pool", '\0', WORD_DIRECTORY, false, "where trees are kept" },
        [OPT_SWITCHER] = { "switcher", '\0', WORD_SWITCHER, false,
                           "how the served version is switched" },
        [OPT_DATABASE] = { "database", '\0', WORD_DATABASE, false, "the site's database" },
        [OPT_DATABASE_OPTION] = { "database-option", '\0', WORD_PAIR, true,
                                  "a key of [database] in the site's file; can be repeated" },
        [OPT_SET] = { "set", '\0', WORD_RULE, true,
                      "a value of a configuration file, per version; can be repeated" },
        [OPT_TABLE] = { "table", '\0', WORD_TEXT, false, "this table alone" },
        [OPT_SQL] = { "sql", '\0', WORD_FILE, false, "write the rows there, as statements" },
        [OPT_CSV] = { "csv", '\0', WORD_FILE, false, "write the rows there, a line a value" },
        [OPT_TEMPORARY] = { "temporary", '\0', WORD_NONE, false,
                            "for the time being; 'forward' ends it" },
        [OPT_READ_ONLY] = { "read-only", '\0', WORD_NONE, false,
                            "meanwhile nobody can write, so nothing is lost" },
        [OPT_CLOSED] = { "closed", '\0', WORD_NONE, false, "meanwhile visitors get 503" },
        [OPT_STAGED] = { "staged", '\0', WORD_NONE, false,
                         "until it is done serve the old one, read-only; with --closed nothing" },
        [OPT_REDIRECT] = { "redirect", '\0', WORD_REDIRECT, false,
                           "meanwhile lead visitors there; the live version stays" },
        [OPT_UNTIL] = { "until", '\0', WORD_UNTIL, false, "end it by itself then" },
        [OPT_FOR] = { "for", '\0', WORD_DURATION, false, "end it by itself after this time" },
        [OPT_FROM] = { "from", '\0', WORD_ADDRESS, false, "for a tester at this address" },
        [OPT_SPAN] = { "span", '\0', WORD_SPAN, false, "the last hour, day or month" },
        [OPT_WATCH] = { "watch", '\0', WORD_NONE, false, "again every two seconds" },
        [OPT_WITH_SHARED] = { "with-shared", '\0', WORD_NONE, false,
                              "what all versions share, too, as it is now" },
        [OPT_AT] = { "at", '\0', WORD_UNTIL, false, "when it is going to begin" },
        [OPT_PROBE] = { "probe", '\0', WORD_URL, false,
                        "watch the site by its front page, which has this address" },
        [OPT_PRESET] = { "preset", '\0', WORD_TEXT, true,
                         "the probes of this application; can be repeated" },
};

const struct command commands[] = {
        { .words = "list",
          .aliases = { "ls" },
          .args = { { WORD_SITE } },
          .run = cmd_list,
          .help = "list a site's versions" },
        { .words = "show",
          .args = { { WORD_SITE }, { WORD_VERSION, MAYBE } },
          .run = cmd_show,
          .help = "show all about a version, by default the active one" },
        { .words = "status",
          .args = { { WORD_SITE, MAYBE } },
          .run = cmd_status,
          .help = "show the sites, what they run and what is going on" },
        { .words = "upgrade",
          .aliases = { "update" },
          .args = { { WORD_SITE } },
          .options = OPT_BIT(OPT_LABEL) | OPT_BIT(OPT_REASON) | OPT_BIT(OPT_TIMEOUT) |
                     OPT_BIT(OPT_CLOSED) | OPT_BIT(OPT_STAGED),
          .flags = COMMAND_TAKES_ARGV | COMMAND_PLANS,
          .run = cmd_upgrade,
          .help = "keep the running version and upgrade the site in place" },
        { .words = "activate",
          .aliases = { "switch" },
          .args = { { WORD_SITE }, { WORD_VERSION } },
          .options = OPT_BIT(OPT_REASON) | OPT_BIT(OPT_TEMPORARY) | OPT_BIT(OPT_READ_ONLY) |
                     OPT_BIT(OPT_CLOSED) | OPT_BIT(OPT_REDIRECT) | OPT_BIT(OPT_UNTIL),
          .flags = COMMAND_PLANS,
          .run = cmd_activate,
          .help = "switch to a version: code, configuration and database together" },
        { .words = "rollback",
          .args = { { WORD_SITE } },
          .options = OPT_BIT(OPT_REASON),
          .flags = COMMAND_PLANS,
          .run = cmd_rollback,
          .help = "switch to the last good version" },
        { .words = "forward",
          .args = { { WORD_SITE } },
          .options = OPT_BIT(OPT_REASON),
          .flags = COMMAND_PLANS,
          .run = cmd_forward,
          .help = "switch back to where the last rollback came from" },
        { .words = "mount",
          .args = { { WORD_SITE }, { WORD_VERSION } },
          .flags = COMMAND_PLANS,
          .run = cmd_mount,
          .help = "show a version read-only beside the live one" },
        { .words = "umount",
          .aliases = { "unmount" },
          .args = { { WORD_SITE }, { WORD_VERSION } },
          .flags = COMMAND_PLANS,
          .run = cmd_umount,
          .help = "show it no more" },
        { .words = "prune",
          .aliases = { "delete", "rm", "vacuum" },
          .args = { { WORD_SITE }, { WORD_RANGE, ANY } },
          .options = OPT_BIT(OPT_KEEP) | OPT_BIT(OPT_REASON),
          .flags = COMMAND_PLANS,
          .run = cmd_prune,
          .help = "remove versions, by default as the site's policy says" },
        { .words = "export",
          .args = { { WORD_SITE }, { WORD_VERSION }, { WORD_FILE } },
          .options = OPT_BIT(OPT_WITH_SHARED) | OPT_BIT(OPT_REASON),
          .flags = COMMAND_PLANS,
          .run = cmd_export,
          .help = "write a version with its database to a file" },
        { .words = "import",
          .args = { { WORD_SITE }, { WORD_FILE } },
          .options = OPT_BIT(OPT_REASON),
          .flags = COMMAND_PLANS,
          .run = cmd_import,
          .help = "make a kept version of what 'export' wrote" },
        { .words = "pin",
          .args = { { WORD_SITE }, { WORD_VERSION } },
          .run = cmd_pin,
          .help = "keep a version whatever the policy says" },
        { .words = "unpin",
          .args = { { WORD_SITE }, { WORD_VERSION } },
          .run = cmd_unpin,
          .help = "leave a version to the policy again" },
        { .words = "mark",
          .args = { { WORD_SITE }, { WORD_VERSION }, { WORD_MARK } },
          .options = OPT_BIT(OPT_REASON),
          .run = cmd_mark,
          .help = "call a version good or bad" },
        { .words = "diff",
          .args = { { WORD_SITE }, { WORD_VERSION }, { WORD_VERSION } },
          .run = cmd_diff,
          .help = "list the files that differ between two versions" },
        { .words = "lost-writes",
          .args = { { WORD_SITE }, { WORD_VERSION }, { WORD_VERSION } },
          .options = OPT_BIT(OPT_TABLE) | OPT_BIT(OPT_SQL) | OPT_BIT(OPT_CSV),
          .run = cmd_lost_writes,
          .help = "show what was written to one version and another does not have" },
        { .words = "schema",
          .args = { { WORD_SITE }, { WORD_VERSION, MAYBE } },
          .run = cmd_schema,
          .help = "list what a version's database is made of, by default the active one's" },
        { .words = "schema-diff",
          .args = { { WORD_SITE }, { WORD_VERSION }, { WORD_VERSION } },
          .run = cmd_schema_diff,
          .help = "list the tables, columns and more in which two versions' databases differ" },
        { .words = "site add",
          .args = { { WORD_NEW_SITE } },
          .options = OPT_BIT(OPT_HOME) | OPT_BIT(OPT_OWNER) | OPT_BIT(OPT_ADOPT) |
                     OPT_BIT(OPT_SHARED) | OPT_BIT(OPT_DRIVER) | OPT_BIT(OPT_POOL) |
                     OPT_BIT(OPT_SWITCHER) | OPT_BIT(OPT_DATABASE) | OPT_BIT(OPT_DATABASE_OPTION) |
                     OPT_BIT(OPT_SET) | OPT_BIT(OPT_PROBE) | OPT_BIT(OPT_PRESET),
          .required = OPT_BIT(OPT_HOME) | OPT_BIT(OPT_OWNER),
          .flags = COMMAND_TAKES_ARGV | COMMAND_PLANS,
          .run = cmd_site_add,
          .help = "put a site under version control" },
        { .words = "site remove",
          .aliases = { "site rm" },
          .args = { { WORD_SITE } },
          .flags = COMMAND_PLANS,
          .run = cmd_site_remove,
          .help = "give a site back as a plain directory" },
        { .words = "site list",
          .aliases = { "site ls", "sites" },
          .run = cmd_site_list,
          .help = "list the sites" },
        { .words = "site show",
          .args = { { WORD_SITE } },
          .run = cmd_site_show,
          .help = "show all about a site" },
        { .words = "site check",
          .args = { { WORD_SITE, MAYBE } },
          .run = cmd_site_check,
          .help = "name the mistakes in a site's configuration" },
        { .words = "site probe",
          .args = { { WORD_SITE } },
          .run = cmd_site_probe,
          .help = "ask how a site is, now" },
        { .words = "link",
          .aliases = { "links" },
          .args = { { WORD_SITE }, { WORD_VERSION, MAYBE } },
          .options = OPT_BIT(OPT_FOR) | OPT_BIT(OPT_FROM),
          .run = cmd_link,
          .help = "let somebody see a mounted version on the site's own address" },
        { .words = "unlink",
          .args = { { WORD_SITE }, { WORD_TEXT } },
          .run = cmd_unlink,
          .help = "take a link or an address back" },
        { .words = "web-config",
          .args = { { WORD_SITE }, { WORD_SERVER } },
          .run = cmd_web_config,
          .help = "print the lines the web server needs" },
        { .words = "probe",
          .aliases = { "probes" },
          .args = { { WORD_SITE } },
          .options = OPT_BIT(OPT_SPAN) | OPT_BIT(OPT_WATCH),
          .run = cmd_probe,
          .help = "show what was measured" },
        { .words = "ops list",
          .aliases = { "ops", "log" },
          .args = { { WORD_SITE, MAYBE } },
          .options = OPT_BIT(OPT_LIMIT),
          .run = cmd_ops_list,
          .help = "list what was done" },
        { .words = "ops show",
          .args = { { WORD_OPERATION } },
          .run = cmd_ops_show,
          .help = "show an operation's steps" },
        { .words = "ops follow",
          .args = { { WORD_OPERATION } },
          .run = cmd_ops_follow,
          .help = "watch an operation to its end" },
        { .words = "ops abort",
          .args = { { WORD_OPERATION } },
          .run = cmd_ops_abort,
          .help = "stop an operation and take back what it did" },
        { .words = "ops resume",
          .args = { { WORD_OPERATION } },
          .run = cmd_ops_resume,
          .help = "try a held operation again" },
        { .words = "notice list",
          .aliases = { "notices" },
          .options = OPT_BIT(OPT_LIMIT),
          .run = cmd_notice_list,
          .help = "list what was told to whom, and what waits" },
        { .words = "notice test",
          .args = { { WORD_TARGET } },
          .run = cmd_notice_test,
          .help = "send a test now and say what came of it" },
        { .words = "notice retry",
          .args = { { WORD_TARGET, MAYBE } },
          .run = cmd_notice_retry,
          .help = "try what waits or was given up again now" },
        { .words = "notice send",
          .args = { { WORD_SITE }, { WORD_PHASE } },
          .options = OPT_BIT(OPT_LABEL) | OPT_BIT(OPT_AT) | OPT_BIT(OPT_REASON),
          .run = cmd_notice_send,
          .help = "tell that there is a release, or when it is going to be installed" },
        { .words = "notice check",
          .run = cmd_notice_check,
          .help = "name the mistakes in notices.d" },
        { .words = "check",
          .args = { { WORD_SITE } },
          .run = cmd_check,
          .help = "ask: is the site idle and not held? (0 yes, 10 no)" },
        { .words = "pending",
          .args = { { WORD_SITE } },
          .run = cmd_pending,
          .help = "ask: does an upgrade wait? (0 yes, 10 no)" },
        { .words = "version",
          .flags = COMMAND_LOCAL,
          .run = cmd_version,
          .help = "print the version of this program" },
        { .words = "help",
          .args = { { WORD_TOPIC, ANY } },
          .flags = COMMAND_LOCAL,
          .run = cmd_help,
          .help = "explain a command" },
        { .words = "complete",
          .args = { { WORD_TEXT, ANY } },
          .flags = COMMAND_LOCAL | COMMAND_HIDDEN | COMMAND_RAW,
          .run = cmd_complete,
          .help = "what can be typed next" },
};
const size_t n_commands = sizeof(commands) / sizeof(*commands);

const char *command_name(const struct command *command, size_t i)
{
        if (i == 0)
                return command->words;
        return i <= COMMAND_ALIASES ? command->aliases[i - 1] : NULL;
}

const char *command_in_group(const struct command *command, const char *word)
{
        size_t n = strlen(word);

        if (n == 0 || strncmp(command->words, word, n) != 0 || command->words[n] != ' ')
                return NULL;
        return command->words + n + 1;
}

bool command_has_option(const struct command *command, enum option_id option)
{
        if (option == OPT_DRY_RUN)
                return (command->flags & COMMAND_PLANS) != 0;
        return option < OPT_GLOBALS || (command->options & OPT_BIT(option)) != 0;
}

bool word_is_choice(const char *choices, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = choices; *at != '\0' && n > 0; at += strspn(at, " ")) {
                size_t length = strcspn(at, " ");

                if (length == n && memcmp(at, word, n) == 0)
                        return true;
                at += length;
        }
        return false;
}

void option_shown(const struct option_spec *option, char *buf, size_t size)
{
        bool valued = option->value != WORD_NONE;

        (void)snprintf(buf, size, "--%s%s%s", option->name, valued ? " " : "",
                       valued ? word_specs[option->value].shown : "");
}

void command_usage(const struct command *command, bool options, char *buf, size_t size)
{
        FILE *out = fmemopen(buf, size, "w");

        buf[0] = '\0';
        if (out == NULL)
                return;
        (void)fputs(command->words, out);
        for (size_t i = 0; i < COMMAND_ARGS && command->args[i].kind != WORD_NONE; i++) {
                const struct word_spec *word = &word_specs[command->args[i].kind];

                (void)fprintf(out, command->args[i].times == ONCE ? " %s" : " [%s]", word->shown);
                if (command->args[i].times == ANY)
                        (void)fputs("...", out);
        }
        for (size_t i = OPT_GLOBALS; options && i < OPTIONS; i++) {
                bool required = (command->required & OPT_BIT(i)) != 0;
                char shown[OPTION_SHOWN_MAX];

                if ((command->options & OPT_BIT(i)) == 0)
                        continue;
                option_shown(&option_specs[i], shown, sizeof(shown));
                (void)fprintf(out, required ? " %s" : " [%s]", shown);
                if (option_specs[i].many)
                        (void)fputs("...", out);
        }
        if (options && (command->flags & COMMAND_TAKES_ARGV) != 0)
                (void)fputs(" [-- COMMAND [ARG...]]", out);
        (void)fclose(out);
        buf[size - 1] = '\0';
}
