/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/words.h"
#include "snapctl/cmd.h"
#include "snapctl/progress.h"
#include "snapctl/site.h"
#include "snapctl/text.h"
#include "snapctl/version.h"

static const struct column columns[] = {
        { "name", "Site", CELL_TEXT, 0 },
        { "state", "State", CELL_TEXT, 0 },
        { "active", "Active", CELL_NUMBER, 0 },
        { "last_good", "Last good", CELL_NUMBER, 0 },
        { "versions", "Versions", CELL_NUMBER, 0 },
        { "owner", "Owner", CELL_TEXT, 0 },
        { "driver", "Driver", CELL_TEXT, 0 },
        { "database", "Database", CELL_TEXT, 0 },
        { "home", "Home", CELL_TEXT, COLUMN_FLEXIBLE },
        { "docroot", "Docroot", CELL_TEXT, COLUMN_FLEXIBLE | COLUMN_EXTRA },
        { "pool", "Pool", CELL_TEXT, COLUMN_FLEXIBLE | COLUMN_EXTRA },
        { "shared", "Shared", CELL_LIST, COLUMN_FLEXIBLE | COLUMN_EXTRA },
        { "track", "Track", CELL_TEXT, COLUMN_EXTRA },
        { "automatic_updates", "Automatic", CELL_TEXT, COLUMN_EXTRA },
        { "operation", "Operation", CELL_NUMBER, COLUMN_EXTRA },
};

static struct row_look look_of(const json_t *value)
{
        const char *state = json_string_value(value);

        if (state != NULL && strcmp(state, "held") == 0)
                return (struct row_look){ '!', COLOUR_RED };
        if (state != NULL && strcmp(state, "busy") == 0)
                return (struct row_look){ '>', COLOUR_BOLD };
        return (struct row_look){ ' ', COLOUR_NONE };
}

const struct table site_table = {
        .member = "sites",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .look_member = "state",
        .look = look_of,
        .empty = "There are no sites yet: see '" SITESNAP_CTL " help site add'.",
};

/* A path as the daemon, which has another working directory, must be told it. */
static int set_path(const struct ctl *ctl, json_t *body, enum option_id option, const char *key,
                    struct err *err)
{
        const char *path = args_option(ctl->args, option);
        CLEANUP(freep) char *here = NULL;

        if (path == NULL || *path == '/')
                return ctl_set_option(ctl, body, option, key, err);
        here = getcwd(NULL, 0);
        if (here == NULL)
                return err_fail(err, ERR_IO, errno,
                                "--%s is relative and the working directory cannot be found",
                                option_specs[option].name);
        return ctl_set(body, key, json_sprintf("%s/%s", strcmp(here, "/") == 0 ? "" : here, path),
                       err);
}

/* The word behind --set is the line of the site's file: file, kind, key and value, each in double
 * quotes when it has blanks in it. */
static int add_rule(json_t *rules, const char *line, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        json_t *rule;
        size_t n;

        if (words_split(line, &words, &n, err) < 0)
                return err_wrap(err, "--set '%s'", line);
        if (n != 4)
                return err_fail(err, ERR_INVALID, 0,
                                "--set takes 'FILE KIND KEY VALUE', a part with blanks in it in "
                                "double quotes, not '%s'",
                                line);
        rule = json_pack("{s:s, s:s, s:s, s:s}", "file", words[0], "kind", words[1], "key",
                         words[2], "value", words[3]);
        if (rule == NULL)
                return err_fail(err, ERR_INVALID, 0, "--set is not valid UTF-8");
        return json_array_append_new(rules, rule) < 0 ? err_oom(err) : 0;
}

/* The options that may stand more than once, each a list in the request. */
static int set_lists(const struct ctl *ctl, json_t *body, struct err *err)
{
        json_t *shared = json_array(), *rules = json_array();
        const char *value;

        if (ctl_set(body, "shared", shared, err) < 0 || ctl_set(body, "config", rules, err) < 0)
                return -1;
        for (size_t i = 0; (value = args_value(ctl->args, OPT_SHARED, i)) != NULL; i++)
                if (json_array_append_new(shared, json_string(value)) < 0)
                        return err_fail(err, ERR_INVALID, 0, "--shared is not valid UTF-8");
        for (size_t i = 0; (value = args_value(ctl->args, OPT_SET, i)) != NULL; i++)
                if (add_rule(rules, value, err) < 0)
                        return -1;
        return ctl_set_words(body, "command", ctl->args->argv, err);
}

