/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <string.h>

#include "snapd/site_keys.h"

#define NEAR      2 /* a name that differs in more than two letters is another name */
#define NAME_ROOM 32

#define MEMBER(m) .offset = offsetof(struct site, m), .size = sizeof(((struct site *)0)->m)

static const char *const drivers[] = { "auto", "btrfs", "overlayfs", NULL };
static const char *const engines[] = { "sqlite", "mariadb", "postgres", NULL };
static const char *const ways[] = { "auto", "snapshot", "files", "dump", NULL };
static const char *const policies[] = { "rollback", "freeze", "alert", NULL };
static const char *const policies_after[] = { "alert", "rollback", "off", NULL };
static const char *const yes_no[] = { "yes", "no", NULL };
static const char *const switchers[] = { "symlink", "mount", NULL };

const struct site_key site_keys[] = {
        { "site", "home", &site_kind_path, MEMBER(home), .required = true,
          .help = "root's directory that holds current, versions and shared" },
        { "site", "owner", &site_kind_owner, MEMBER(owner), .required = true,
          .help = "the user the application runs as" },
        { "site", "docroot", &site_kind_path, MEMBER(docroot),
          .help = "the directory that was adopted; its path goes on working" },
        { "site", "driver", &site_kind_word, MEMBER(driver), .words = drivers, .preset = "auto",
          .help = "how trees are kept: auto, btrfs or overlayfs" },
        { "site", "pool", &site_kind_path, MEMBER(pool),
          .help = "where trees are kept; on the file system of home" },
        { "site", "shared", &site_kind_shared, MEMBER(shared), .repeatable = true,
          .help = "a directory of the tree that all versions share" },
        { "site", "owner_may", &site_kind_may, MEMBER(owner_may), .preset = "read",
          .help = "what the owner may ask for: read mark mount activate upgrade prune, or none" },

        { "database", "engine", &site_kind_word, MEMBER(database.engine), .words = engines,
          .help = "sqlite, mariadb (MySQL too) or postgres" },
        { "database", "path", &site_kind_path_either, MEMBER(database.path),
          .help = "sqlite: the directory of the database files; relative: inside the tree" },
        { "database", "name", &site_kind_text, MEMBER(database.name),
          .help = "the database on the server that the site used when it was added" },
        { "database", "socket", &site_kind_path, MEMBER(database.socket),
          .help = "the server's socket (postgres: its directory), or host and port" },
        { "database", "host", &site_kind_text, MEMBER(database.host),
          .help = "the server, when it is not reached by a socket" },
        { "database", "port", &site_kind_count, MEMBER(database.port), .unit = 1, .min = 1,
          .max = 65535, .help = "the server's port" },
        { "database", "user", &site_kind_text, MEMBER(database.user),
          .help = "whom sitesnap is on the server; run_as when not given" },
        { "database", "run_as", &site_kind_text, MEMBER(database.run_as),
          .help = "the user of this machine who connects, and whom the socket may know by that" },
        { "database", "secret_file", &site_kind_path, MEMBER(database.secret_file),
          .help = "a file of root's, mode 0600, with the password in its first line" },
        { "database", "secret_credential", &site_kind_text, MEMBER(database.secret_credential),
          .help = "the password as a credential of the unit (LoadCredential=)" },
        { "database", "database", &site_kind_text, MEMBER(database.database),
          .help = "postgres: the database in which the site's schema and its copies lie" },
        { "database", "table_prefix", &site_kind_text, MEMBER(database.table_prefix),
          .help = "only tables whose names begin so are the site's" },
        { "database", "app_user", &site_kind_text, MEMBER(database.app_user),
          .help = "the site's user on the server, who may not write to kept versions" },
        { "database", "way", &site_kind_word, MEMBER(database.way), .words = ways,
          .help = "how copies are made: auto, snapshot, files or dump" },
        { "database", "streams", &site_kind_count, MEMBER(database.streams), .unit = 1, .min = 1,
          .max = 16, .help = "how many connections copy at once" },

        { "config", "set", &site_kind_rule, MEMBER(rules), .repeatable = true,
          .help = "FILE KIND KEY VALUE: one value rendered for each version" },

        { "upgrade", "command", &site_kind_argv, MEMBER(command),
          .help = "the program that upgrades the tree in place, with its arguments" },
        { "upgrade", "track", &site_kind_text, MEMBER(track),
          .help = "the releases that the site follows, as notices name them: stable, beta" },
        { "upgrade", "automatic", &site_kind_word, MEMBER(automatic), .words = yes_no,
          .help = "yes, if upgrades are begun without a person being asked; what notices say" },
        { "upgrade", "timeout", &site_kind_duration, MEMBER(timeout_sec), .unit = 1000, .min = 1,
          .max = 7 * 86400, .preset = "30m", .help = "when the command is ended" },
        { "upgrade", "closed", &site_kind_flag, MEMBER(upgrade_closed), .preset = "no",
          .help = "are visitors sent away (503) while the command runs" },
        { "upgrade", "staged", &site_kind_flag, MEMBER(upgrade_staged), .preset = "no",
          .help = "is the old version served, read-only, until the command has ended well" },
        { "upgrade", "hold", &site_kind_duration, MEMBER(hold_msec), .unit = 1, .min = 10,
          .max = 60000, .preset = "2s", .help = "for how long writers of the database may wait" },
        { "upgrade", "drain", &site_kind_duration, MEMBER(drain_sec), .unit = 1000, .min = 0,
          .max = 3600, .preset = "10s", .help = "for how long old requests may end by themselves" },

        { "switch", "method", &site_kind_word, MEMBER(switcher), .words = switchers,
          .preset = "symlink", .help = "symlink, or mount for a docroot that cannot be one" },
        { "switch", "after", &site_kind_argv, MEMBER(after_switch),
          .help = "a program that root runs after each switch, with its arguments" },
        { "switch", "after_timeout", &site_kind_duration, MEMBER(after_timeout_sec), .unit = 1000,
          .min = 1, .max = 3600, .preset = "2m", .help = "when that program is ended" },

        { "keep", "min", &site_kind_count, MEMBER(keep.min), .unit = 1, .min = 1, .max = 10000,
          .preset = "2", .help = "versions that prune always leaves" },
        { "keep", "max", &site_kind_count, MEMBER(keep.max), .unit = 1, .min = 0, .max = 10000,
          .preset = "10", .help = "versions that prune leaves at most; 0: no limit" },
        { "keep", "age", &site_kind_duration, MEMBER(keep.age_sec), .unit = 1000, .min = 0,
          .max = UINT64_C(100) * 366 * 86400, .preset = "0",
          .help = "older versions are pruned; 0: no limit" },
        { "keep", "space", &site_kind_size, MEMBER(keep.space_bytes), .unit = 1, .min = 0,
          .max = UINT64_C(1) << 60, .preset = "0",
          .help = "what kept versions may take; 0: no limit" },
        { "keep", "free", &site_kind_size, MEMBER(keep.free_bytes), .unit = 1, .min = 0,
          .max = UINT64_C(1) << 60, .preset = "0",
          .help = "what stays free on the file system; 0: no limit" },

        { "front", "keep_version", &site_kind_flag, MEMBER(front.keep_version), .preset = "no",
          .help = "may every visitor ask for a mounted version by ?keep_version=N" },
        { "front", "other_pool", &site_kind_path, MEMBER(front.other_pool),
          .help = "the socket of PHP for versions that are not the live one" },
        { "front", "retry", &site_kind_duration, MEMBER(front.retry_sec), .unit = 1000, .min = 1,
          .max = 86400, .preset = "2m", .help = "when a visitor who is sent away may come again" },
        { "front", "sticky", &site_kind_duration, MEMBER(front.sticky_sec), .unit = 1000, .min = 0,
          .max = 86400, .preset = "0",
          .help = "for how long a session may stay on the version before; 0: everybody moves" },

        { "guard", "url", &site_kind_url, MEMBER(guard.url),
          .help = "the address of the front page; a probe's '/PATH' belongs to it" },
        { "guard", "address", &site_kind_address, MEMBER(guard.address),
          .help = "HOST:PORT or unix:/PATH where probes connect, past DNS and front door" },
        { "guard", "presets", &site_kind_names, MEMBER(guard.presets),
          .help = "probes of probes.d: wordpress, mediawiki, moodle, drupal, ..." },
        { "guard", "policy", &site_kind_word, MEMBER(guard.policy), .words = policies,
          .preset = "rollback",
          .help = "when a required probe fails after an upgrade: rollback, freeze or alert" },
        { "guard", "probation", &site_kind_duration, MEMBER(guard.probation_sec), .unit = 1000,
          .min = 10, .max = 30 * 86400, .preset = "30m",
          .help = "how long a new version is watched before it is marked good" },
        { "guard", "interval", &site_kind_duration, MEMBER(guard.interval_msec), .unit = 1,
          .min = 200, .max = 3600000, .preset = "1s",
          .help = "how often it is probed during probation" },
        { "guard", "min_samples", &site_kind_count, MEMBER(guard.min_samples), .unit = 1, .min = 10,
          .max = 1000000, .preset = "100",
          .help = "answers to visitors that are needed to judge by them" },
        { "guard", "confirm", &site_kind_count, MEMBER(guard.confirm), .unit = 1, .min = 2,
          .max = 60, .preset = "3", .help = "pieces of time that each have to be bad" },
        { "guard", "error_rate", &site_kind_share, MEMBER(guard.error_rate_ppm), .unit = 1,
          .min = 100, .max = 900000, .preset = "1%",
          .help = "the share of failures that is always allowed" },
        { "guard", "error_factor", &site_kind_factor, MEMBER(guard.error_factor_milli), .unit = 1,
          .min = 1000, .max = 1000000, .preset = "3",
          .help = "and as a multiple of what it was before the upgrade" },
        { "guard", "latency_factor", &site_kind_factor, MEMBER(guard.latency_factor_milli),
          .unit = 1, .min = 1000, .max = 1000000, .preset = "3",
          .help = "an answer that takes so many times as long as 19 of 20 before is slow" },
        { "guard", "latency_floor", &site_kind_duration, MEMBER(guard.latency_floor_msec),
          .unit = 1, .min = 1, .max = 30000, .preset = "250ms",
          .help = "but not one that takes less than this" },
        { "guard", "after", &site_kind_word, MEMBER(guard.after), .words = policies_after,
          .preset = "alert", .help = "when it fails after probation: alert, rollback or off" },
        { NULL },
};

