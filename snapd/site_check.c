/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "common/safepath.h"
#include "snapd/site_keys.h"

/* What is wrong between values that are each right.  Each check speaks of one key, so that a
 * person is sent to one line. */

struct check {
        const struct site *site;
        site_problem_visit visit;
        void *arg;
        struct err *err;
};

static bool paths_nest(const char *a, const char *b)
{
        return safepath_within(a, b) || safepath_within(b, a);
}

static int report(const struct check *check, const char *section, const char *key,
                  const struct err *problem)
{
        return check->visit(site_key_find(section, key), problem, check->arg, check->err);
}

/* A docroot gives its place to a symlink into home, so it can neither hold home nor be part of
 * what sitesnap keeps there. */
static int check_docroot(const struct check *check)
{
        static const char *const ours[] = { "/current", "/versions", "/shared", "/db" };
        const struct site *site = check->site;
        struct err problem;

        if (site->docroot == NULL || site->home == NULL)
                return 0;
        if (safepath_within(site->home, site->docroot)) {
                (void)err_fail(&problem, ERR_INVALID, 0,
                               "'%s' holds home '%s'; home must lie elsewhere", site->docroot,
                               site->home);
                return report(check, "site", "docroot", &problem);
        }
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
                size_t n = strlen(site->home);

                if (safepath_within(site->docroot, site->home) &&
                    safepath_within(site->docroot + n, ours[i])) {
                        (void)err_fail(&problem, ERR_INVALID, 0,
                                       "'%s' lies in '%s%s', which belongs to sitesnap",
                                       site->docroot, site->home, ours[i]);
                        return report(check, "site", "docroot", &problem);
                }
        }
        return 0;
}

static int check_pool(const struct check *check)
{
        const struct site *site = check->site;
        struct err problem;

        if (site->pool == NULL)
                return 0;
        if (site->docroot != NULL && paths_nest(site->pool, site->docroot))
                (void)err_fail(&problem, ERR_INVALID, 0, "'%s' and docroot '%s' lie in one another",
                               site->pool, site->docroot);
        else if (site->home != NULL && safepath_within(site->home, site->pool))
                (void)err_fail(&problem, ERR_INVALID, 0, "'%s' holds home '%s'", site->pool,
                               site->home);
        else
                return 0;
        return report(check, "site", "pool", &problem);
}

static int check_shared(const struct check *check)
{
        const struct site *site = check->site;
        struct err problem;

        for (size_t i = 0; i < site->n_shared; i++)
                for (size_t j = 0; j < i; j++) {
                        if (!paths_nest(site->shared[i], site->shared[j]))
                                continue;
                        (void)err_fail(&problem, ERR_INVALID, 0,
                                       "'%s' and '%s' lie in one another; share the outer one, "
                                       "once",
                                       site->shared[j], site->shared[i]);
                        if (report(check, "site", "shared", &problem) < 0)
                                return -1;
                        break;
                }
        return 0;
}

static int check_database(const struct check *check)
{
        const struct site_key *key;
        struct err problem;

        return site_check_database(check->site, &key, &problem) == 0
                       ? 0
                       : check->visit(key, &problem, check->arg, check->err);
}

static int check_rule(const struct check *check, const struct site_rule *rule)
{
        const struct site *site = check->site;
        struct err problem;

        if (site->database.engine == NULL && strstr(rule->value, "{database") != NULL) {
                (void)err_fail(&problem, ERR_INVALID, 0,
                               "'%s' names the database, but the site has none: add [database]",
                               rule->value);
                return report(check, "config", "set", &problem);
        }
        for (size_t i = 0; i < site->n_shared; i++) {
                if (!safepath_within(rule->file, site->shared[i]))
                        continue;
                (void)err_fail(&problem, ERR_INVALID, 0,
                               "'%s' lies in the shared '%s', so it cannot differ between "
                               "versions",
                               rule->file, site->shared[i]);
                return report(check, "config", "set", &problem);
        }
        return 0;
}

static int check_rules(const struct check *check)
{
        for (size_t i = 0; i < check->site->n_rules; i++)
                if (check_rule(check, &check->site->rules[i]) < 0)
                        return -1;
        return 0;
}

static int check_switch(const struct check *check)
{
        const struct site *site = check->site;
        struct err problem;

        if (site->switcher == NULL || strcmp(site->switcher, "mount") != 0 || site->docroot != NULL)
                return 0;
        (void)err_fail(&problem, ERR_INVALID, 0,
                       "'mount' mounts on the docroot: set [site] docroot");
        return report(check, "switch", "method", &problem);
}

static int check_front(const struct check *check)
{
        const struct site *site = check->site;
        struct err problem;

        if (site->front.sticky_sec == 0 || site->switcher == NULL ||
            strcmp(site->switcher, "mount") != 0)
                return 0;
        (void)err_fail(&problem, ERR_INVALID, 0,
                       "with 'method = mount' all versions are served at one path, so nobody can "
                       "stay on one");
        return report(check, "front", "sticky", &problem);
}

static int check_keep(const struct check *check)
{
        const struct site_keep *keep = &check->site->keep;
        struct err problem;

        if (keep->max == 0 || keep->max >= keep->min)
                return 0;
        (void)err_fail(&problem, ERR_INVALID, 0, "max %u is less than min %u", keep->max,
                       keep->min);
        return report(check, "keep", "max", &problem);
}

/* Half of the probation has to be measured, and a rule needs `confirm` intervals. */
static int check_guard(const struct check *check)
{
        const struct site_guard *guard = &check->site->guard;
        struct err problem;

        if ((uint64_t)guard->probation_sec * 1000 >=
            UINT64_C(4) * guard->confirm * guard->interval_msec)
                return 0;
        (void)err_fail(&problem, ERR_INVALID, 0,
                       "%us has no room for %u times %u ms: a probation is at least four times "
                       "confirm times interval",
                       guard->probation_sec, guard->confirm, guard->interval_msec);
        return report(check, "guard", "probation", &problem);
}

int site_check_all(const struct site *site, site_problem_visit visit, void *arg, struct err *err)
{
        static int (*const checks[])(const struct check *) = {
                check_docroot, check_pool,  check_shared, check_database, check_rules,
                check_switch,  check_front, check_keep,   check_guard,
        };
        const struct check check = { site, visit, arg, err };

        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
                if (checks[i](&check) < 0)
                        return -1;
        return 0;
}