/* Of SQLite it is a directory, of a server's a name there; whatever else a server needs to be found
 * and asked goes by the keys of the site's file.  A password is never among it: only the file that
 * holds it is named. */
static int set_database(const struct ctl *ctl, json_t *body, struct err *err)
{
        const char *value = args_option(ctl->args, OPT_DATABASE), *where, *pair;
        json_t *database = json_object();

        if (value == NULL && args_value(ctl->args, OPT_DATABASE_OPTION, 0) != NULL) {
                json_decref(database);
                return err_fail(err, ERR_INVALID, 0,
                                "--database-option is about a --database, which is not given");
        }
        if (value == NULL) {
                json_decref(database);
                return 0;
        }
        if (ctl_set(body, "database", database, err) < 0)
                return -1;
        where = strchr(value, ':');
        if (ctl_set(database, "engine", json_stringn(value, (size_t)(where - value)), err) < 0 ||
            ctl_set(database, strncmp(value, "sqlite:", 7) == 0 ? "path" : "name",
                    json_string(where + 1), err) < 0)
                return -1;
        for (size_t i = 0; (pair = args_value(ctl->args, OPT_DATABASE_OPTION, i)) != NULL; i++) {
                CLEANUP(freep) char *key = strndup(pair, strcspn(pair, "="));

                if (key == NULL)
                        return err_oom(err);
                if (ctl_set(database, key, json_string(strchr(pair, '=') + 1), err) < 0)
                        return -1;
        }
        return 0;
}

/* The address, and the applications whose probes are asked there; each its key of [guard]. */
static int set_guard(const struct ctl *ctl, json_t *body, struct err *err)
{
        const char *url = args_option(ctl->args, OPT_PROBE), *preset;
        char names[400] = "";
        size_t n = 0;

        if (url == NULL && args_value(ctl->args, OPT_PRESET, 0) == NULL)
                return 0;
        if (url == NULL)
                return err_fail(
                        err, ERR_INVALID, 0,
                        "--preset asks for pages: say with --probe where the front page is");
        for (size_t i = 0; (preset = args_value(ctl->args, OPT_PRESET, i)) != NULL; i++)
                if (n < sizeof(names))
                        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
                                              i == 0 ? "" : " ", preset);
        if (n >= sizeof(names))
                return err_fail(err, ERR_INVALID, 0, "so many presets there are not");
        return ctl_set(body, "guard",
                       json_pack("{s:s, s:s*}", "url", url, "presets", n == 0 ? NULL : names), err);
}

/* A guard that nobody has heard answer guards nothing: said at once, by the same questions.  The
 * site is added either way. */
static int guard_ask(struct ctl *ctl, const char *name, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *probes, *probe;
        char path[CLIENT_PATH_MAX];
        size_t i, good = 0;

        (void)snprintf(path, sizeof(path), "/v1/sites/%s/probes/run", name);
        if (client_call(ctl->client, "POST", path, NULL, &answer, err) < 0 ||
            answer_array(answer, "probes", &probes, err) < 0)
                return -1;
        json_array_foreach ((json_t *)probes, i, probe) {
                const char *verdict = json_get_string(probe, "verdict");
                const char *what = json_get_string(probe, "what");

                if (verdict != NULL && strcmp(verdict, "good") == 0)
                        good++;
                else
                        ctl_note(ctl, "%s: probe '%s' is %s: %s", name,
                                 json_get_string(probe, "probe"), verdict == NULL ? "?" : verdict,
                                 what == NULL ? "?" : what);
        }
        if (good == json_array_size(probes))
                ctl_say(ctl, "%s: it is watched by %zu probe%s, and answers.", name, good,
                        good == 1 ? "" : "s");
        else
                ctl_note(ctl,
                         "%s: the site is added, and while it does not answer no upgrade of it is "
                         "begun or judged. Put right what is said in [guard] of its file, "
                         "then: " SITESNAP_CTL " site probe %s",
                         name, name);
        return 0;
}

