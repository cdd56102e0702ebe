/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "common/words.h"
#include "snapd/rewrite.h"
#include "snapd/site_keys.h"

/* Text: one word out of a list, or anything a later check looks at. */

static int word_known(const char *const *words, const char *text, struct err *err)
{
        char list[200] = "";
        size_t used = 0;

        for (; *words != NULL; words++) {
                if (strcmp(*words, text) == 0)
                        return 0;
                used += (size_t)snprintf(list + used, sizeof(list) - used, "%s'%s'",
                                         used == 0 ? "" : ", ", *words);
                if (used >= sizeof(list))
                        used = sizeof(list) - 1;
        }
        return err_fail(err, ERR_INVALID, 0, "'%s' is none of %s", text, list);
}

static int string_set(char **field, const char *text, struct err *err)
{
        char *copy = strdup(text);

        if (copy == NULL)
                return err_oom(err);
        free(*field);
        *field = copy;
        return 0;
}

static int string_read(struct site *site, const struct site_key *key, const char *text,
                       struct err *err)
{
        if (key->words != NULL && word_known(key->words, text, err) < 0)
                return -1;
        return string_set(SITE_FIELD(site, key, char *), text, err);
}

static int string_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                        void *arg, struct err *err)
{
        const char *text = SITE_VALUE(site, key, char *);

        return text == NULL ? 0 : visit(text, arg, err);
}

static void string_done(struct site *site, const struct site_key *key)
{
        free(*SITE_FIELD(site, key, char *));
}

const struct site_kind site_kind_word = { string_read, string_write, string_done };

/* A name on a server can be anything but long; quoting it is its driver's work. */
static int text_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        if (strlen(text) > 255)
                return err_fail(err, ERR_INVALID, 0, "longer than 255 bytes");
        return string_set(SITE_FIELD(site, key, char *), text, err);
}

const struct site_kind site_kind_text = { text_read, string_write, string_done };

/* Paths: the rest of the line as it is, or one quoted word for what a line would lose. */

/* Does the text read back as this path without quotes?  " ;" and " #" would look like a comment. */
static bool path_is_plain(const char *text)
{
        size_t n = strlen(text);

        return text[0] != '"' && text[0] != ' ' && (n == 0 || text[n - 1] != ' ') &&
               strstr(text, " ;") == NULL && strstr(text, " #") == NULL;
}

static int path_text(const char *text, char **ret_path, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n = 0;

        if (path_is_plain(text)) {
                if ((*ret_path = strdup(text)) == NULL)
                        return err_oom(err);
                return 0;
        }
        if (text[0] != '"')
                return err_fail(err, ERR_INVALID, 0,
                                "a comment stands on a line of its own; put a path with "
                                "' ;' or ' #' in it into double quotes");
        if (words_split(text, &words, &n, err) < 0)
                return -1;
        if (n != 1)
                return err_fail(err, ERR_INVALID, 0, "one path is expected");
        *ret_path = STEAL(words[0]);
        return 0;
}

static int path_write_one(const char *path, site_value_visit visit, void *arg, struct err *err)
{
        const char *words[] = { path, NULL };
        CLEANUP(freep) char *line = NULL;

        if (path_is_plain(path))
                return visit(path, arg, err);
        if (words_join(words, &line, err) < 0)
                return -1;
        return visit(line, arg, err);
}

static int path_check_absolute(const char *path, struct err *err)
{
        if (path[0] != '/')
                return err_fail(err, ERR_INVALID, 0, "'%s' is not an absolute path", path);
        if (safepath_valid(path + 1, err) < 0)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not a plain path: it is '/' or has a '.', '..' or empty "
                                "component, a control character or more than 1,023 bytes",
                                path);
        return 0;
}

static int path_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        CLEANUP(freep) char *path = NULL;

        if (path_text(text, &path, err) < 0 || path_check_absolute(path, err) < 0)
                return -1;
        return string_set(SITE_FIELD(site, key, char *), path, err);
}

/* A database may also lie inside the tree: then its path is relative. */
static int path_read_either(struct site *site, const struct site_key *key, const char *text,
                            struct err *err)
{
        CLEANUP(freep) char *path = NULL;

        if (path_text(text, &path, err) < 0)
                return -1;
        if (path[0] == '/' ? path_check_absolute(path, err) < 0 : safepath_valid(path, err) < 0)
                return -1;
        return string_set(SITE_FIELD(site, key, char *), path, err);
}

