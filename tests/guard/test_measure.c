/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sites that are measured for real, at a web server of this test's; their operations are played. */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/front.h"
#include "snapd/measure.h"
#include "snapd/prober_process.h"
#include "snapd/sql.h"
#include "tests/guard/hostile.h"
#include "tests/lib/places.h"
#include "tests/lib/test.h"

/* The prober starts this program again as `snapd --probe`. */
__attribute__((constructor)) static void probe_instead_of_tests(int argc, char **argv)
{
        if (argc > 9 && strcmp(argv[9], "--probe") == 0)
                _exit(prober_main());
}

static struct err err;
static struct dirs dirs;
static struct watch_needs needs = { .dirs = &dirs };
static struct measure *measure;
static pid_t server;
static unsigned port;

static void site_put(const char *site, const char *path)
{
        struct version version = { .number = 7,
                                   .state = VERSION_ACTIVE,
                                   .label = (char *)"seven",
                                   .verb = (char *)"add",
                                   .active_usec = clock_wall_usec() };
        char file[64], lines[400];

        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", site);
        (void)snprintf(lines, sizeof(lines),
                       "[site]\nhome = /srv/%s\nowner = nobody\n"
                       "[probe page]\ninterval = 200ms\nurl = http://127.0.0.1:%u%s\n",
                       site, port, path);
        ASSERT_OK(file_replace(dirs.conf_fd, file, lines, strlen(lines), 0644, &err));
        ASSERT_OK(catalog_add_site(needs.catalog, site, "overlayfs", "/", &err));
        ASSERT_OK(catalog_put_version(needs.catalog, site, &version, &err));
}

/* As the step of an operation does it. */
static void front_is(const char *site, enum front_mode mode)
{
        const struct front_temporary temporary = { .mode = mode, .version = 3, .back = 7 };

        ASSERT_OK(front_set_temporary(needs.catalog, site, mode == FRONT_MODES ? NULL : &temporary,
                                      &err));
}

static void begin(void)
{
        places_begin(&dirs);
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        ASSERT_OK(sitecache_open(&dirs, &needs.sites, &err));
        ASSERT(sd_event_new(&needs.event) >= 0);
        ASSERT_OK(spawner_open(needs.event, &dirs, needs.catalog, &needs.spawner, &err));
        server = hostile_start(&port);
}

static void end(void)
{
        measure_close(measure);
        spawner_close(needs.spawner);
        sitecache_close(needs.sites);
        catalog_close(needs.catalog);
        (void)sd_event_unref(needs.event);
        (void)kill(server, SIGTERM);
}

struct wanted {
        const char *site;
        struct watch_counts counts;
};

static void on_counts(const char *site, const char *probe, const struct watch_counts *counts,
                      void *arg)
{
        struct wanted *wanted = arg;

        (void)probe;
        if (strcmp(site, wanted->site) == 0)
                wanted->counts = *counts;
}

static struct watch_counts counts_of(const char *site)
{
        struct wanted wanted = { .site = site };

        watch_count(measure_watch(measure), on_counts, &wanted);
        return wanted.counts;
}

static uint64_t answers_of(const char *site)
{
        struct watch_counts counts = counts_of(site);

        return counts.good + counts.bad + counts.unknown;
}

/* Until so many more answers were counted, 20 s at most. */
static void turn_until(const char *site, uint64_t more)
{
        uint64_t wanted = answers_of(site) + more;
        int64_t until = clock_boot_usec() + 20 * (int64_t)USEC_PER_SEC;

        while (answers_of(site) < wanted && clock_boot_usec() < until)
                ASSERT(sd_event_run(needs.event, 20000) >= 0);
        ASSERT(answers_of(site) >= wanted);
}

/* The version that the newest bad answer is of, as the history shows it. */
static uint64_t bad_version_of(const char *site)
{
        CLEANUP(json_decrefp) json_t *view = NULL;
        const json_t *probe, *examples;

        ASSERT_OK(history_view(measure_history(measure), site, HISTORY_HOUR, &view, &err));
        probe = json_array_get(json_object_get(view, "probes"), 0);
        examples = json_object_get(probe, "examples");
        ASSERT(json_array_size(examples) > 0);
        return json_get_u64(json_array_get(examples, 0), "version");
}

/* By an operation, from its begin to its end. */
static void changes(const char *site, enum front_mode mode)
{
        CLEANUP(json_decrefp) json_t *request = json_object();
        op_id id;

        ASSERT_OK(journal_queue(needs.catalog, site, "activate", request, 0, &id, &err));
        watch_look(measure_watch(measure));
        front_is(site, mode);
        ASSERT_OK(journal_state(needs.catalog, id, OP_FAILED, NULL, &err));
        watch_look(measure_watch(measure));
}

TEST(our_own_503_is_no_failure_and_an_answer_to_visitors_that_are_led_away_is_of_no_version)
{
        begin();
        site_put("open", "/503");
        site_put("shut", "/503");
        site_put("still", "/503"); /* read-only */
        site_put("broken", "/500");
        site_put("led", "/503");
        front_is("shut", FRONT_CLOSED);
        front_is("still", FRONT_READ_ONLY);
        front_is("broken", FRONT_READ_ONLY);
        front_is("led", FRONT_CLOSED);
        ASSERT_OK(measure_open(&needs, &measure, &err));

        /* The first are asked before it is known what they are. */
        turn_until("open", 4);
        turn_until("shut", 6);
        turn_until("still", 6);
        turn_until("broken", 6);
        turn_until("led", 3);
        ASSERT(counts_of("open").bad > 0);
        ASSERT_EQ(counts_of("shut").bad, 0);
        ASSERT_EQ(counts_of("still").bad, 0);
        ASSERT(counts_of("broken").bad > 0); /* what fails is not hidden by it */
        ASSERT_EQ(counts_of("led").bad, 0);
        changes("led", FRONT_REDIRECT_302);
        turn_until("led", 4);
        ASSERT(counts_of("led").bad > 0);
        ASSERT_EQ(bad_version_of("led"), 0);
        end();
}

TEST(a_site_is_closed_and_opened_from_the_end_of_the_operation_on)
{
        uint64_t bad;

        begin();
        site_put("shop", "/503");
        ASSERT_OK(measure_open(&needs, &measure, &err));
        turn_until("shop", 3);
        ASSERT(counts_of("shop").bad > 0);

        for (int i = 0; i < 2; i++) {
                changes("shop", i == 0 ? FRONT_CLOSED : FRONT_MODES);
                turn_until("shop", 1); /* that may have begun before */
                bad = counts_of("shop").bad;
                turn_until("shop", 5);
                ASSERT_EQ(counts_of("shop").bad > bad, i == 1);
        }
        end();
}
