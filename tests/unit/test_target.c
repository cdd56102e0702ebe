/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapd/target.h"
#include "snapd/target_keys.h"
#include "tests/lib/test.h"

#define MAIL                                                                                       \
        "[notice]\nkind = mail\n[mail]\nserver = smtp://mail.example.org:587\n"                    \
        "from = a@example.org\nto = b@example.org\n"
#define HOOK    "[notice]\nkind = webhook\n[webhook]\nurl = https://example.org/x\n"
#define COMMAND "[notice]\nkind = command\n[command]\nrun = /bin/cat \"a b\"\nuser = nobody\n"

static struct err err;

static struct notice_target *parsed(const char *text)
{
        struct notice_target *target;

        ASSERT_OK(target_parse("t", "notices.d/t.conf", text, NULL, &target, &err));
        return target;
}

TEST(a_small_file_is_told_everything_at_once)
{
        struct notice_target *t = parsed(MAIL);

        ASSERT_EQ(t->kind, TARGET_MAIL);
        ASSERT_EQ(t->mail.starttls, TLS_REQUIRED);
        ASSERT_EQ(t->digest_sec, 0);
        ASSERT_STR(t->mail.to[0], "b@example.org");
        for (enum notice_phase phase = 0; phase < NOTICE_PHASES; phase++)
                ASSERT(target_wants(t, phase, "wiki") && target_wants(t, phase, ""));
        ASSERT(!target_wants(t, NOTICE_PHASES, "wiki"));
        target_free(t);
}

TEST(phases_and_sites_are_what_is_told)
{
        struct notice_target *t = parsed("[notice]\nkind = webhook\nphases = failed rolled-back\n"
                                         "sites = wiki shop\ndigest = 1h30m\n"
                                         "[webhook]\nurl = http://127.0.0.1:8080/hook\n");

        ASSERT_EQ(t->digest_sec, 5400);
        ASSERT(target_wants(t, NOTICE_FAILED, "wiki"));
        ASSERT(target_wants(t, NOTICE_ROLLED_BACK, "shop"));
        ASSERT(!target_wants(t, NOTICE_FAILED, "other"));
        ASSERT(!target_wants(t, NOTICE_FAILED, ""));
        ASSERT(!target_wants(t, NOTICE_HELD, "wiki"));
        ASSERT(target_wants(t, NOTICE_TEST, ""));
        target_free(t);
}

TEST(a_command_has_its_words_and_its_user)
{
        struct notice_target *t = parsed(COMMAND);

        ASSERT_STR(t->command.argv[1], "a b");
        ASSERT(t->command.uid != 0);
        ASSERT_EQ(t->command.timeout_sec, 30);
        target_free(t);
}

TEST(mistakes_are_named_with_line_and_key)
{
        static const struct {
                const char *text, *message;
        } rows[] = {
                { "kind = mail\n", "t.conf:1: kind: stands before the first [section]" },
                { "[notice]\nkind = fax\n", "t.conf:2: kind: 'fax' is none of 'mail', 'webhook'" },
                { "", "t.conf:0: kind: missing in [notice]" },
                { "[notices]\n", "t.conf:1: [: '[notices]' is no section; there are [notice]" },
                { MAIL "sender = x\n",
                  "t.conf:7: sender: unknown key in [mail]; there are server" },
                { MAIL "to = c@example.org\n", "t.conf:7: to: given twice, first in line 6" },
                { MAIL "user =\n", "t.conf:7: user: has no value; leave the line out" },
                { MAIL "just words\n", "t.conf:7: : 'just words': KEY = VALUE is expected" },
                { MAIL "[webhook]\nurl = https://example.org\n",
                  "t.conf:8: url: [webhook] is not for kind = mail" },
                { "[notice]\nkind = mail\n[mail]\nfrom = a@example.org\nto = b@example.org\n",
                  "t.conf:0: server: missing in [mail]" },
                { "[notice]\nkind = mail\nphases = failed exploded\n",
                  "t.conf:3: phases: 'exploded' is no phase; there are available" },
                { "[notice]\nkind = mail\nphases = test\n", "'test' is no phase" },
                { "[notice]\nkind = mail\nsites = Wiki\n", "t.conf:3: sites: " },
                { "[notice]\nkind = mail\ndigest = 30\n", "t.conf:3: digest: " },
                { "[notice]\nkind = mail\ndigest = 8d\n", "up to 1w are possible" },
                { "[notice]\nkind = mail\n[mail]\nserver = mail.example.org\n",
                  "t.conf:4: server: 'mail.example.org' is not a URL" },
                { "[notice]\nkind = mail\n[mail]\nserver = https://mail.example.org\n",
                  "begins with one of 'smtp', 'smtps'" },
                { "[notice]\nkind = webhook\n[webhook]\nurl = ftp://example.org/x\n",
                  "begins with one of 'https', 'http'" },
                { "[notice]\nkind = webhook\n[webhook]\nurl = https://u:secret@example.org/\n",
                  "it does not belong there" },
                { "[notice]\nkind = mail\n[mail]\nto = b@example.org, c@example.org\n",
                  "t.conf:4: to: 'b@example.org,' is not a plain address" },
                { "[notice]\nkind = mail\n[mail]\nto = <b@example.org>\n", "not a plain address" },
                { "[notice]\nkind = mail\n[mail]\nto = root\n", "is not an address like" },
                { "[notice]\nkind = mail\n[mail]\nstarttls = maybe\n",
                  "'maybe' is none of 'required', 'try', 'no'" },
                { MAIL "secret_file = mail.secret\n", "is not a plain absolute path" },
                { MAIL "user = me\n", "t.conf:7: user: secret_file is missing: its password" },
                { MAIL "user = me\nsecret_file = /etc/x\nstarttls = try\n",
                  "t.conf:7: user: its password would be sent in the clear" },
                { "[notice]\nkind = command\n[command]\nrun = cat\n", "absolute path" },
                { "[notice]\nkind = command\n[command]\nuser = root\n", "does not run as root" },
                { "[notice]\nkind = command\n[command]\nuser = nosuchuser\n", "there is no user" },
                { COMMAND "timeout = 0\n", "t.conf:6: timeout: 0 would end it" },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct notice_target *target;

                ASSERT_ERR(target_parse("t", "t.conf", rows[i].text, NULL, &target, &err),
                           ERR_INVALID, rows[i].message);
        }
}

