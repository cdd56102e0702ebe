/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/probe_values.h"

int probe_name_valid(const char *name, struct err *err)
{
        size_t n = strlen(name);

        if (n == 0 || n >= PROBE_NAME_MAX || name[0] < 'a' || name[0] > 'z' ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
                return err_fail(err, ERR_INVALID, 0,
                                "'%.40s' is not a probe's name: 1 to %d of a-z, 0-9 and '-', a "
                                "letter first",
                                name, PROBE_NAME_MAX - 1);
        return 0;
}

void probe_done(struct site_probe *probe)
{
        for (const struct probe_key *key = probe_keys; key->key != NULL; key++)
                if (key->kind->done != NULL)
                        key->kind->done(probe, key);
        free(probe->name);
        *probe = (struct site_probe){ 0 };
}

void probe_list_done(struct probe_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                probe_done(&list->items[i]);
        free(list->items);
        *list = (struct probe_list){ 0 };
}

struct site_probe *probe_list_find(const struct probe_list *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->items[i].name, name) == 0)
                        return &list->items[i];
        return NULL;
}

static int probe_make(struct site_probe *probe, const char *name, struct err *err)
{
        *probe = (struct site_probe){ .name = strdup(name) };
        if (probe->name == NULL)
                return err_oom(err);
        for (const struct probe_key *key = probe_keys; key->key != NULL; key++)
                if (key->preset != NULL && key->kind->read(probe, key, key->preset, err) < 0)
                        return -1;
        return 0;
}

int probe_list_add(struct probe_list *list, const char *name, struct site_probe **ret_probe,
                   struct err *err)
{
        struct site_probe *more;

        if (probe_name_valid(name, err) < 0)
                return -1;
        if (probe_list_find(list, name) != NULL)
                return err_fail(err, ERR_EXISTS, 0, "there are two probes '%s'", name);
        if (list->n == PROBES_MAX)
                return err_fail(err, ERR_INVALID, 0, "a site has at most %d probes", PROBES_MAX);
        more = reallocarray(list->items, list->n + 1, sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        list->items = more;
        if (probe_make(&more[list->n], name, err) < 0) {
                probe_done(&more[list->n]);
                return -1;
        }
        *ret_probe = &more[list->n++];
        return 0;
}

int probe_list_copy(const struct probe_list *from, struct probe_list *list, struct err *err)
{
        for (size_t i = 0; i < from->n; i++) {
                CLEANUP(json_decrefp) json_t *json = probe_json(&from->items[i]);
                struct site_probe *copy, read = { 0 };

                if (json == NULL)
                        return err_oom(err);
                if (probe_from_json(json, &read, err) < 0 ||
                    probe_list_add(list, read.name, &copy, err) < 0) {
                        probe_done(&read);
                        return -1;
                }
                probe_done(copy);
                *copy = read;
        }
        return 0;
}

static int text_collect(const char *text, void *arg, struct err *err)
{
        return json_array_append_new(arg, json_string(text)) < 0 ? err_oom(err) : 0;
}

json_t *probe_json(const struct site_probe *probe)
{
        json_t *json = json_pack("{s:s}", "name", probe->name);

        for (const struct probe_key *key = probe_keys; json != NULL && key->key != NULL; key++) {
                json_t *texts = json_array();
                struct err ignored;

                if (texts == NULL ||
                    key->kind->write(probe, key, text_collect, texts, &ignored) < 0 ||
                    (json_array_size(texts) > 0 && json_object_set(json, key->key, texts) < 0)) {
                        json_decref(json);
                        json = NULL;
                }
                json_decref(texts);
        }
        return json;
}

int probe_from_json(const json_t *json, struct site_probe *probe, struct err *err)
{
        const char *name = json_get_string(json, "name"), *member;
        json_t *texts, *text;
        size_t i;

        if (name == NULL || probe_name_valid(name, err) < 0 || probe_make(probe, name, err) < 0)
                return name == NULL ? err_fail(err, ERR_INVALID, 0, "a probe without a name") : -1;
        json_object_foreach ((json_t *)json, member, texts) {
                const struct probe_key *key = probe_key_find(member);

                if (strcmp(member, "name") == 0)
                        continue;
                if (key == NULL)
                        return err_fail(err, ERR_INVALID, 0, "a probe has no '%.40s'", member);
                if (json_array_size(texts) > 1 && !key->repeatable)
                        return err_fail(err, ERR_INVALID, 0, "'%s' is given twice", member);
                json_array_foreach (texts, i, text)
                        if (!json_is_string(text) ||
                            key->kind->read(probe, key, json_string_value(text), err) < 0)
                                return json_is_string(text) ? err_wrap(err, "'%s'", member)
                                                            : err_fail(err, ERR_INVALID, 0,
                                                                       "'%s' is no text", member);
        }
        return 0;
}
