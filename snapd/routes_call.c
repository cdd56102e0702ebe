/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "snapd/routes_call.h"

const char *call_arg(const struct call *call, const char *name)
{
        for (size_t i = 0; i < call->n_args; i++)
                if (strcmp(call->args[i].name, name) == 0)
                        return call->args[i].value;
        return NULL;
}

int call_number(const char *text, const char *what, uint64_t *ret_number, struct err *err)
{
        uint64_t number = 0;

        for (const char *c = text; *c != '\0'; c++) {
                unsigned digit = (unsigned)(*c - '0');

                if (digit > 9 || number > (uint64_t)(INT64_MAX - digit) / 10)
                        return err_fail(err, ERR_INVALID, 0, "'%.40s' is not %s", text, what);
                number = number * 10 + digit;
        }
        if (text[0] == '\0')
                return err_fail(err, ERR_INVALID, 0, "'' is not %s", what);
        *ret_number = number;
        return 0;
}

int call_arg_number(const struct call *call, const char *name, uint64_t otherwise,
                    uint64_t *ret_number, struct err *err)
{
        const char *text = call_arg(call, name);

        if (text == NULL) {
                *ret_number = otherwise;
                return 0;
        }
        if (call_number(text, "a number", ret_number, err) < 0)
                return err_wrap(err, "'%s'", name);
        return 0;
}

int answer_text(struct answer *answer, unsigned status, char *text, struct err *err)
{
        if (text == NULL)
                return err_oom(err);
        *answer = (struct answer){ .kind = ANSWER_JSON, .status = status, .text = text };
        return 0;
}

int answer_json(struct answer *answer, unsigned status, json_t *json, struct err *err)
{
        if (json == NULL)
                return err_oom(err);
        *answer = (struct answer){ .kind = ANSWER_JSON, .status = status, .json = json };
        return 0;
}

int answer_ask(struct answer *answer, json_t *question, struct err *err)
{
        if (question == NULL)
                return err_oom(err);
        *answer = (struct answer){ .kind = ANSWER_ASK, .status = 200, .json = question };
        return 0;
}
