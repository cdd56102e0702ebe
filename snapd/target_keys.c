/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/safepath.h"
#include "common/units.h"
#include "common/url.h"
#include "common/words.h"
#include "snapd/target_keys.h"

#define ADDRESS_MAX 254 /* RFC 5321, 4.5.3.1.3 without the brackets */
#define LIST_MAX    50

static const char *const kinds[] = { [TARGET_MAIL] = "mail",
                                     [TARGET_WEBHOOK] = "webhook",
                                     [TARGET_COMMAND] = "command",
                                     [TARGET_KINDS] = NULL };
static const char *const starttls[] = {
        [TLS_REQUIRED] = "required", [TLS_TRY] = "try", [TLS_NO] = "no", [TLS_KINDS] = NULL
};
static const char *const mail_schemes[] = { "smtp", "smtps", NULL };
static const char *const webhook_schemes[] = { "https", "http", NULL };

const char *target_kind_name(unsigned kind)
{
        return kinds[kind];
}

static int text_set(char **field, const char *text, struct err *err)
{
        *field = strdup(text);
        return *field == NULL ? err_oom(err) : 0;
}

static int read_word(struct notice_target *target, void *member, const struct target_key *key,
                     const char *text, struct err *err)
{
        char list[200];

        (void)target;
        for (unsigned i = 0; key->words[i] != NULL; i++)
                if (strcmp(key->words[i], text) == 0) {
                        *(unsigned *)member = i;
                        return 0;
                }
        words_list(key->words, list, sizeof(list));
        return err_fail(err, ERR_INVALID, 0, "'%.60s' is none of %s", text, list);
}

static int read_phases(struct notice_target *target, void *member, const struct target_key *key,
                       const char *text, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        unsigned bits = 0;
        char list[200] = "";
        size_t used = 0;

        (void)target;
        (void)key;
        if (words_split(text, &words, NULL, err) < 0)
                return -1;
        for (size_t i = 0; words[i] != NULL; i++) {
                enum notice_phase phase = notice_phase_by_name(words[i]);

                if (phase < NOTICE_TEST) {
                        bits |= 1U << phase;
                        continue;
                }
                for (phase = 0; phase < NOTICE_TEST; phase++)
                        used += (size_t)snprintf(list + used, sizeof(list) - used, " %s",
                                                 notice_phase_name(phase));
                return err_fail(err, ERR_INVALID, 0, "'%.40s' is no phase; there are%s", words[i],
                                list);
        }
        *(unsigned *)member = bits;
        return 0;
}

static int read_sites(struct notice_target *target, void *member, const struct target_key *key,
                      const char *text, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;

        (void)target;
        (void)key;
        if (strcmp(text, "all") == 0)
                return 0;
        if (words_split(text, &words, NULL, err) < 0)
                return -1;
        for (size_t i = 0; words[i] != NULL; i++)
                if (site_name_valid(words[i], err) < 0)
                        return -1;
        *(char ***)member = STEAL(words);
        return 0;
}

static int read_duration(struct notice_target *target, void *member, const struct target_key *key,
                         const char *text, struct err *err)
{
        char max[UNITS_MAX];
        uint64_t msec;

        (void)target;
        if (units_duration(text, &msec, err) < 0)
                return -1;
        units_duration_print(key->max_sec * 1000, max);
        if (msec % 1000 != 0 || msec / 1000 > key->max_sec)
                return err_fail(err, ERR_INVALID, 0, "whole seconds up to %s are possible", max);
        *(uint64_t *)member = msec / 1000;
        return 0;
}

/* One address as it stands between the angle brackets of SMTP: nothing that could end it or the
 * line.  Quoted local parts are refused with it; nobody has one. */
static int address_check(const char *text, struct err *err)
{
        const char *at = strrchr(text, '@');

        if (at == NULL || at == text || at[1] == '\0' || strlen(text) > ADDRESS_MAX)
                return err_fail(err, ERR_INVALID, 0, "'%.60s' is not an address like a@example.org",
                                text);
        for (const char *c = text; *c != '\0'; c++)
                if (*c <= ' ' || *c >= 0x7f || strchr("<>()[],;:\\\"", *c) != NULL ||
                    (*c == '@' && c != at))
                        return err_fail(err, ERR_INVALID, 0,
                                        "'%.60s' is not a plain address like a@example.org", text);
        return 0;
}

static int read_address(struct notice_target *target, void *member, const struct target_key *key,
                        const char *text, struct err *err)
{
        (void)target;
        (void)key;
        return address_check(text, err) < 0 ? -1 : text_set(member, text, err);
}

static int read_addresses(struct notice_target *target, void *member, const struct target_key *key,
                          const char *text, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n;

        (void)target;
        (void)key;
        if (words_split(text, &words, &n, err) < 0)
                return -1;
        if (n > LIST_MAX)
                return err_fail(err, ERR_INVALID, 0, "at most %d addresses are possible", LIST_MAX);
        for (size_t i = 0; i < n; i++)
                if (address_check(words[i], err) < 0)
                        return -1;
        *(char ***)member = STEAL(words);
        return 0;
}

static int read_url(struct notice_target *target, void *member, const struct target_key *key,
                    const char *text, struct err *err)
{
        (void)target;
        return url_check(text, key->words, NULL, err) < 0 ? -1 : text_set(member, text, err);
}

static int read_path(struct notice_target *target, void *member, const struct target_key *key,
                     const char *text, struct err *err)
{
        (void)target;
        (void)key;
        if (text[0] != '/' || safepath_valid(text + 1, err) < 0)
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is not a plain absolute path", text);
        return text_set(member, text, err);
}