static_assert(sizeof(site_keys) / sizeof(site_keys[0]) <= SITE_KEYS_MAX, "SITE_KEYS_MAX");

const struct site_key *site_key_find(const char *section, const char *name)
{
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if ((section == NULL || strcmp(key->section, section) == 0) &&
                    strcmp(key->key, name) == 0)
                        return key;
        return NULL;
}

static size_t least(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* How many letters must be put in, taken out or changed (Levenshtein, two rows). */
static size_t name_distance(const char *a, const char *b)
{
        size_t row[NAME_ROOM + 1], n = strlen(b);

        if (strlen(a) > NAME_ROOM || n > NAME_ROOM)
                return NAME_ROOM;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 0; a[i] != '\0'; i++) {
                size_t diagonal = row[0];

                row[0] = i + 1;
                for (size_t j = 0; j < n; j++) {
                        size_t change = diagonal + (a[i] != b[j]);

                        diagonal = row[j + 1];
                        row[j + 1] = least(change, least(row[j], diagonal) + 1);
                }
        }
        return row[n];
}

/* A name of three letters is not near to every other one. */
static bool name_is_near(const char *a, const char *b)
{
        size_t distance = name_distance(a, b);

        return distance <= NEAR && distance * 2 <= strlen(b);
}

const struct site_key *site_key_nearest(const char *section, const char *name)
{
        const struct site_key *best = site_key_find(NULL, name);

        for (const struct site_key *key = site_keys; best == NULL && key->key != NULL; key++)
                if (strcmp(key->section, section) == 0 && name_is_near(name, key->key))
                        best = key;
        for (const struct site_key *key = site_keys; best == NULL && key->key != NULL; key++)
                if (name_is_near(name, key->key))
                        best = key;
        return best;
}

const char *site_section_nearest(const char *section)
{
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if (strcmp(key->section, section) == 0)
                        return key->section;
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if (name_is_near(section, key->section))
                        return key->section;
        return NULL;
}
