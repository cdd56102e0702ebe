/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/log.h"
#include "snapd/boot.h"
#include "snapd/settle.h"

struct boot {
        const struct dirs *dirs;
        struct catalog *catalog;
};

static int boot_site(const char *name, void *arg, struct err *err)
{
        struct boot *boot = arg;
        struct step_env env;
        struct site *site;

        if (site_load(boot->dirs->conf_fd, name, NULL, &site, err) < 0) {
                log_error("site '%s' is not mounted: %s", name, err->msg);
                return 0;
        }
        env_init(&env, boot->dirs, boot->catalog, site);
        if (settle_site(&env, err) < 0)
                log_error("site '%s' is not as it should be: %s", name, err->msg);
        env_done(&env);
        return 0;
}

int boot_settle(const struct dirs *dirs, struct catalog *catalog, struct err *err)
{
        struct boot boot = { .dirs = dirs, .catalog = catalog };

        return catalog_sites(catalog, boot_site, &boot, err);
}