static int read_text(struct notice_target *target, void *member, const struct target_key *key,
                     const char *text, struct err *err)
{
        (void)target;
        (void)key;
        for (const char *c = text; *c != '\0'; c++)
                if ((unsigned char)*c < ' ')
                        return err_fail(err, ERR_INVALID, 0, "a control character is in it");
        return text_set(member, text, err);
}

static int read_argv(struct notice_target *target, void *member, const struct target_key *key,
                     const char *text, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n;

        (void)target;
        (void)key;
        if (words_program(text, &words, &n, err) < 0)
                return -1;
        *(char ***)member = STEAL(words);
        return 0;
}

static int read_user(struct notice_target *target, void *member, const struct target_key *key,
                     const char *text, struct err *err)
{
        const struct passwd *user = getpwnam(text);

        (void)key;
        if (user == NULL)
                return err_fail(err, ERR_INVALID, 0, "there is no user '%.60s'", text);
        if (user->pw_uid == 0)
                return err_fail(err, ERR_INVALID, 0,
                                "a command of a notice does not run as root; name another user");
        target->command.uid = user->pw_uid;
        target->command.gid = user->pw_gid;
        return text_set(member, text, err);
}

#define MEMBER(m) .offset = offsetof(struct notice_target, m)

const struct target_key target_keys[] = {
        { "notice", "kind", read_word, MEMBER(kind), .required = true, .words = kinds,
          .help = "mail, webhook or command" },
        { "notice", "phases", read_phases, MEMBER(phases), .help = "what is told; all by default" },
        { "notice", "sites", read_sites, MEMBER(sites), .help = "of which sites; or all" },
        { "notice", "digest", read_duration, MEMBER(digest_sec), .max_sec = 7 * 86400,
          .preset = "0", .help = "collect for so long and send one message; 0: at once" },

        { "mail", "server", read_url, MEMBER(mail.server), .required = true, .words = mail_schemes,
          .help = "smtp://HOST:PORT or smtps://HOST:PORT" },
        { "mail", "starttls", read_word, MEMBER(mail.starttls), .words = starttls,
          .preset = "required", .help = "required, try or no" },
        { "mail", "from", read_address, MEMBER(mail.from), .required = true,
          .help = "whom it is from" },
        { "mail", "to", read_addresses, MEMBER(mail.to), .required = true,
          .help = "who gets it, one address or several" },
        { "mail", "user", read_text, MEMBER(mail.user), .help = "who logs in at the server" },
        { "mail", "secret_file", read_path, MEMBER(mail.secret_file),
          .help = "the password, in a file of root's alone" },
        { "mail", "ca_file", read_path, MEMBER(mail.ca_file),
          .help = "certificates to trust in place of the system's" },

        { "webhook", "url", read_url, MEMBER(webhook.url), .required = true,
          .words = webhook_schemes, .help = "where it is posted" },
        { "webhook", "secret_file", read_path, MEMBER(webhook.secret_file),
          .help = "what it is signed with, in a file of root's alone" },
        { "webhook", "ca_file", read_path, MEMBER(webhook.ca_file),
          .help = "certificates to trust in place of the system's" },

        { "command", "run", read_argv, MEMBER(command.argv), .required = true,
          .help = "the program and its arguments; it reads JSON" },
        { "command", "user", read_user, MEMBER(command.user), .required = true,
          .help = "the user it runs as" },
        { "command", "timeout", read_duration, MEMBER(command.timeout_sec), .max_sec = 60,
          .preset = "30s", .help = "when it is ended" },
        { NULL },
};

static_assert(sizeof(target_keys) / sizeof(target_keys[0]) <= TARGET_KEYS_MAX, "TARGET_KEYS_MAX");

const struct target_key *target_key_find(const char *section, const char *name)
{
        for (const struct target_key *key = target_keys; key->key != NULL; key++)
                if (strcmp(key->section, section) == 0 && strcmp(key->key, name) == 0)
                        return key;
        return NULL;
}

bool target_section_used(const struct notice_target *target, const char *section)
{
        return strcmp(section, "notice") == 0 || strcmp(section, kinds[target->kind]) == 0;
}

int target_check(const struct notice_target *target, const struct target_key **ret_key,
                 struct err *problem)
{
        bool clear = target->mail.server != NULL &&
                     strncmp(target->mail.server, "smtps:", 6) != 0 &&
                     target->mail.starttls != TLS_REQUIRED;

        if (target->kind == TARGET_COMMAND && target->command.timeout_sec == 0) {
                *ret_key = target_key_find("command", "timeout");
                return err_fail(problem, ERR_INVALID, 0, "0 would end it before it begins");
        }
        if (target->kind != TARGET_MAIL)
                return 0;
        *ret_key = target_key_find("mail", "user");
        if (target->mail.user == NULL && target->mail.secret_file != NULL)
                return err_fail(problem, ERR_INVALID, 0, "secret_file is there but no user");
        if (target->mail.user != NULL && target->mail.secret_file == NULL)
                return err_fail(problem, ERR_INVALID, 0, "secret_file is missing: its password");
        if (target->mail.user != NULL && clear)
                return err_fail(problem, ERR_INVALID, 0,
                                "its password would be sent in the clear: smtps:// or starttls = "
                                "required is needed");
        return 0;
}

void target_done(struct notice_target *target)
{
        char **const texts[] = {
                &target->name,         &target->mail.server,         &target->mail.from,
                &target->mail.user,    &target->mail.secret_file,    &target->mail.ca_file,
                &target->webhook.url,  &target->webhook.secret_file, &target->webhook.ca_file,
                &target->command.user,
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                free(*texts[i]);
        words_free(target->sites);
        words_free(target->mail.to);
        words_free(target->command.argv);
}
