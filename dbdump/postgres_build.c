/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_build.h"
#include "dbdump/postgres_tenant.h"

/* Texts of some objects, side by side as postgres_tenant_sql() takes them. */
struct batch {
        const char **names, **statements;
        size_t *which; /* in the list of objects */
        size_t n;
};

static void batch_done(struct batch *batch)
{
        free(batch->names);
        free(batch->statements);
        free(batch->which);
}

static int batch_init(struct batch *batch, size_t n, struct err *err)
{
        *batch = (struct batch){ calloc(n + 1, sizeof(char *)), calloc(n + 1, sizeof(char *)),
                                 calloc(n + 1, sizeof(size_t)), 0 };
        return batch->names == NULL || batch->statements == NULL || batch->which == NULL
                       ? err_oom(err)
                       : 0;
}

static void batch_add(struct batch *batch, const struct postgres_objects *objects, size_t i)
{
        batch->names[batch->n] = objects->list[i].name;
        batch->statements[batch->n] = objects->list[i].statement;
        batch->which[batch->n++] = i;
}

static int run_batch(const struct postgres_place *place, struct postgres_objects *objects,
                     const char *owner, const struct batch *batch, char *why, size_t size,
                     struct err *err)
{
        const struct postgres_tenant tenant = { place->work, owner, place->path, 0, NULL };
        CLEANUP(PQclearp) PGresult *result = NULL;
        CLEANUP(freep) char *sql = NULL;

        if (postgres_tenant_sql(place->link, &tenant, batch->names, batch->statements, batch->n,
                                &sql, err) < 0)
                return -1;
        if (!PQsendQuery(place->link->conn, sql))
                return postgres_fail(err, place->link, NULL);
        if (postgres_answer(place->link, &result, err) < 0) {
                postgres_try(place->link, "ROLLBACK");
                return -1;
        }
        for (size_t i = 0; i < batch->n; i++)
                objects->list[batch->which[i]].done = true;
        for (int row = 1; row + 1 < PQntuples(result); row += 2) {
                size_t i = strtoul(PQgetvalue(result, row, 0), NULL, 10);

                if (i < 1 || i > batch->n)
                        continue;
                objects->list[batch->which[i - 1]].done = false;
                (void)snprintf(why, size, "%s %s", objects->list[batch->which[i - 1]].kind,
                               PQgetvalue(result, row + 1, 0));
        }
        return 0;
}

static bool waits(const struct postgres_object *object, enum postgres_phase phase)
{
        return !object->done && object->phase <= phase && object->phase != POSTGRES_TABLE;
}

/* One pass over what waits: neighbours with one owner together. */
static int pass(const struct postgres_place *place, struct postgres_objects *objects,
                enum postgres_phase phase, size_t *ret_waiting, char *why, size_t size,
                struct err *err)
{
        struct batch batch;
        int r = batch_init(&batch, objects->n, err);

        for (size_t i = 0; r == 0 && i < objects->n;) {
                const char *owner = NULL;

                batch.n = 0;
                for (; i < objects->n; i++) {
                        if (!waits(&objects->list[i], phase))
                                continue;
                        if (owner != NULL && strcmp(owner, objects->list[i].owner) != 0)
                                break;
                        owner = objects->list[i].owner;
                        batch_add(&batch, objects, i);
                }
                if (batch.n > 0)
                        r = run_batch(place, objects, owner, &batch, why, size, err);
        }
        batch_done(&batch);
        *ret_waiting = 0;
        for (size_t i = 0; i < objects->n; i++)
                *ret_waiting += waits(&objects->list[i], phase);
        return r;
}

int postgres_build_phase(const struct postgres_place *place, struct postgres_objects *objects,
                         enum postgres_phase phase, bool last, struct err *err)
{
        size_t waiting = SIZE_MAX, before;
        char why[400] = "";

        do {
                before = waiting;
                if (pass(place, objects, phase, &waiting, why, sizeof(why), err) < 0)
                        return -1;
        } while (waiting > 0 && waiting < before);
        if (waiting > 0 && last)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the %s; it needs something that is not in the copy", why);
        return 0;
}

int postgres_build_table_sql(struct postgres_link *link, const struct postgres_place *place,
                             const struct postgres_objects *objects, uint32_t table,
                             unsigned worker, char **ret_sql, struct err *err)
{
        struct postgres_tenant tenant = { place->work, NULL, place->path, worker, NULL };
        struct batch batch;
        int r = batch_init(&batch, objects->n, err);

        *ret_sql = NULL;
        for (size_t i = 0; r == 0 && i < objects->n; i++)
                if (objects->list[i].phase == POSTGRES_TABLE && objects->list[i].table == table) {
                        tenant.owner = objects->list[i].owner;
                        batch_add(&batch, objects, i);
                }
        if (r == 0 && batch.n > 0)
                r = postgres_tenant_sql(link, &tenant, batch.names, batch.statements, batch.n,
                                        ret_sql, err);
        batch_done(&batch);
        return r;
}