int cmd_site_add(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        const char *name = args_word(ctl->args, 0);
        int status;

        if (ctl_set(body, "name", json_string(name), err) < 0 ||
            set_path(ctl, body, OPT_HOME, "home", err) < 0 ||
            ctl_set_option(ctl, body, OPT_OWNER, "owner", err) < 0 ||
            set_path(ctl, body, OPT_ADOPT, "docroot", err) < 0 ||
            ctl_set_option(ctl, body, OPT_DRIVER, "driver", err) < 0 ||
            set_path(ctl, body, OPT_POOL, "pool", err) < 0 ||
            ctl_set_option(ctl, body, OPT_SWITCHER, "switcher", err) < 0 ||
            set_database(ctl, body, err) < 0 || set_guard(ctl, body, err) < 0 ||
            set_lists(ctl, body, err) < 0)
                return -1;
        status = operation_run(ctl, "/v1/sites", body, &op, err);
        if (op == NULL)
                return status;
        if (ctl->plain && ctl->look.format != FORMAT_JSON)
                (void)printf("%" PRIu64 "\n", json_get_u64(op, "version"));
        ctl_say(ctl,
                "%s: version %" PRIu64 " is active. For the web server: " SITESNAP_CTL
                " web-config %s nginx",
                name, json_get_u64(op, "version"), name);
        return args_option(ctl->args, OPT_PROBE) == NULL ? 0 : guard_ask(ctl, name, err);
}

/* Name what a removal takes away, and ask. */
static int confirm_removal(struct ctl *ctl, const char *name, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *version;
        uint64_t active = 0;
        size_t i, n = 0;

        if (version_list(ctl, name, "", &answer, err) < 0)
                return -1;
        json_array_foreach (json_object_get(answer, "versions"), i, version) {
                const char *label = json_get_string(version, "label");
                const char *created = json_get_string(version, "created");

                if (version_has_state(version, "active")) {
                        active = json_get_u64(version, "number");
                        continue;
                }
                ctl_note(ctl, "  version %" PRIu64 "  %s  %s", json_get_u64(version, "number"),
                         created != NULL ? created : "", label != NULL ? label : "");
                n++;
        }
        ctl_note(ctl,
                 "%zu version%s of '%s' would be removed for good, with %s database%s; version "
                 "%" PRIu64 " and the shared paths stay as a plain directory.",
                 n, n == 1 ? "" : "s", name, n == 1 ? "its" : "their", n == 1 ? "" : "s", active);
        return ctl_confirm(ctl, "Remove the site from sitesnap?", err);
}

int cmd_site_remove(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        const char *name = args_word(ctl->args, 0);
        int status;

        if (!ctl->yes && !ctl->dry_run && confirm_removal(ctl, name, err) < 0)
                return -1;
        status = operation_run_verb(ctl, "remove", json_object(), &op, err);
        if (op == NULL)
                return status;
        ctl_say(ctl, "%s: the site is a plain directory again.", name);
        return 0;
}

int cmd_site_list(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *sites, *site;
        size_t i;

        if (client_get(ctl->client, &answer, err, "/v1/sites") < 0 ||
            answer_array(answer, "sites", &sites, err) < 0)
                return -1;
        if (!ctl->plain)
                return table_print(&site_table, answer, &ctl->look, err);
        json_array_foreach ((json_t *)sites, i, site) {
                const char *name = json_get_string(site, "name");

                (void)text_put(stdout, name != NULL ? name : "?", 1000);
                (void)putchar('\n');
        }
        return 0;
}

int cmd_site_show(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *site = NULL;

        if (client_get(ctl->client, &site, err, "/v1/sites/%s", args_word(ctl->args, 0)) < 0)
                return -1;
        return table_print_object(&site_table, site, &ctl->look, err);
}

int cmd_web_config(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *text;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/web-config?server=%s",
                       args_word(ctl->args, 0), args_word(ctl->args, 1)) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON)
                return json_print(answer, &ctl->look.term, err);
        text = json_get_string(answer, "text");
        if (text == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no 'text'");
        text_put_lines(stdout, text, strlen(text));
        if (*text != '\0' && text[strlen(text) - 1] != '\n')
                (void)putchar('\n');
        return 0;
}
