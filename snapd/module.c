/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "snapd/module.h"

/* The directory of the program's file, which its package may have replaced meanwhile. */
static int directory(char *path, size_t size, struct err *err)
{
        ssize_t n = readlink("/proc/self/exe", path, size - 1);

        if (n < 0)
                return err_fail(err, ERR_IO, errno, "cannot tell where the program lies");
        path[n] = '\0';
        *(strrchr(path, '/') + 1) = '\0';
        return 0;
}

int module_find(const char *module, const char *symbol, void **ret_symbol, struct err *err)
{
        char here[3000], path[3100];
        const char *version;
        void *handle;

        if (directory(here, sizeof(here), err) < 0)
                return -1;
        (void)snprintf(path, sizeof(path), "%ssnapd-%s.so", here, module);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the part '%s' of sitesnap is missing: %s",
                                module, dlerror());
        version = dlsym(handle, MODULE_VERSION_SYMBOL);
        if (version == NULL || strcmp(version, SITESNAP_VERSION) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the part '%s' of sitesnap is of version %.40s and this snapd is "
                                "%s: restart it ('systemctl restart sitesnap')",
                                module, version == NULL ? "none" : version, SITESNAP_VERSION);
        *ret_symbol = dlsym(handle, symbol);
        if (*ret_symbol == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the part '%s' of sitesnap has no '%s'",
                                module, symbol);
        return 0;
}
