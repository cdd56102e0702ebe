/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SITE_H
#define SNAPD_SITE_H

/*
 * A site: one web application on this host, as sites.d/NAME.conf describes it.
 *
 * HOME is root's; below it
 *
 *   current          symlink to versions/N: what the web server serves
 *   versions/N       where version N is mounted
 *   shared/PATH      what all versions share (uploads, logs, certificates)
 *   db/NAME          database files of SQLite sites, a directory a copy
 *
 * The pool, where the driver keeps the trees, is root's and 0700 and lies on the same file system
 * as HOME, by default in `.sitesnap/NAME` at the root of that file system.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "snapd/probe.h"

#define SITE_NAME_MAX 33 /* bytes with the NUL */

struct site_rule { /* one value in a configuration file that is rendered per version */
        char *file, *kind, *key, *value;
};

enum site_may { /* what the owner may ask for, beside an administrator */
                MAY_READ = 1,
                MAY_MARK = 2,
                MAY_MOUNT = 4,
                MAY_ACTIVATE = 8, /* also rollback and forward */
                MAY_UPGRADE = 16,
                MAY_PRUNE = 32,
};

struct site_keep { /* what prune by policy keeps; 0: no such limit */
        unsigned min, max;
        int64_t age_sec;
        uint64_t space_bytes, free_bytes;
};

struct site_database {
        char *engine; /* NULL: no database */
        char *path;   /* SQLite: where it was before adoption; absolute, or relative to the tree:
                       * then the copy is mounted there */
        /* The rest is about a server's. */
        char *name; /* the schema that was adopted; it stays where it is */
        char *socket, *host;
        unsigned port;     /* 0: the engine's own */
        char *user;        /* ours on the server; NULL: named as run_as */
        char *run_as;      /* the user of this machine whose process connects */
        char *secret_file; /* the password, on its first line; or a credential of systemd's: */
        char *secret_credential;
        char *database; /* PostgreSQL: in which the schemas lie; NULL: each is a database */
        char *table_prefix, *app_user;
        char *way;
        unsigned streams; /* 0: the driver's choice */
};

struct site_guard { /* the rules are snapd/guard.h's */
        char *url;      /* of the front page; what "/path" of a probe's url belongs to */
        char *address;  /* where probes connect to when they do not say it themselves */
        char **presets; /* names in probes.d; NULL-terminated, or NULL */
        char *policy; /* on a breach: "rollback", "freeze" or "alert" */
        char *after;  /* on one after probation: "alert", "rollback" or "off" */
        unsigned probation_sec, interval_msec;
        unsigned min_samples, confirm;
        unsigned error_rate_ppm;                           /* parts of a million */
        unsigned error_factor_milli, latency_factor_milli; /* thousandths */
        unsigned latency_floor_msec;
};

struct site {
        char *name, *home;
        char *owner;
        uid_t uid;
        gid_t gid;
        char *docroot; /* the path that was adopted and is a symlink to current; or NULL */
        char *driver;  /* "auto" or a driver's name */
        char *pool;    /* or NULL: the default */
        char **shared; /* relative to the tree; NULL-terminated */
        size_t n_shared;
        char *switcher;      /* "symlink" or "mount" */
        char **after_switch; /* argv, NULL-terminated, or NULL */
        unsigned after_timeout_sec;
        struct site_database database;
        struct site_rule *rules;
        size_t n_rules;
        char **command; /* the site's upgrade command, argv, or NULL */
        unsigned timeout_sec;
        bool upgrade_closed; /* visitors get 503 while the command runs */
        bool upgrade_staged; /* the new version is served when the command has ended well */
        char *track;         /* of releases, as notices name it; or NULL */
        char *automatic;     /* "yes": who upgrades it asks nobody; "no"; NULL: not said */
        unsigned drain_sec;
        unsigned hold_msec;
        unsigned owner_may; /* enum site_may */
        struct site_keep keep;
        struct {                /* how the web server chooses a version for a visitor */
                bool keep_version; /* ?keep_version=N is for everybody */
                char *other_pool;  /* PHP socket of versions that are not the live one; or NULL */
                unsigned retry_sec;
                unsigned sticky_sec; /* a session stays on the version before; 0: it does not */
        } front;
        struct probe_list probes; /* its own; site_probes() has those of presets too */
        struct site_guard guard;
};

/* One mistake in a file. */
struct site_problem {
        char *file;
        int line;
        char *key;
        char *message;
};
struct site_problems {
        struct site_problem *items;
        size_t n;
};

