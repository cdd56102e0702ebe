/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapd/site.h"

int site_name_valid(const char *name, struct err *err)
{
        size_t n = strlen(name);

        if (n == 0 || n >= SITE_NAME_MAX || name[0] < 'a' || name[0] > 'z' ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
                return err_fail(err, ERR_INVALID, 0,
                                "'%.40s' is not a site's name: 1 to %d of a-z, 0-9 and '-', "
                                "a letter first",
                                name, SITE_NAME_MAX - 1);
        return 0;
}

void site_problems_done(struct site_problems *problems)
{
        for (size_t i = 0; i < problems->n; i++) {
                free(problems->items[i].file);
                free(problems->items[i].key);
                free(problems->items[i].message);
        }
        free(problems->items);
        *problems = (struct site_problems){ 0 };
}

int site_problem_add(struct site_problems *problems, const char *file, int line, const char *key,
                     const struct err *problem, struct err *err)
{
        struct site_problem item = { .line = line }, *more;

        if (problems == NULL)
                return 0;
        more = reallocarray(problems->items, problems->n + 1, sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        problems->items = more;
        item.file = strdup(file);
        item.key = strdup(key);
        item.message = strdup(problem->msg);

        /* Half an item is one too: site_problems_done() frees it. */
        more[problems->n++] = item;
        return item.file == NULL || item.key == NULL || item.message == NULL ? err_oom(err) : 0;
}