static int path_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                      void *arg, struct err *err)
{
        const char *path = SITE_VALUE(site, key, char *);

        return path == NULL ? 0 : path_write_one(path, visit, arg, err);
}

const struct site_kind site_kind_path = { path_read, path_write, string_done };
const struct site_kind site_kind_path_either = { path_read_either, path_write, string_done };

static int shared_read(struct site *site, const struct site_key *key, const char *text,
                       struct err *err)
{
        CLEANUP(freep) char *path = NULL;
        char **more;

        (void)key;
        if (path_text(text, &path, err) < 0 || safepath_valid(path, err) < 0)
                return -1;
        more = reallocarray(site->shared, site->n_shared + 2, sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        site->shared = more;
        more[site->n_shared++] = STEAL(path);
        more[site->n_shared] = NULL;
        return 0;
}

static int shared_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                        void *arg, struct err *err)
{
        (void)key;
        for (size_t i = 0; i < site->n_shared; i++)
                if (path_write_one(site->shared[i], visit, arg, err) < 0)
                        return -1;
        return 0;
}

static void shared_done(struct site *site, const struct site_key *key)
{
        (void)key;
        words_free(site->shared);
}

const struct site_kind site_kind_shared = { shared_read, shared_write, shared_done };

/* The owner: a user of this machine, never root. */

static int owner_read(struct site *site, const struct site_key *key, const char *text,
                      struct err *err)
{
        struct passwd entry, *found = NULL;
        char buf[4096];
        int os = getpwnam_r(text, &entry, buf, sizeof(buf), &found);

        if (found == NULL)
                return err_fail(err, ERR_INVALID, os, "no user '%s' on this machine", text);
        if (found->pw_uid == 0)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is root: the site's own code would run as root", text);
        if (string_set(SITE_FIELD(site, key, char *), text, err) < 0)
                return -1;
        site->uid = found->pw_uid;
        site->gid = found->pw_gid;
        return 0;
}

const struct site_kind site_kind_owner = { owner_read, string_write, string_done };

/* What the owner may ask for. */

static const struct {
        const char *word;
        enum site_may may;
} mays[] = {
        { "read", MAY_READ },         { "mark", MAY_MARK },       { "mount", MAY_MOUNT },
        { "activate", MAY_ACTIVATE }, { "upgrade", MAY_UPGRADE }, { "prune", MAY_PRUNE },
};
#define N_MAYS (sizeof(mays) / sizeof(mays[0]))

static unsigned may_by_word(const char *word)
{
        for (size_t i = 0; i < N_MAYS; i++)
                if (strcmp(mays[i].word, word) == 0)
                        return mays[i].may;
        return 0;
}

static int may_read(struct site *site, const struct site_key *key, const char *text,
                    struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        unsigned may = 0;
        size_t n = 0;

        if (words_split(text, &words, &n, err) < 0)
                return -1;
        if (n == 1 && strcmp(words[0], "none") == 0)
                n = 0;
        else if (n == 0)
                return err_fail(err, ERR_INVALID, 0, "say 'none' for nothing");
        for (size_t i = 0; i < n; i++) {
                if (may_by_word(words[i]) == 0)
                        return err_fail(err, ERR_INVALID, 0,
                                        "'%s' is none of 'read', 'mark', 'mount', 'activate', "
                                        "'upgrade', 'prune', 'none'",
                                        words[i]);
                may |= may_by_word(words[i]) | MAY_READ; /* who acts sees what happens */
        }
        *SITE_FIELD(site, key, unsigned) = may;
        return 0;
}

static int may_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                     void *arg, struct err *err)
{
        const char *words[N_MAYS + 1] = { NULL };
        CLEANUP(freep) char *line = NULL;
        size_t n = 0;

        for (size_t i = 0; i < N_MAYS; i++)
                if ((SITE_VALUE(site, key, unsigned) & mays[i].may) != 0)
                        words[n++] = mays[i].word;
        if (n == 0)
                words[0] = "none";
        if (words_join(words, &line, err) < 0)
                return -1;
        return visit(line, arg, err);
}

const struct site_kind site_kind_may = { may_read, may_write, NULL };

/* Where the site is reached. */

static int url_read(struct site *site, const struct site_key *key, const char *text,
                    struct err *err)
{
        if (probe_url_valid(text, false, err) < 0)
                return -1;
        return string_set(SITE_FIELD(site, key, char *), text, err);
}

static int address_read(struct site *site, const struct site_key *key, const char *text,
                        struct err *err)
{
        if (probe_address_valid(text, err) < 0)
                return -1;
        return string_set(SITE_FIELD(site, key, char *), text, err);
}

