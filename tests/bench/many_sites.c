/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* many_sites DIR SITES VERSIONS: a catalog and configurations as of a large host, in DIR/state and
 * DIR/conf.  The sites are not mounted; this is about the daemon. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/catalog.h"

static int versions_put(struct catalog *catalog, const char *site, unsigned long n, struct err *err)
{
        for (unsigned long i = 1; i <= n; i++) {
                struct version version = {
                        .number = i,
                        .state = i == n ? VERSION_ACTIVE : VERSION_KEPT,
                        .parent = i - 1,
                        .tree = i,
                        .label = (char *)"release 1.2.3",
                        .reason = (char *)"a reason of the usual length",
                        .verb = (char *)"upgrade",
                        .created_usec = 1700000000000000,
                };

                if (catalog_put_version(catalog, site, &version, err) < 0)
                        return -1;
        }
        return 0;
}

static int site_put(struct catalog *catalog, int conf_fd, unsigned long i, unsigned long versions,
                    struct err *err)
{
        char name[32], file[64], text[512];

        (void)snprintf(name, sizeof(name), "site-%lu", i);
        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", name);
        (void)snprintf(text, sizeof(text),
                       "[site]\nhome = /srv/www/%s\nowner = nobody\ndocroot = /var/www/%s/html\n"
                       "shared = wp-content/uploads\nshared = logs\nowner_may = read mark mount\n",
                       name, name);
        if (file_replace(conf_fd, file, text, strlen(text), 0644, err) < 0 ||
            catalog_add_site(catalog, name, "overlayfs", "/srv/.sitesnap", err) < 0)
                return -1;
        return versions_put(catalog, name, versions, err);
}

static int make(int dir_fd, unsigned long sites, unsigned long versions, struct err *err)
{
        CLEANUP(catalog_closep) struct catalog *catalog = NULL;
        CLEANUP(closep) int state_fd = -1;
        CLEANUP(closep) int conf_fd = -1;

        (void)mkdirat(dir_fd, "state", 0700);
        (void)mkdirat(dir_fd, "conf", 0755);
        (void)mkdirat(dir_fd, "conf/sites.d", 0755);
        state_fd = openat(dir_fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        conf_fd = openat(dir_fd, "conf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (catalog_open(state_fd, &catalog, err) < 0 || catalog_begin(catalog, err) < 0)
                return -1;
        for (unsigned long i = 0; i < sites; i++)
                if (site_put(catalog, conf_fd, i, versions, err) < 0)
                        return -1;
        return catalog_commit(catalog, err);
}

int main(int argc, char **argv)
{
        struct err err = { 0 };

        if (argc != 4)
                return 2;
        if (make(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), strtoul(argv[2], NULL, 10),
                 strtoul(argv[3], NULL, 10), &err) < 0) {
                (void)fprintf(stderr, "%s\n", err.msg);
                return 1;
        }
        return 0;
}
