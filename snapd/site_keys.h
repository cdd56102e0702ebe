/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SITE_KEYS_H
#define SNAPD_SITE_KEYS_H

/*
 * The keys of sites.d/NAME.conf: one table, from which a file is read, checked, written and
 * documented.  Private to snapd/site*.c and their tests.
 *
 * A row says where a key stands, what kind of value it has and which member of struct site it
 * fills.  Kinds are code: read() makes the member from text, write() gives the text that read()
 * makes the same member from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/site.h"

#define SITE_CONF_DIR "sites.d" /* in the configuration directory */
#define SITE_FILE_MAX 65536     /* bytes of a file */
#define SITE_LINE_MAX 8192      /* bytes of a line */
#define SITE_KEYS_MAX 64        /* rows of the table */

struct site_key;

/* Called with the text of a value as it stands behind "KEY = ". */
typedef int (*site_value_visit)(const char *text, void *arg, struct err *err);

struct site_kind {
        /* Set the member from one line's value; of a repeatable key, add to it.  ERR_INVALID. */
        int (*read)(struct site *site, const struct site_key *key, const char *text,
                    struct err *err);
        /* Visit each line's value; none when the member is not set.  ERR_INVALID: it cannot be
         * said in a file. */
        int (*write)(const struct site *site, const struct site_key *key, site_value_visit visit,
                     void *arg, struct err *err);
        void (*done)(struct site *site, const struct site_key *key); /* NULL: holds no memory */
};

struct site_key {
        const char *section, *key;
        const struct site_kind *kind;
        size_t offset, size; /* of the member in struct site */
        bool repeatable;     /* may stand on several lines */
        bool required;
        uint64_t unit;            /* of numbers: how many of the text's smallest one are one */
        uint64_t min, max;        /* of numbers, in the member's unit */
        const char *const *words; /* the values there are, or NULL when any will do */
        const char *preset;       /* the value when the file says nothing; NULL: not set */
        const char *help;         /* for the comment in a written file */
};

/* The member a row is about, of type ${type}. */
#define SITE_FIELD(site, key, type) ((type *)(void *)((char *)(site) + (key)->offset))
#define SITE_VALUE(site, key, type)                                                                \
        (*(type const *)(const void *)((const char *)(site) + (key)->offset))

extern const struct site_kind site_kind_word;        /* one of key->words */
extern const struct site_kind site_kind_text;        /* any, of at most 255 bytes */
extern const struct site_kind site_kind_path;        /* an absolute path */
extern const struct site_kind site_kind_path_either; /* absolute, or relative to the tree */
extern const struct site_kind site_kind_shared;      /* relative paths, a line each */
extern const struct site_kind site_kind_owner;       /* a user, with site->uid and gid */
extern const struct site_kind site_kind_may;         /* enum site_may */
extern const struct site_kind site_kind_argv;        /* a program and its arguments */
extern const struct site_kind site_kind_rule;        /* FILE KIND KEY VALUE, a line each */
extern const struct site_kind site_kind_url;         /* http or https */
extern const struct site_kind site_kind_address;     /* probe_address_valid() */
extern const struct site_kind site_kind_names;       /* names with blanks between them */
extern const struct site_kind site_kind_duration;    /* site_numbers.c */
extern const struct site_kind site_kind_size;
extern const struct site_kind site_kind_count;
extern const struct site_kind site_kind_share;  /* "0.5%", kept as parts of a million */
extern const struct site_kind site_kind_factor; /* "2.5", kept as thousandths */
extern const struct site_kind site_kind_flag; /* yes or no */

/* In the order of a written file; ends with a row whose key is NULL. */
extern const struct site_key site_keys[];

/* site_key_find(section, key): The row, or NULL; ${section} NULL: in any section. */
const struct site_key *site_key_find(const char *section, const char *key);

/* site_key_nearest(section, key): The row a misspelt ${key} most likely meant, in ${section}
 * before others, or NULL when nothing is near. */
const struct site_key *site_key_nearest(const char *section, const char *key);

/* site_section_nearest(section): As above for the name of a section; itself when it exists. */
const char *site_section_nearest(const char *section);

/* site_read_trusted(conf_fd, dir, name, path, ret_text, err): The text of NAME.conf in ${dir},
 * which nobody but root can have written; ${path} is how a person knows it. */
int site_read_trusted(int conf_fd, const char *dir, const char *name, const char *path,
                      char **ret_text, struct err *err) MUST_CHECK;

/* Called with the key at fault and what is wrong. */
typedef int (*site_problem_visit)(const struct site_key *key, const struct err *problem, void *arg,
                                  struct err *err);

/* site_check_all(site, visit, arg, err): Visit what is wrong between values that are each right:
 * paths inside one another, a rule without its database.  -1 only when visit() fails. */
int site_check_all(const struct site *site, site_problem_visit visit, void *arg,
                   struct err *err) MUST_CHECK;

/* site_check_database(site, ret_key, err): -1 with what is wrong in [database], the first of it,
 * and with the key at fault. */
int site_check_database(const struct site *site, const struct site_key **ret_key,
                        struct err *err) MUST_CHECK;

#endif