const struct site_kind site_kind_url = { url_read, string_write, string_done };
const struct site_kind site_kind_address = { address_read, string_write, string_done };

/* Programs: an argv without a shell. */

static int argv_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n = 0;

        if (words_program(text, &words, &n, err) < 0)
                return -1;
        words_free(*SITE_FIELD(site, key, char **));
        *SITE_FIELD(site, key, char **) = STEAL(words);
        return 0;
}

static int argv_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                      void *arg, struct err *err)
{
        char *const *words = SITE_VALUE(site, key, char **);
        CLEANUP(freep) char *line = NULL;

        if (words == NULL)
                return 0;
        if (words_join((const char *const *)words, &line, err) < 0)
                return -1;
        return visit(line, arg, err);
}

static void argv_done(struct site *site, const struct site_key *key)
{
        words_free(*SITE_FIELD(site, key, char **));
}

const struct site_kind site_kind_argv = { argv_read, argv_write, argv_done };

static int names_read(struct site *site, const struct site_key *key, const char *text,
                      struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n = 0;

        if (words_split(text, &words, &n, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                if (probe_name_valid(words[i], err) < 0)
                        return -1;
        words_free(*SITE_FIELD(site, key, char **));
        *SITE_FIELD(site, key, char **) = n == 0 ? NULL : STEAL(words);
        return 0;
}

const struct site_kind site_kind_names = { names_read, argv_write, argv_done };

/* Rules: FILE KIND KEY VALUE. */

const char *const site_words[] = {
        "database",      "database_dir",  "database_name", "database_schema",
        "database_user", "database_host", "database_port", "database_socket",
        "home",          "site",          "version",       NULL,
};

int site_word_known(const char *word, size_t n, struct err *err)
{
        char list[300] = "";
        size_t used = 0;

        for (const char *const *known = site_words; *known != NULL; known++) {
                if (strlen(*known) == n && memcmp(*known, word, n) == 0)
                        return 0;
                used += (size_t)snprintf(list + used, sizeof(list) - used, "%s{%s}",
                                         used == 0          ? ""
                                         : known[1] == NULL ? " and "
                                                            : ", ",
                                         *known);
        }
        return err_fail(err, ERR_INVALID, 0, "'{%.*s}' stands for nothing: there are %s",
                        n > 60 ? 60 : (int)n, word, list);
}

/* What stands in braces is a word that a version has a value for: a misspelt one is found here and
 * not when an upgrade is under way. */
static int value_check(const char *value, struct err *err)
{
        for (const char *at = strchr(value, '{'); at != NULL; at = strchr(at + 1, '{')) {
                size_t n = strcspn(at, "}");

                if (at[n] == '}' && n > 1 && site_word_known(at + 1, n - 1, err) < 0)
                        return -1;
        }
        return 0;
}

static int rule_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        struct site_rule *more;
        size_t n = 0;

        (void)key;
        if (words_split(text, &words, &n, err) < 0)
                return -1;
        if (n != 4)
                return err_fail(err, ERR_INVALID, 0,
                                "FILE KIND KEY VALUE are expected, not %zu words; a word with "
                                "blanks stands in double quotes",
                                n);
        if (safepath_valid(words[0], err) < 0 || rewrite_check_rule(words[1], words[2], err) < 0 ||
            value_check(words[3], err) < 0)
                return -1;
        more = reallocarray(site->rules, site->n_rules + 1, sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        site->rules = more;
        more[site->n_rules++] = (struct site_rule){ words[0], words[1], words[2], words[3] };
        words[0] = NULL; /* the words are the rule's now */
        return 0;
}

static int rule_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                      void *arg, struct err *err)
{
        (void)key;
        for (size_t i = 0; i < site->n_rules; i++) {
                const struct site_rule *rule = &site->rules[i];
                const char *words[] = { rule->file, rule->kind, rule->key, rule->value, NULL };
                CLEANUP(freep) char *line = NULL;

                if (words_join(words, &line, err) < 0 || visit(line, arg, err) < 0)
                        return -1;
        }
        return 0;
}

static void rule_done(struct site *site, const struct site_key *key)
{
        (void)key;
        for (size_t i = 0; i < site->n_rules; i++) {
                free(site->rules[i].file);
                free(site->rules[i].kind);
                free(site->rules[i].key);
                free(site->rules[i].value);
        }
        free(site->rules);
}

const struct site_kind site_kind_rule = { rule_read, rule_write, rule_done };
