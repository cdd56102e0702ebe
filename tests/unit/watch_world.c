/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/request.h"
#include "snapd/sql.h"
#include "tests/lib/places.h"
#include "tests/lib/test.h"
#include "tests/unit/watch_world.h"

/* An operation's process would be this program once more. */
__attribute__((constructor)) static void never_an_operation(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--operation") == 0)
                        _exit(3);
}

struct err err;
struct dirs dirs;
struct watch_needs needs = { .dirs = &dirs };
struct watch *watch;
static struct watch *volatile dead; /* a killed one is never freed */
int64_t played_usec;

uint64_t told_served;
unsigned told_pace;
int told_hold;

static void on_served(void *arg, const char *site, uint64_t version)
{
        (void)arg;
        (void)site;
        told_served = version;
}

static void on_pace(void *arg, const char *site, unsigned msec)
{
        (void)arg;
        (void)site;
        told_pace = msec;
}

static void on_hold(void *arg, const char *site, bool on)
{
        (void)arg;
        (void)site;
        told_hold = on;
}

void sql(const char *script)
{
        ASSERT_OK(sql_script(catalog_db(needs.catalog), script, &err));
}

static void conf_put(const char *site, const char *owner, const char *guard)
{
        char file[64], lines[400];

        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", site);
        (void)snprintf(lines, sizeof(lines),
                       "[site]\nhome = /srv/%s\nowner = %s\n"
                       "[upgrade]\ncommand = /bin/true\n[guard]\n%s",
                       site, owner, guard);
        ASSERT_OK(file_replace(dirs.conf_fd, file, lines, strlen(lines), 0644, &err));
}

void version_put(const char *site, uint64_t number, enum version_state how, uint64_t op,
                 const char *label)
{
        struct version version = {
                .number = number,
                .state = how,
                .label = (char *)label,
                .verb = (char *)(op == 0 ? "add" : "upgrade"),
                .operation = op,
                .parent = number - 1,
                .created_usec = clock_wall_usec(),
                .active_usec = clock_wall_usec(),
        };

        ASSERT_OK(catalog_put_version(needs.catalog, site, &version, &err));
}

void site_put(const char *site, const char *owner, const char *guard)
{
        conf_put(site, owner, guard);
        ASSERT_OK(catalog_add_site(needs.catalog, site, "overlayfs", "/", &err));
        version_put(site, 1, VERSION_ACTIVE, 0, "one");
}

void daemon_begin(void)
{
        static const struct guard_probe probes[] = { { "front", GUARD_ACTIVE, true },
                                                     { "log", GUARD_VISITORS, false } };

        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        ASSERT_OK(sitecache_open(&dirs, &needs.sites, &err));
        ASSERT(sd_event_new(&needs.event) >= 0);
        ASSERT_OK(spawner_open(needs.event, &dirs, needs.catalog, &needs.spawner, &err));
        ASSERT_OK(outbox_open(dirs.state_fd, &needs.outbox, &err));
        ASSERT_OK(watch_open(&needs, &watch, &err));
        ASSERT_OK(watch_set(watch, "shop", probes, 2, &err));
}

void daemon_end(void)
{
        watch_close(watch);
        spawner_close(needs.spawner);
        outbox_close(needs.outbox);
        sitecache_close(needs.sites);
        catalog_close(needs.catalog);
        (void)sd_event_unref(needs.event);
        watch = NULL;
}

void daemon_dies(void)
{
        catalog_close(needs.catalog);
        dead = watch;
        watch = NULL;
        played_usec += USEC_PER_SEC;
}

void begin(const char *guard)
{
        places_begin(&dirs);
        needs.prober = (struct watch_prober){ on_served, on_hold, on_pace, NULL };
        played_usec = clock_boot_usec();
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        site_put("shop", "nobody", guard);
        catalog_close(needs.catalog);
        daemon_begin();
}

void play(const char *site, uint64_t version, unsigned good, unsigned bad, unsigned unknown)
{
        struct sample sample = {
                .from_usec = played_usec,
                .to_usec = played_usec + USEC_PER_SEC,
                .wall_usec = clock_wall_usec(),
                .version = version,
                .good = good,
                .bad = bad,
                .unknown = unknown,
        };

        sample.latency[10] = good + bad;
        if (bad > 0)
                sample.examples = json_pack("[{s:s, s:s, s:s, s:i, s:s}]", "verdict", "bad", "what",
                                            "status 500", "url", "http://shop/", "status", 500,
                                            "excerpt", "PHP Fatal error");
        watch_sample(watch, site, "front", &sample);
        json_decref(sample.examples);
}

void plays(unsigned seconds, uint64_t version, bool well)
{
        for (unsigned i = 0; i < seconds; i++) {
                play("shop", version, well, !well, 0);
                played_usec += USEC_PER_SEC;
        }
}

op_id upgrade_begins(const char *label)
{
        json_t *request = json_pack("{s:s, s:s}", "verb", "upgrade", "label", label);
        op_id id;

        ASSERT_OK(request_submit(&dirs, needs.catalog, "shop", request, 0, NULL, &id, &err));
        json_decref(request);
        watch_look(watch);
        return id;
}

void op_is(op_id id, const char *how)
{
        char script[200];

        (void)snprintf(script, sizeof(script),
                       "UPDATE ops SET state = '%s', ended = 1 WHERE id = %d", how, (int)id);
        sql(script);
}

void now_active(uint64_t from, uint64_t to)
{
        char script[200];

        (void)snprintf(script, sizeof(script),
                       "UPDATE versions SET state = 'kept' WHERE number = %d;"
                       "UPDATE versions SET state = 'active' WHERE number = %d",
                       (int)from, (int)to);
        sql(script);
}

void upgrade(uint64_t to, const char *label)
{
        op_id id = upgrade_begins(label);
        char script[100];

        (void)snprintf(script, sizeof(script),
                       "UPDATE versions SET state = 'kept' WHERE state = 'active'");
        sql(script);
        version_put("shop", to, VERSION_ACTIVE, id, label);
        op_is(id, "done");
        watch_look(watch);
}

const char *state_now(void)
{
        uint64_t version;
        const char *name = watch_state(watch, "shop", &version);

        return name == NULL ? "(not watched)" : name;
}

struct op newest_op(void)
{
        static struct op_list list;

        op_list_done(&list);
        ASSERT_OK(journal_list(needs.catalog, "shop", false, 1, &list, &err));
        return list.items[0];
}

uint64_t notices(const char *phase)
{
        uint64_t n = 0;
        sqlite3 *db;
        char path[300];

        (void)snprintf(path, sizeof(path), "%s/outbox.db", dirs.state);
        ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
        ASSERT_OK(sql_number(db, "SELECT count(*) FROM notices WHERE phase = ?",
                             SQL_ARGS(sql_text(phase)), &n, &err));
        sql_close(db);
        return n;
}
void breaks(void)
{
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        plays(6, 2, false);
}