TEST(all_mistakes_of_a_file_are_listed)
{
        struct site_problems problems = { 0 };
        struct notice_target *target;

        ASSERT_ERR(target_parse("t", "t.conf",
                                "[notice]\nkind = webhook\nphases = x\n[webhook]\nurl = y\nz = 1\n",
                                &problems, &target, &err),
                   ERR_INVALID, "(and 2 more)");
        ASSERT_EQ(problems.n, 3);
        ASSERT_EQ(problems.items[1].line, 5);
        ASSERT_STR(problems.items[2].key, "z");
        site_problems_done(&problems);
}

static void file_make(int dir_fd, const char *name, const char *text, mode_t mode)
{
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ASSERT(fd >= 0);
        ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        ASSERT(fchmod(fd, mode) == 0);
        (void)close(fd);
}

static int count(const char *name, void *arg, struct err *e)
{
        (void)e;
        (void)fprintf(arg, "%s ", name);
        return 0;
}

TEST(files_are_found_by_name_and_must_be_roots_own)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct notice_target *target;
        char *names;
        FILE *out = open_memstream(&names, &(size_t){ 0 });

        ASSERT_OK(target_names(fd, count, out, &err));
        ASSERT_EQ(ftell(out), 0);
        ASSERT_ERR(target_load(fd, "a", NULL, &target, &err), ERR_NOT_FOUND, "notices.d/a.conf");
        ASSERT(mkdirat(fd, "notices.d", 0755) == 0);
        file_make(fd, "notices.d/b.conf", HOOK, 0644);
        file_make(fd, "notices.d/a.conf", MAIL, 0644);
        file_make(fd, "notices.d/c.conf", MAIL, 0666);
        file_make(fd, "notices.d/readme", MAIL, 0644);
        ASSERT_OK(target_names(fd, count, out, &err));
        ASSERT(fclose(out) == 0);
        ASSERT_STR(names, "a b c ");
        free(names);
        ASSERT_OK(target_load(fd, "b", NULL, &target, &err));
        ASSERT_STR(target->webhook.url, "https://example.org/x");
        target_free(target);
        ASSERT_ERR(target_load(fd, "c", NULL, &target, &err), ERR_REFUSED, "chmod go-w");
        ASSERT(symlinkat("a.conf", fd, "notices.d/link.conf") == 0);
        ASSERT_ERR(target_load(fd, "link", NULL, &target, &err), ERR_REFUSED, "link");
}

TEST(a_secret_is_read_from_a_file_of_roots_alone)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct notice_target *target;
        char text[512], *secret;

        (void)snprintf(text, sizeof(text), HOOK "secret_file = %s/secret\n", test_tmpdir());
        target = parsed(text);
        ASSERT_ERR(target_secret(target, &secret, &err), ERR_NOT_FOUND, "secret");
        file_make(fd, "secret", "s3cret\n", 0600);
        ASSERT_OK(target_secret(target, &secret, &err));
        ASSERT_STR(secret, "s3cret");
        free(secret);
        file_make(fd, "secret", "s3cret\n", 0640);
        ASSERT_ERR(target_secret(target, &secret, &err), ERR_REFUSED, "chmod 600");
        file_make(fd, "secret", "\n", 0600);
        ASSERT_ERR(target_secret(target, &secret, &err), ERR_INVALID, "is empty");
        target_free(target);
        target = parsed(HOOK);
        ASSERT_OK(target_secret(target, &secret, &err));
        ASSERT(secret == NULL);
        target_free(target);
}
