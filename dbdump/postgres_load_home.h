/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_LOAD_HOME_H
#define DBDUMP_POSTGRES_LOAD_HOME_H

/*
 * Where a dump is loaded: a schema "snap7.partial", or a database of that name, in which the role
 * NAME_load may make things and which nobody else can reach.
 */

#include "dbdump/postgres_build.h"

struct postgres_load_text {
        char word[12];
        char *texts[3];
};

struct postgres_load_home {
        struct postgres_server server; /* with the purpose of this copy */
        const char *database;          /* NULL: the home is a database */
        char name[DB_NAME_MAX], to[DB_NAME_MAX];
        char role[64];
        char *app_user;
        struct postgres_link *admin;
        struct postgres_place place;      /* its link is the admin's, or one of its own */
        struct postgres_load_text *facts; /* of the database that is to be made */
        size_t n_facts;
};

/* postgres_load_home_open(home, server, database, to, app_user, err): The role is there, what an
 * earlier attempt left is not.
 * postgres_load_home_take(home, word, texts, err): A record that says what to make.
 * postgres_load_home_make(home, err): Make it; home->place is where.
 * postgres_load_home_finish(home, err): All in it is the user's, and it has its name.  ERR_REFUSED:
 * the role has something elsewhere.
 * postgres_load_home_close(home, failed): End the sessions; what the role has elsewhere goes. */
int postgres_load_home_open(struct postgres_load_home *home, const struct postgres_server *server,
                            const char *database, const char *to, const char *app_user,
                            struct err *err) MUST_CHECK;
int postgres_load_home_take(struct postgres_load_home *home, const char *word,
                            const char *const texts[3], struct err *err) MUST_CHECK;
int postgres_load_home_make(struct postgres_load_home *home, struct err *err) MUST_CHECK;
int postgres_load_home_finish(struct postgres_load_home *home, struct err *err) MUST_CHECK;
void postgres_load_home_close(struct postgres_load_home *home, bool failed);

#endif
