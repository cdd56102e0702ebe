/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "snapd/outbox.h"
#include "tests/lib/test.h"

#define SEC  ((int64_t)USEC_PER_SEC)
#define HOUR (3600 * SEC)

static struct err err;

static struct outbox *opened(void)
{
        struct outbox *outbox;
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

        ASSERT(fd >= 0);
        ASSERT_OK(outbox_open(fd, &outbox, &err));
        (void)close(fd);
        return outbox;
}

static uint64_t put(struct outbox *outbox, const char *site, const char *target, const char *key)
{
        uint64_t id;

        ASSERT_OK(outbox_put(outbox,
                             &(struct outbox_put){ .phase = "failed",
                                                   .site = site,
                                                   .body = "{}",
                                                   .target = target,
                                                   .key = key },
                             &id, &err));
        return id;
}

struct wishes {
        struct outbox *outbox;
        struct outbox_wish items[2];
        size_t n;
        int64_t now;
        unsigned visited;
};

static int route(const struct outbox_notice *notice, void *arg, struct err *e)
{
        struct wishes *wishes = arg;

        wishes->visited++;
        return outbox_route(wishes->outbox, notice->id, wishes->items, wishes->n, wishes->now, e);
}

struct collected {
        struct outbox *outbox;
        int64_t now;
        struct delivery_list list;
};

static int collect(const char *target, void *arg, struct err *e)
{
        struct collected *all = arg;
        struct delivery_list list;

        if (outbox_due(all->outbox, target, all->now, 10000, &list, e) < 0)
                return -1;
        all->list.items = reallocarray(all->list.items, all->list.n + list.n, sizeof(*list.items));
        ASSERT(all->list.items != NULL);
        for (size_t i = 0; i < list.n; i++)
                all->list.items[all->list.n++] = list.items[i];
        free(list.items);
        return 0;
}

/* Of all targets, by target and then by age. */
static size_t due(struct outbox *outbox, int64_t now, struct delivery_list *ret_list)
{
        struct collected all = { .outbox = outbox, .now = now };
        size_t n;

        ASSERT_OK(outbox_targets(outbox, now, collect, &all, &err));
        n = all.list.n;
        if (ret_list != NULL)
                *ret_list = all.list;
        else
                delivery_list_done(&all.list);
        return n;
}

/* Its texts live until the next call. */
static struct delivery only(struct outbox *outbox)
{
        static struct delivery_list list;

        delivery_list_done(&list);
        ASSERT_OK(outbox_deliveries(outbox, 0, 10, &list, &err));
        ASSERT_EQ(list.n, 1);
        return list.items[0];
}

TEST(a_notice_is_routed_to_those_who_want_it_and_due_at_once)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec();
        struct wishes wishes = { outbox, { { "mail", 0 }, { "hook", 0 } }, 2, now, 0 };
        struct delivery_list list;

        (void)put(outbox, "wiki", NULL, NULL);
        ASSERT_EQ(due(outbox, now, NULL), 0);
        ASSERT_OK(outbox_unrouted(outbox, route, &wishes, &err));
        ASSERT_OK(outbox_unrouted(outbox, route, &wishes, &err));
        ASSERT_EQ(wishes.visited, 1);
        ASSERT_EQ(due(outbox, now, &list), 2);
        ASSERT_STR(list.items[0].target, "hook");
        ASSERT_STR(list.items[1].target, "mail");
        ASSERT_STR(list.items[0].site, "wiki");
        ASSERT_STR(list.items[0].phase, "failed");
        ASSERT_STR(list.items[0].body, "{}");
        delivery_list_done(&list);
        outbox_close(outbox);
}

TEST(one_that_nobody_wants_is_not_due_and_not_asked_about_again)
{
        struct outbox *outbox = opened();
        struct wishes wishes = { .outbox = outbox, .now = clock_wall_usec() };

        (void)put(outbox, "wiki", NULL, "op:1");
        ASSERT_OK(outbox_unrouted(outbox, route, &wishes, &err));
        ASSERT_OK(outbox_unrouted(outbox, route, &wishes, &err));
        ASSERT_EQ(wishes.visited, 1);
        ASSERT_EQ(due(outbox, wishes.now, NULL), 0);
        ASSERT(outbox_has(outbox, "op:1"));
        outbox_close(outbox);
}

TEST(what_is_put_twice_under_one_key_is_there_once)
{
        struct outbox *outbox = opened();

        ASSERT(put(outbox, "wiki", "mail", "op:1") != 0);
        ASSERT_EQ(put(outbox, "wiki", "mail", "op:1"), 0);
        ASSERT(put(outbox, "wiki", "mail", "op:2") != 0);
        ASSERT(!outbox_has(outbox, "op:3"));
        ASSERT_EQ(due(outbox, clock_wall_usec(), NULL), 2);
        outbox_close(outbox);
}

