/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands around the program, in the files as they are installed: completion of the shells
 * and the manual. */
#include <fcntl.h>
#include <unistd.h>

#include "common/file.h"
#include "snapctl/grammar.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

#define BASH "/bin/bash"
#define ZSH  "/usr/bin/zsh"

static struct err err;

/* The arguments are the words of a command line, the last of them being typed. */
static const char bash_script[] =
        "source \"$CTL_BASH\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
        "_sitesnap_ctl; printf '%s\\n' \"${COMPREPLY[@]}\"";

/* zsh's own functions are played: they say what they were asked for. */
static const char zsh_script[] = "emulate zsh\n" /* it is run by another name */
                                 "_describe() { print -l -- ${(P)4}; }\n"
                                 "_files() { print -r -- \"files $*\"; }\n"
                                 "_users() { print users; }\n"
                                 "_command_names() { print commands; }\n"
                                 "words=(\"$@\"); CURRENT=${#words}\n"
                                 "source $CTL_ZSH";

/* Run a shell in place of snapctl; the program's path is the first word it is given. */
static void in_shell(const char *shell, const char *script, const char *const *typed)
{
        const char *argv[16] = { "-c", script, shell }, *program = getenv("SNAPCTL");
        size_t n = 3;

        if (access(shell, X_OK) < 0)
                test_skip("there is no %s", shell);
        argv[n++] = program;
        while (*typed != NULL && n < 15)
                argv[n++] = *typed++;
        ASSERT_EQ(setenv("SNAPCTL", shell, 1), 0);
        snapctl_run(argv);
        ASSERT_EQ(setenv("SNAPCTL", program, 1), 0);
        ASSERT_STR(ran.err, "");
}
#define IN_BASH(...) in_shell(BASH, bash_script, (const char *const[]){ __VA_ARGS__, NULL })
#define IN_ZSH(...)  in_shell(ZSH, zsh_script, (const char *const[]){ __VA_ARGS__, NULL })

static const struct fake_answer sites[] = {
        { "GET /v1/sites",
          "{\"sites\": [{\"name\": \"wiki\", \"home\": \"/srv/wiki\"}, {\"name\": \"shop\", "
          "\"home\": \"/srv/a:b\"}]}" },
};

TEST(bash_completes_commands_sites_and_values)
{
        FAKE_API(sites);
        IN_BASH("up");
        ASSERT_STR(ran.out, "upgrade\n");
        IN_BASH("site", "re");
        ASSERT_STR(ran.out, "remove\n");
        IN_BASH("list", "");
        ASSERT_STR(ran.out, "wiki\nshop\n");
        IN_BASH("list", "w");
        ASSERT_STR(ran.out, "wiki\n");
        IN_BASH("list", "--format", "=", "j");
        ASSERT_STR(ran.out, "json\n");
        IN_BASH("list", "--format", "=");
        ASSERT_STR(ran.out, "table\njson\ncsv\n");
        IN_BASH("upgrade", "wiki", "--la");
        ASSERT_STR(ran.out, "--label\n");
        IN_BASH("site", "add", "x", "--home", "/et");
        ASSERT_STR(ran.out, "/etc\n");
        IN_BASH("site", "add", "x", "--owner", "roo");
        ASSERT_STR(ran.out, "root\n");
        IN_BASH("list", "wiki", "");
        ASSERT_STR(ran.out, "\n");
}

TEST(zsh_completes_with_explanations)
{
        FAKE_API(sites);
        IN_ZSH("site", "");
        ASSERT(strstr(ran.out, "add:put a site under version control\n") == ran.out);
        IN_ZSH("list", "");
        ASSERT_STR(ran.out, "wiki:/srv/wiki\nshop:/srv/a:b\n");
        IN_ZSH("list", "--format=j");
        ASSERT_STR(ran.out, "--format=table:\n--format=json:\n--format=csv:\n");
        IN_ZSH("site", "add", "x", "--home", "");
        ASSERT_STR(ran.out, "files -/\n");
        IN_ZSH("upgrade", "wiki", "--", "");
        ASSERT_STR(ran.out, "commands\n");
        IN_ZSH("upgrade", "wiki", "--", "/bin/x", "");
        ASSERT_STR(ran.out, "files \n");
        IN_ZSH("list", "wiki", "");
        ASSERT_STR(ran.out, "");
}

static const char *document(const char *variable)
{
        static char *text;

        ASSERT_OK(file_read(AT_FDCWD, getenv(variable), 1u << 20, &text, NULL, &err));
        return text;
}

TEST(the_manual_has_every_command_with_its_aliases_and_every_option)
{
        const char *text = document("CTL_MAN");
        char want[100];

        for (size_t i = 0; i < n_commands; i++) {
                const char *name;

                if ((commands[i].flags & COMMAND_HIDDEN) != 0)
                        continue;
                (void)snprintf(want, sizeof(want), "Cm %s", commands[i].words);
                if (strstr(text, want) == NULL)
                        test_fail(__FILE__, __LINE__, "the manual lacks '%s'", want);
                for (size_t j = 1; (name = command_name(&commands[i], j)) != NULL; j++) {
                        (void)snprintf(want, sizeof(want), " %s ", name);
                        if (strstr(text, want) == NULL) {
                                want[strlen(want) - 1] = '\n';
                                if (strstr(text, want) == NULL)
                                        test_fail(__FILE__, __LINE__, "the manual lacks '%s'",
                                                  name);
                        }
                }
        }
        for (size_t i = 0; i < OPTIONS; i++) {
                (void)snprintf(want, sizeof(want), "Fl -%s", option_specs[i].name);
                if (strstr(text, want) == NULL)
                        test_fail(__FILE__, __LINE__, "the manual lacks '%s'", want);
        }
        ASSERT(strstr(text, "@CTL") == NULL);
}

TEST(the_page_about_the_command_line_has_every_command_and_option)
{
        const char *text = document("CTL_DOC");
        char want[100];

        for (size_t i = 0; i < n_commands; i++) {
                (void)snprintf(want, sizeof(want), "%s ", commands[i].words);
                if ((commands[i].flags & COMMAND_HIDDEN) == 0 && strstr(text, want) == NULL &&
                    strcmp(commands[i].words, "ops list") != 0)
                        test_fail(__FILE__, __LINE__, "the page lacks '%s'", want);
        }
        for (size_t i = 0; i < OPTIONS; i++) {
                (void)snprintf(want, sizeof(want), "--%s", option_specs[i].name);
                if (strstr(text, want) == NULL)
                        test_fail(__FILE__, __LINE__, "the page lacks '%s'", want);
        }
}

TEST(the_manual_is_well_formed)
{
        static const char script[] = "exec mandoc -Tlint -Wwarning \"$CTL_MAN\" 2>&1";
        const char *argv[] = { "-c", script, NULL };

        if (access("/usr/bin/mandoc", X_OK) < 0)
                test_skip("there is no mandoc");
        ASSERT_EQ(setenv("SNAPCTL", BASH, 1), 0);
        snapctl_run(argv);
        ASSERT_STR(ran.out, "");
        ASSERT_EQ(ran.status, 0);
}
