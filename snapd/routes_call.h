/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ROUTES_CALL_H
#define SNAPD_ROUTES_CALL_H

/*
 * What a handler of a route gets and gives; the handlers themselves.
 *
 * A handler runs when the peer may do what the table in routes.c says, and does not ask who the
 * peer is again, except to leave out of a list what the peer may not see.  It never waits: what
 * takes long is answered by ANSWER_WAIT or ANSWER_ASK, and the server does the waiting.
 */

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/auth.h"
#include "snapd/catalog.h"
#include "snapd/dirs.h"
#include "snapd/history.h"
#include "snapd/expiry.h"
#include "snapd/journal.h"
#include "snapd/outbox.h"
#include "snapd/sitecache.h"
#include "snapd/spawner.h"
#include "snapd/watch.h"

struct api {
        const struct dirs *dirs;
        struct catalog *catalog;
        struct sitecache *sites;
        struct spawner *spawner;
        struct watch *watch;
        struct history *history; /* NULL: not kept */
        struct outbox *outbox; /* NULL: it could not be opened */
        struct expiry *expiry; /* NULL in tests */
        int64_t started_usec; /* on the boot clock */
};

#define CALL_ARGS_MAX 8

struct call {
        const char *method, *path;
        struct {
                const char *name, *value;
        } args[CALL_ARGS_MAX];
        size_t n_args;
        const json_t *body; /* NULL: none was sent */
        struct peer peer;
        int64_t arrived_usec; /* on the boot clock; the same when the call is made again */
};

/* What the path names; filled in before the handler runs. */
struct target {
        char name[SITE_NAME_MAX]; /* "" when it is not about one site */
        const struct site *site;  /* NULL: no readable configuration; valid until the next
                                   * question of the sitecache */
        uint64_t version;
        struct op op; /* of /v1/operations/ID, without steps */
};

enum answer_kind {
        ANSWER_JSON, /* json is the answer, or text, which is JSON already */
        ANSWER_WAIT, /* call again when the operation's seq is not `seq`, or at `until_usec` */
        ANSWER_ASK,  /* json is a question for a process of its own; what it says is the answer */
};

struct answer {
        enum answer_kind kind;
        unsigned status;
        json_t *json; /* owned, as is text */
        char *text;
        const char *type; /* of text; NULL: JSON */
        op_id op;
        bool answered; /* that the operation is served is known already */
        uint64_t seq;
        int64_t until_usec; /* on the boot clock */
};

typedef int (*call_handler)(struct api *api, const struct call *call, const struct target *target,
                            struct answer *answer, struct err *err);

/* call_arg(call, name): The argument behind the '?', or NULL. */
const char *call_arg(const struct call *call, const char *name);

/* call_number(text, what, ret_number, err): A decimal number from 0 to 2^63-1, nothing around it.
 * ERR_INVALID names ${what}. */
int call_number(const char *text, const char *what, uint64_t *ret_number,
                struct err *err) MUST_CHECK;

/* call_arg_number(call, name, otherwise, ret_number, err): The same for an argument; ${otherwise}
 * when it is not there. */
int call_arg_number(const struct call *call, const char *name, uint64_t otherwise,
                    uint64_t *ret_number, struct err *err) MUST_CHECK;

/* answer_text(answer, status, text, err): Takes ${text} over, which is JSON and from malloc().
 * answer_json(answer, status, json, err), answer_ask(answer, question, err): Take ${json} over;
 * NULL is "out of memory". */
int answer_text(struct answer *answer, unsigned status, char *text, struct err *err) MUST_CHECK;
int answer_json(struct answer *answer, unsigned status, json_t *json, struct err *err) MUST_CHECK;
int answer_ask(struct answer *answer, json_t *question, struct err *err) MUST_CHECK;

/* The handlers, named by their route. */
int route_root(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err) MUST_CHECK;
int route_status(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err) MUST_CHECK;
int route_sites(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err) MUST_CHECK;
int route_site_add(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err) MUST_CHECK;
int route_site(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err) MUST_CHECK;
int route_probes_run(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err);
int route_site_check(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err) MUST_CHECK;
int route_web_config(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err) MUST_CHECK;
int route_versions(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err) MUST_CHECK;
int route_version(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err) MUST_CHECK;
int route_version_change(struct api *api, const struct call *call, const struct target *target,
                         struct answer *answer, struct err *err) MUST_CHECK;
int route_passes(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err) MUST_CHECK;
int route_pass_add(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err) MUST_CHECK;
int route_pass_drop(struct api *api, const struct call *call, const struct target *target,
                    struct answer *answer, struct err *err) MUST_CHECK;
int route_probes(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err) MUST_CHECK;
int route_metrics(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err) MUST_CHECK;
int route_diff(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err) MUST_CHECK;
int route_lost_writes(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err) MUST_CHECK;
int route_schema(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err) MUST_CHECK;
int route_schema_diff(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err) MUST_CHECK;
int route_begin(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err) MUST_CHECK;
int route_operations(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err) MUST_CHECK;
int route_operation(struct api *api, const struct call *call, const struct target *target,
                    struct answer *answer, struct err *err) MUST_CHECK;
int route_log(struct api *api, const struct call *call, const struct target *target,
              struct answer *answer, struct err *err) MUST_CHECK;
int route_abort(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err) MUST_CHECK;
int route_resume(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err) MUST_CHECK;
int route_notices(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err) MUST_CHECK;
int route_notice_send(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err) MUST_CHECK;
int route_notices_test(struct api *api, const struct call *call, const struct target *target,
                       struct answer *answer, struct err *err) MUST_CHECK;
int route_notices_retry(struct api *api, const struct call *call, const struct target *target,
                        struct answer *answer, struct err *err) MUST_CHECK;
int route_notices_check(struct api *api, const struct call *call, const struct target *target,
                        struct answer *answer, struct err *err) MUST_CHECK;

#endif