/* site_name_valid(name, err): ERR_INVALID unless 1 to 32 of [a-z0-9-], a letter first. */
int site_name_valid(const char *name, struct err *err) MUST_CHECK;

/* site_new(name, ret_site, err): A site of that name with every key at the value that it has when
 * a file does not give it; home and owner are NULL.  Give it to site_free(). */
int site_new(const char *name, struct site **ret_site, struct err *err) MUST_CHECK;

/* site_parse(name, file, text, problems, ret_site, err): As site_load(), from ${text} as it would
 * stand in ${file}. */
int site_parse(const char *name, const char *file, const char *text, struct site_problems *problems,
               struct site **ret_site, struct err *err) MUST_CHECK;

/* site_load(conf_fd, name, problems, ret_site, err): Read sites.d/NAME.conf.  ERR_NOT_FOUND;
 * ERR_INVALID names file, line and key of the first mistake, and all of them are added to
 * ${problems} when it is not NULL.  Give the result to site_free(). */
int site_load(int conf_fd, const char *name, struct site_problems *problems, struct site **ret_site,
              struct err *err) MUST_CHECK;

/* site_set(site, section, key, text, err): As a line "${key} = ${text}" in [${section}] of its file
 * would; site_resolve() finds what does not fit together.  ERR_INVALID. */
int site_set(struct site *site, const char *section, const char *key, const char *text,
             struct err *err) MUST_CHECK;

/* What may stand in braces in a rule's value, NULL-terminated; site_word_known(word, n, err): is
 * this one of them?  ERR_INVALID lists them. */
extern const char *const site_words[];
int site_word_known(const char *word, size_t n, struct err *err) MUST_CHECK;

/* site_database_serves(site): Does a server have its database, rather than files below HOME? */
bool site_database_serves(const struct site *site);

/* site_probes(conf_fd, site, problems, ret_list, err): Every probe of the site: its own, then those
 * of its presets, of which probes.d in the configuration directory comes before the ones that are
 * shipped, and a probe of the site's own before a preset's of the same name.  URLs are whole.
 * ERR_INVALID names file, line and key, as site_load(); ERR_NOT_FOUND: no such preset.  Give
 * ${ret_list} to probe_list_done(). */
int site_probes(int conf_fd, const struct site *site, struct site_problems *problems,
                struct probe_list *ret_list, struct err *err) MUST_CHECK;

/* site_parse_preset(name, file, text, problems, ret_list, err): A file of probes.d, which has
 * [probe NAME] sections and nothing else. */
int site_parse_preset(const char *name, const char *file, const char *text,
                      struct site_problems *problems, struct probe_list *ret_list,
                      struct err *err) MUST_CHECK;

/* site_free(site), site_problems_done(problems): NULL and an empty list are fine. */
void site_free(struct site *site);
void site_problems_done(struct site_problems *problems);

/* site_problem_add(problems, file, line, key, err): Take down a mistake; ${problems} may be NULL.
 * Fails only when there is no memory. */
int site_problem_add(struct site_problems *problems, const char *file, int line, const char *key,
                     const struct err *problem, struct err *err) MUST_CHECK;

/* site_check(site, problems, err): Would a file that says this be without mistakes?  Nothing is
 * written.  uid and gid are not looked at: they follow from the owner. */
int site_check(const struct site *site, struct site_problems *problems, struct err *err) MUST_CHECK;

/* site_resolve(site, ret_site, err): The site as it would be loaded from a file that says this,
 * its owner looked up.  ERR_INVALID names the first mistake. */
int site_resolve(const struct site *site, struct site **ret_site, struct err *err) MUST_CHECK;

/* site_save(conf_fd, site, err): Write sites.d/NAME.conf, durably; what a person wrote there
 * before is replaced.  ERR_INVALID: it could not be loaded again, see site_check(); nothing is
 * written. */
int site_save(int conf_fd, const struct site *site, struct err *err) MUST_CHECK;

/* site_accept(state_fd, site), site_load_accepted(state_fd, name, ret_site, err): Remember what a
 * site's file said when an operation last used it, and read that; for a start of snapd at which
 * the file has a mistake.  What cannot be remembered is missed only then. */
void site_accept(int state_fd, const struct site *site);
int site_load_accepted(int state_fd, const char *name, struct site **ret_site,
                       struct err *err) MUST_CHECK;

/* site_delete_conf(conf_fd, name, err): Rename the file to NAME.conf.removed. */
int site_delete_conf(int conf_fd, const char *name, struct err *err) MUST_CHECK;

#endif
