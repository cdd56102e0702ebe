/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapctl/ctl.h"
#include "snapctl/text.h"

bool ctl_machine(const struct ctl *ctl)
{
        return ctl->plain || ctl->look.format != FORMAT_TABLE;
}

static PRINTF(2, 0) void say(FILE *out, const char *fmt, va_list ap)
{
        CLEANUP(freep) char *text = NULL;
        int n = vasprintf(&text, fmt, ap);

        if (n < 0) {
                text = NULL;
                return;
        }
        text_put_lines(out, text, (size_t)n);
        (void)fputc('\n', out);
}

void ctl_say(const struct ctl *ctl, const char *fmt, ...)
{
        va_list ap;

        if (ctl->quiet || ctl_machine(ctl))
                return;
        va_start(ap, fmt);
        say(ctl->look.term.stream, fmt, ap);
        va_end(ap);
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
        va_list ap;

        if (ctl->quiet)
                return;
        va_start(ap, fmt);
        say(ctl->errors.stream, fmt, ap);
        va_end(ap);
}

int ctl_confirm(const struct ctl *ctl, const char *question, struct err *err)
{
        char answer[16] = "";

        if (ctl->yes)
                return 0;
        if (!isatty(STDIN_FILENO) || !ctl->errors.terminal)
                return err_fail(err, ERR_REFUSED, 0,
                                "this would be lost for good and there is no terminal to ask on: "
                                "repeat it with -y; nothing was changed");
        (void)fprintf(ctl->errors.stream, "%s [y/N] ", question);
        (void)fflush(ctl->errors.stream);
        if (fgets(answer, sizeof(answer), stdin) == NULL)
                (void)fputc('\n', ctl->errors.stream);
        answer[strcspn(answer, "\n")] = '\0';
        if (strcasecmp(answer, "y") != 0 && strcasecmp(answer, "yes") != 0)
                return err_fail(err, ERR_REFUSED, 0, "not confirmed; nothing was changed");
        return 0;
}

int ctl_set(json_t *object, const char *key, json_t *value, struct err *err)
{
        if (value == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not valid UTF-8, which the daemon needs", key);
        if (json_object_set_new(object, key, value) < 0)
                return err_oom(err);
        return 0;
}

int ctl_set_option(const struct ctl *ctl, json_t *object, enum option_id option, const char *key,
                   struct err *err)
{
        const char *value = args_option(ctl->args, option);

        return value == NULL ? 0 : ctl_set(object, key, json_string(value), err);
}

int ctl_set_words(json_t *object, const char *key, char *const *words, struct err *err)
{
        json_t *list;

        if (words == NULL)
                return 0;
        list = json_array();
        if (ctl_set(object, key, list, err) < 0)
                return -1;
        for (; *words != NULL; words++)
                if (json_array_append_new(list, json_string(*words)) < 0)
                        return err_fail(err, ERR_INVALID, 0,
                                        "a word of '%s' is not valid UTF-8, which the daemon needs",
                                        key);
        return 0;
}