TEST(back_off_follows_its_table_and_ends_within_five_days)
{
        static const int64_t seconds[] = { 5, 30, 120, 600, 1800, 3600, 10800, 21600, 21600 };
        int64_t sum = 0;

        for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
                ASSERT_EQ(outbox_backoff_usec(i + 1), seconds[i] * SEC);
        for (unsigned i = 1; i < OUTBOX_ATTEMPTS; i++)
                sum += outbox_backoff_usec(i);
        ASSERT(sum > 115 * HOUR && sum <= 120 * HOUR);
        ASSERT_EQ(outbox_backoff_usec(OUTBOX_ATTEMPTS), 0);
}

TEST(a_failed_one_waits_says_why_and_is_dead_after_the_last_attempt)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec(), next;
        struct delivery d;

        (void)put(outbox, "wiki", "mail", NULL);
        d = only(outbox);
        for (unsigned i = 1; i < OUTBOX_ATTEMPTS; i++) {
                ASSERT_OK(outbox_failed(outbox, d.id, "refused", false, now, &err));
                ASSERT_OK(outbox_next(outbox, now, &next, &err));
                ASSERT_EQ(next, now + outbox_backoff_usec(i));
                ASSERT_EQ(due(outbox, next - 1, NULL), 0);
                now = next;
                ASSERT_EQ(due(outbox, now, NULL), 1);
        }
        ASSERT_OK(outbox_failed(outbox, d.id, "refused for ever", false, now, &err));
        d = only(outbox);
        ASSERT_EQ(d.state, DELIVERY_DEAD);
        ASSERT_STR(d.why, "refused for ever");
        ASSERT_EQ(d.attempts, OUTBOX_ATTEMPTS);
        ASSERT_OK(outbox_next(outbox, now, &next, &err));
        ASSERT_EQ(next, 0);
        outbox_close(outbox);
}

TEST(a_dead_one_is_brought_back_by_retry_and_a_sent_one_is_not)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec();
        unsigned n;

        (void)put(outbox, "wiki", "mail", NULL);
        ASSERT_OK(outbox_failed(outbox, only(outbox).id, "no such user", true, now, &err));
        ASSERT_EQ(only(outbox).state, DELIVERY_DEAD);
        ASSERT_OK(outbox_retry(outbox, "hook", now, &n, &err));
        ASSERT_EQ(n, 0);
        ASSERT_OK(outbox_retry(outbox, "mail", now, &n, &err));
        ASSERT_EQ(n, 1);
        ASSERT_EQ(due(outbox, now, NULL), 1);
        ASSERT_OK(outbox_sent(outbox, only(outbox).id, now, &err));
        ASSERT_EQ(only(outbox).state, DELIVERY_SENT);
        ASSERT_OK(outbox_retry(outbox, NULL, now, &n, &err));
        ASSERT_EQ(n, 0);
        /* A late answer of an attempt that was given up changes nothing. */
        ASSERT_OK(outbox_failed(outbox, only(outbox).id, "late", false, now, &err));
        ASSERT_EQ(only(outbox).state, DELIVERY_SENT);
        outbox_close(outbox);
}

TEST(a_digest_collects_what_comes_within_its_interval)
{
        struct outbox *outbox = opened();
        struct wishes wishes = { outbox, { { "digest", HOUR } }, 1, clock_wall_usec(), 0 };
        int64_t first = wishes.now;

        for (int i = 0; i < 3; i++) {
                (void)put(outbox, "wiki", NULL, NULL);
                ASSERT_OK(outbox_unrouted(outbox, route, &wishes, &err));
                wishes.now += HOUR / 4;
        }
        ASSERT_EQ(due(outbox, first + HOUR - 1, NULL), 0);
        ASSERT_EQ(due(outbox, first + HOUR, NULL), 3);
        outbox_close(outbox);
}

TEST(a_clock_that_was_set_back_makes_nothing_wait_for_years)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec(), next;

        (void)put(outbox, "wiki", "mail", NULL);
        ASSERT_OK(outbox_failed(outbox, only(outbox).id, "x", false, now, &err));
        now -= 365 * 24 * HOUR;
        ASSERT_EQ(due(outbox, now, NULL), 1);
        ASSERT_OK(outbox_next(outbox, now, &next, &err));
        ASSERT_EQ(next, now);
        outbox_close(outbox);
}

TEST(one_site_cannot_take_the_room_of_another)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec();
        struct delivery_list list;
        unsigned flood = 0, other = 0;

        (void)put(outbox, "quiet", "mail", NULL);
        for (int i = 0; i < OUTBOX_SITE_MAX + 20; i++)
                (void)put(outbox, "loud", "mail", NULL);
        ASSERT_EQ(due(outbox, now + HOUR, &list), OUTBOX_SITE_MAX + 1);
        for (size_t i = 0; i < list.n; i++) {
                flood += strcmp(list.items[i].site, "loud") == 0;
                other += strcmp(list.items[i].site, "quiet") == 0;
        }
        ASSERT_EQ(flood, OUTBOX_SITE_MAX);
        ASSERT_EQ(other, 1);
        ASSERT_EQ(outbox_dropped(outbox), 20);
        delivery_list_done(&list);
        outbox_close(outbox);
}

