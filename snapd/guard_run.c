/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "snapd/guard_run.h"

/* ln(10^7): a site at the limit shows a run like this once in ten million. */
#define EVIDENCE 16.118

#define ROOM (GUARD_WINDOW + 1)

/* The sums before everything that is ${back} intervals old or younger. */
static struct run_sums sums_before(const struct run_log *log, uint64_t back)
{
        if (back >= log->n)
                return (struct run_sums){ 0 };
        return log->items[(log->n - back - 1) % ROOM].until;
}

static struct run_sums difference(const struct run_sums *end, const struct run_sums *begin)
{
        return (struct run_sums){
                .answers = end->answers - begin->answers,
                .bad = end->bad - begin->bad,
                .timed = end->timed - begin->timed,
                .slow = end->slow - begin->slow,
        };
}

static unsigned known(const struct run_log *log)
{
        return log->n < GUARD_WINDOW ? (unsigned)log->n : GUARD_WINDOW;
}

void run_add(struct run_log *log, int64_t from_usec, const struct run_sums *sums)
{
        struct run_sums until = sums_before(log, 0);

        until.answers += sums->answers;
        until.bad += sums->bad;
        until.timed += sums->timed;
        until.slow += sums->slow;
        log->items[log->n % ROOM].from_usec = from_usec;
        log->items[log->n % ROOM].until = until;
        log->n++;
}

void run_forget(struct run_log *log)
{
        log->n = 0;
}

struct run_sums run_newest(const struct run_log *log, unsigned intervals)
{
        struct run_sums end = sums_before(log, 0), begin;

        if (intervals > known(log))
                intervals = known(log);
        begin = sums_before(log, intervals);
        return difference(&end, &begin);
}

/* Chernoff's bound: ln of at most how likely so many bad ones are at the limit, negated. */
static double evidence(double n, double bad, double allowed)
{
        double share = bad / n, sum = bad * log(share / allowed);

        if (bad < n)
                sum += (n - bad) * log((1 - share) / (1 - allowed));
        return sum;
}

static bool is_above(const struct run_rule *rule, const struct run_sums *begin,
                     const struct run_sums *end, double *ret_n, double *ret_bad)
{
        struct run_sums sums = difference(end, begin);

        *ret_n = rule->count == RUN_BAD ? sums.answers : sums.timed;
        *ret_bad = rule->count == RUN_BAD ? sums.bad : sums.slow;
        return *ret_bad > 0 && *ret_bad > rule->allowed * *ret_n;
}

static bool is_broken_by(const struct run_log *log, const struct run_rule *rule, unsigned length,
                         struct run_found *ret_found)
{
        struct run_sums end = sums_before(log, 0), begin = sums_before(log, length);
        double n, bad, all, all_bad;

        if (!is_above(rule, &begin, &end, &all, &all_bad) || all < rule->min ||
            evidence(all, all_bad, rule->allowed) < EVIDENCE)
                return false;
        for (unsigned i = 0; i < rule->confirm; i++) {
                end = sums_before(log, i * length / rule->confirm);
                begin = sums_before(log, (i + 1) * length / rule->confirm);
                if (!is_above(rule, &begin, &end, &n, &bad))
                        return false;
        }
        *ret_found = (struct run_found){
                .from_usec = log->items[(log->n - length) % ROOM].from_usec,
                .intervals = length,
                .answers = (unsigned)all,
                .bad = (unsigned)all_bad,
        };
        return true;
}

bool run_broken(const struct run_log *log, const struct run_rule *rule, struct run_found *ret_found)
{
        unsigned room = known(log);
        struct run_sums all = run_newest(log, room);

        if (rule->allowed >= 1 || rule->confirm == 0 ||
            (rule->count == RUN_BAD ? all.bad : all.slow) == 0)
                return false;

        /* Each length is an eighth longer than the one before: what is broken over some length is
         * broken over one near it soon after. */
        for (unsigned length = rule->confirm; length <= room; length += (length + 7) / 8)
                if (is_broken_by(log, rule, length, ret_found))
                        return true;
        return false;
}

int64_t run_failing_since(const struct run_log *log)
{
        int64_t since = 0;

        for (unsigned back = 0; back < known(log); back++) {
                struct run_sums end = sums_before(log, back), begin = sums_before(log, back + 1);

                if (difference(&end, &begin).bad == 0)
                        break;
                since = log->items[(log->n - back - 1) % ROOM].from_usec;
        }
        return since;
}

static double share_end(double k, double n, double z, double sign)
{
        double share, middle, spread;

        if (n <= 0)
                return sign > 0 ? 1 : 0;
        share = k / n;
        middle = share + z * z / (2 * n);
        spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
        return (middle + sign * spread) / (1 + z * z / n);
}

double run_share_most(double k, double n, double z)
{
        return share_end(k, n, z, 1);
}

double run_share_least(double k, double n, double z)
{
        return share_end(k, n, z, -1);
}
