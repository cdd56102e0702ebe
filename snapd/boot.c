/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/cleanup.h"
#include "common/log.h"
#include "snapd/boot.h"
#include "snapd/lock.h"
#include "snapd/settle.h"
#include "snapd/sweep.h"

struct boot {
        const struct dirs *dirs;
        struct catalog *catalog;
};

static int boot_site(const char *name, void *arg, struct err *err)
{
        struct boot *boot = arg;
        CLEANUP(closep) int lock_fd = -1;
        struct step_env env;
        struct site *site;

        /* An operation goes on while snapd is restarted; it knows what its site needs. */
        if (lock_site(boot->dirs, name, 0, &lock_fd, err) < 0) {
                log_info("site '%s' is left as it is: %s", name, err->msg);
                return 0;
        }
        if (site_load(boot->dirs->conf_fd, name, NULL, &site, err) < 0) {
                log_error("site '%s': %s", name, err->msg);
                /* A slip of the pen must not keep a site from being served after a reboot. */
                if (site_load_accepted(boot->dirs->state_fd, name, &site, err) < 0) {
                        log_error("site '%s' is not mounted: %s", name, err->msg);
                        return 0;
                }
                log_warning("site '%s' is mounted as its file said before", name);
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

        /* Nobody misses them who cannot ask for them any more. */
        if (sweep_outputs(dirs, catalog, err) < 0)
                log_warning("%s", err->msg);
        return catalog_sites(catalog, boot_site, &boot, err);
}