TEST(what_is_sent_makes_room_before_what_waits)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec();
        struct delivery_list list;

        for (int i = 0; i < OUTBOX_SITE_MAX; i++)
                (void)put(outbox, "wiki", "mail", NULL);
        ASSERT_EQ(due(outbox, now + HOUR, &list), OUTBOX_SITE_MAX);
        for (size_t i = list.n - 10; i < list.n; i++)
                ASSERT_OK(outbox_sent(outbox, list.items[i].id, now, &err));
        delivery_list_done(&list);
        for (int i = 0; i < 10; i++)
                (void)put(outbox, "wiki", "mail", NULL);
        ASSERT_EQ(due(outbox, now + HOUR, NULL), OUTBOX_SITE_MAX);
        ASSERT_EQ(outbox_dropped(outbox), 0);
        outbox_close(outbox);
}

TEST(a_switch_tells_only_when_it_changes)
{
        static const struct {
                const char *name;
                bool on, changed;
        } rows[] = { { "low:a", false, false }, { "low:a", true, true },  { "low:a", true, false },
                     { "low:b", true, true },   { "low:a", false, true }, { "low:a", true, true } };
        struct outbox *outbox = opened();
        bool changed;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                ASSERT_OK(outbox_switch(outbox, rows[i].name, rows[i].on, &changed, &err));
                ASSERT_EQ(changed, rows[i].changed);
        }
        outbox_close(outbox);
}

TEST(a_body_that_is_too_long_is_refused)
{
        struct outbox *outbox = opened();
        char body[OUTBOX_BODY_MAX + 2];

        memset(body, 'x', sizeof(body) - 1);
        body[sizeof(body) - 1] = '\0';
        ASSERT_ERR(outbox_put(outbox,
                              &(struct outbox_put){ .phase = "test", .site = "", .body = body },
                              NULL, &err),
                   ERR_INVALID, "16384");
        outbox_close(outbox);
}

TEST(old_ones_are_forgotten_and_waiting_ones_never)
{
        struct outbox *outbox = opened();
        int64_t now = clock_wall_usec(), day = 24 * HOUR;
        struct delivery_list list;

        for (int i = 0; i < 3; i++)
                (void)put(outbox, "wiki", "mail", NULL);
        ASSERT_EQ(due(outbox, now + HOUR, &list), 3);
        ASSERT_OK(outbox_sent(outbox, list.items[0].id, now, &err));
        ASSERT_OK(outbox_failed(outbox, list.items[1].id, "x", true, now, &err));
        delivery_list_done(&list);
        ASSERT_OK(outbox_tidy(outbox, now + 6 * day, &err));
        ASSERT_OK(outbox_deliveries(outbox, 0, 10, &list, &err));
        ASSERT_EQ(list.n, 3);
        delivery_list_done(&list);
        ASSERT_OK(outbox_tidy(outbox, now + 8 * day, &err));
        ASSERT_OK(outbox_deliveries(outbox, 0, 10, &list, &err));
        ASSERT_EQ(list.n, 2);
        delivery_list_done(&list);
        ASSERT_OK(outbox_tidy(outbox, now + 400 * day, &err));
        ASSERT_EQ(only(outbox).state, DELIVERY_WAITING);
        outbox_close(outbox);
}

/* Puts until it is killed, and says each that is done. */
static void put_for_ever(int fd)
{
        struct outbox *outbox = opened();
        char key[32];

        for (unsigned i = 0;; i++) {
                (void)snprintf(key, sizeof(key), "%u", i);
                (void)put(outbox, "wiki", "mail", key);
                if (write(fd, &i, sizeof(i)) != sizeof(i))
                        _exit(1);
        }
}

TEST(what_was_acknowledged_is_there_after_a_kill)
{
        unsigned last = 0, seen;
        struct outbox *outbox;
        char key[32];
        int fds[2];
        pid_t pid;

        (void)test_tmpdir();
        for (int round = 0; round < 5; round++) {
                ASSERT(pipe2(fds, O_CLOEXEC) == 0);
                pid = fork();
                if (pid == 0)
                        put_for_ever(fds[1]);
                (void)close(fds[1]);
                for (int i = 0; i <= round * 3; i++)
                        ASSERT(read(fds[0], &seen, sizeof(seen)) == sizeof(seen));
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
                while (read(fds[0], &seen, sizeof(seen)) == sizeof(seen))
                        ;
                (void)close(fds[0]);
                last = seen > last ? seen : last;
                outbox = opened();
                for (unsigned i = 0; i <= seen; i++) {
                        (void)snprintf(key, sizeof(key), "%u", i);
                        ASSERT(outbox_has(outbox, key));
                }
                /* Each of them has its delivery too: they came in one transaction. */
                ASSERT(due(outbox, clock_wall_usec() + HOUR, NULL) >= (size_t)seen + 1);
                outbox_close(outbox);
        }
        ASSERT(last > 0);
}
