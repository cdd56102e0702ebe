/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/site_keys.h"

#define PRESET_DIR "probes.d"

/* The text of a preset and where it was: the administrator's own comes before the shipped one. */
static int preset_text(int conf_fd, const char *name, char path[static 512], char **ret_text,
                       struct err *err)
{
        CLEANUP(closep) int shipped_fd = -1;

        (void)snprintf(path, 512, PRESET_DIR "/%s.conf", name);
        if (site_read_trusted(conf_fd, PRESET_DIR, name, path, ret_text, err) == 0)
                return 0;
        if (err->code != ERR_NOT_FOUND)
                return -1;
        (void)snprintf(path, 512, SITESNAP_DATADIR "/" PRESET_DIR "/%s.conf", name);
        shipped_fd = openat(AT_FDCWD, SITESNAP_DATADIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (shipped_fd < 0 ||
            site_read_trusted(shipped_fd, PRESET_DIR, name, path, ret_text, err) < 0)
                return shipped_fd >= 0 && err->code != ERR_NOT_FOUND
                               ? -1
                               : err_fail(err, ERR_NOT_FOUND, 0,
                                          "there is no preset '%s': neither " PRESET_DIR
                                          "/%s.conf in the configuration directory nor '%s'",
                                          name, name, path);
        return 0;
}

static int url_complete(const struct site *site, char **url, struct err *err)
{
        size_t n = site->guard.url == NULL ? 0 : strlen(site->guard.url);
        char *whole;

        if (*url == NULL || (*url)[0] != '/')
                return 0;
        if (n == 0)
                return err_fail(err, ERR_INVALID, 0,
                                "'%.200s' belongs to an address that is not known: set [guard] url",
                                *url);
        while (n > 0 && site->guard.url[n - 1] == '/')
                n--;
        if (asprintf(&whole, "%.*s%s", (int)n, site->guard.url, *url) < 0)
                return err_oom(err);
        free(*url);
        *url = whole;
        return 0;
}

/* URLs are made whole, and what the site says for all its probes is said by each. */
static int probe_complete(const struct site *site, struct site_probe *probe, struct err *err)
{
        if (url_complete(site, &probe->login_url, err) < 0)
                return -1;
        for (char **url = probe->urls; url != NULL && *url != NULL; url++)
                if (url_complete(site, url, err) < 0)
                        return -1;
        if (probe->address == NULL && site->guard.address != NULL && probe->urls != NULL &&
            (probe->address = strdup(site->guard.address)) == NULL)
                return err_oom(err);
        return 0;
}

/* Add what the site has not said otherwise. */
static int preset_add(const struct probe_list *preset, struct probe_list *list, struct err *err)
{
        for (size_t i = 0; i < preset->n; i++) {
                const struct probe_list one = { &preset->items[i], 1 };

                if (probe_list_find(list, preset->items[i].name) == NULL &&
                    probe_list_copy(&one, list, err) < 0)
                        return -1;
        }
        return 0;
}

static int list_make(int conf_fd, const struct site *site, struct site_problems *problems,
                     struct probe_list *list, struct err *err)
{
        if (probe_list_copy(&site->probes, list, err) < 0)
                return -1;
        for (char **name = site->guard.presets; name != NULL && *name != NULL; name++) {
                CLEANUP(freep) char *text = NULL;
                struct probe_list preset = { 0 };
                char path[512];
                int r;

                if (preset_text(conf_fd, *name, path, &text, err) < 0 ||
                    site_parse_preset(*name, path, text, problems, &preset, err) < 0)
                        return -1;
                r = preset_add(&preset, list, err);
                probe_list_done(&preset);
                if (r < 0)
                        return -1;
        }
        for (size_t i = 0; i < list->n; i++)
                if (probe_complete(site, &list->items[i], err) < 0)
                        return err_wrap(err, "[probe %s] url", list->items[i].name);
        return 0;
}

int site_probes(int conf_fd, const struct site *site, struct site_problems *problems,
                struct probe_list *ret_list, struct err *err)
{
        struct probe_list list = { 0 };

        if (list_make(conf_fd, site, problems, &list, err) < 0) {
                struct err ignored;

                probe_list_done(&list);
                if (problems != NULL && problems->n == 0)
                        (void)!site_problem_add(problems, site->name, 0, "presets", err, &ignored);
                return -1;
        }
        *ret_list = list;
        return 0;
}
