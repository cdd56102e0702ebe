/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/site.h"
#include "snapd/site_keys.h"

/* "NAME.conf" and what else hangs on a valid name. */
static int conf_name(const char *name, const char *suffix, char *buf, size_t size, struct err *err)
{
        if (site_name_valid(name, err) < 0)
                return -1;
        (void)snprintf(buf, size, "%s.conf%s", name, suffix);
        return 0;
}

static int sites_open(int conf_fd, int *ret_fd, struct err *err)
{
        return safepath_mkdirs(conf_fd, SITE_CONF_DIR, 0755, geteuid(), getegid(), ret_fd, err);
}

/* A file is written row by row of the table: its section when that changes, then what the key is
 * for and its lines. */
struct writer {
        FILE *out;
        const struct site_key *key;
        const char *section;
        bool explained;
};

static int write_line(const char *text, void *arg, struct err *err)
{
        struct writer *w = arg;

        if (w->section == NULL || strcmp(w->section, w->key->section) != 0)
                (void)fprintf(w->out, "\n[%s]\n", w->key->section);
        w->section = w->key->section;
        if (!w->explained)
                (void)fprintf(w->out, "# %s\n", w->key->help);
        w->explained = true;
        if (strlen(text) > SITE_LINE_MAX - 64)
                return err_fail(err, ERR_INVALID, 0, "longer than a line can be");
        for (const char *c = text; *c != '\0'; c++)
                if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
                        return err_fail(err, ERR_INVALID, 0, "has a control character in it");
        (void)fprintf(w->out, "%s = %s\n", w->key->key, text);
        return 0;
}

static int write_keys(const struct site *site, FILE *out, struct err *err)
{
        struct writer w = { .out = out };

        (void)fprintf(out,
                      "# Site '%s' of sitesnap; sitesnap-site.conf(5) explains every key.\n"
                      "# After a change: %s site check %s\n",
                      site->name, SITESNAP_CTL, site->name);
        for (const struct site_key *key = site_keys; key->key != NULL; key++) {
                w.key = key;
                w.explained = false;
                if (key->kind->write(site, key, write_line, &w, err) < 0)
                        return err_wrap(err, "[%s] %s", key->section, key->key);
        }
        return 0;
}

/* A probe is written with what differs from the presets of its keys. */
struct probe_writer {
        FILE *out;
        const struct probe_key *key;
};

static int write_probe_line(const char *text, void *arg, struct err *err)
{
        const struct probe_writer *w = arg;

        if (strlen(text) > SITE_LINE_MAX - 64)
                return err_fail(err, ERR_INVALID, 0, "longer than a line can be");
        for (const char *c = text; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return err_fail(err, ERR_INVALID, 0, "has a control character in it");
        (void)fprintf(w->out, "%s = %s\n", w->key->key, text);
        return 0;
}

static int write_probes(const struct site *site, FILE *out, struct err *err)
{
        for (size_t i = 0; i < site->probes.n; i++) {
                const struct site_probe *probe = &site->probes.items[i];

                (void)fprintf(out, "\n[probe %s]\n", probe->name);
                for (const struct probe_key *key = probe_keys; key->key != NULL; key++) {
                        struct probe_writer w = { out, key };

                        if ((key == probe_keys || probe_key_set(probe, key)) &&
                            key->kind->write(probe, key, write_probe_line, &w, err) < 0)
                                return err_wrap(err, "[probe %s] %s", probe->name, key->key);
                }
        }
        return 0;
}

static int site_text(const struct site *site, char **ret_text, size_t *ret_n, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        FILE *out = open_memstream(&text, ret_n);
        int status;

        if (out == NULL)
                return err_oom(err);
        status = write_keys(site, out, err);
        if (status == 0)
                status = write_probes(site, out, err);
        if (fclose(out) != 0)
                return err_oom(err);
        if (status == 0)
                *ret_text = STEAL(text);
        return status;
}

/* The text of a file that site_parse() accepts. */
static int text_checked(const struct site *site, struct site_problems *problems, char **ret_text,
                        size_t *ret_n, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        struct site *again = NULL;

        if (site_name_valid(site->name, err) < 0 || site_text(site, &text, ret_n, err) < 0 ||
            site_parse(site->name, site->name, text, problems, &again, err) < 0)
                return -1;
        site_free(again);
        *ret_text = STEAL(text);
        return 0;
}

int site_check(const struct site *site, struct site_problems *problems, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n = 0;

        return text_checked(site, problems, &text, &n, err);
}

int site_resolve(const struct site *site, struct site **ret_site, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        size_t n = 0;

        if (site_name_valid(site->name, err) < 0 || site_text(site, &text, &n, err) < 0)
                return -1;
        return site_parse(site->name, site->name, text, NULL, ret_site, err);
}

int site_save(int conf_fd, const struct site *site, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        CLEANUP(freep) char *text = NULL;
        char name[64];
        size_t n = 0;

        if (conf_name(site->name, "", name, sizeof(name), err) < 0 ||
            text_checked(site, NULL, &text, &n, err) < 0 || sites_open(conf_fd, &dir_fd, err) < 0)
                return -1;
        return file_replace(dir_fd, name, text, n, 0644, err);
}

int site_delete_conf(int conf_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        char from[64], to[64];

        if (conf_name(name, "", from, sizeof(from), err) < 0 ||
            conf_name(name, ".removed", to, sizeof(to), err) < 0 ||
            sites_open(conf_fd, &dir_fd, err) < 0)
                return -1;
        if (renameat(dir_fd, from, dir_fd, to) < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot rename '%s' to '%s'", from, to);
        return file_sync_dir(dir_fd, err);
}

void site_accept(int state_fd, const struct site *site)
{
        CLEANUP(closep) int dir_fd = -1;
        struct err err;

        if (safepath_mkdirs(state_fd, "accepted", 0700, geteuid(), getegid(), &dir_fd, &err) == 0)
                (void)!site_save(dir_fd, site, &err);
}

int site_load_accepted(int state_fd, const char *name, struct site **ret_site, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;

        if (safepath_open(state_fd, "accepted", O_RDONLY | O_DIRECTORY, &dir_fd, err) < 0)
                return -1;
        return site_load(dir_fd, name, NULL, ret_site, err);
}
