/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/prober_unit.h"

bool unit_is_remote(const struct unit *unit)
{
        return unit->probe.kind != PROBE_COMMAND;
}

int unit_local_start(struct unit *unit, struct err *err)
{
        (void)unit;
        return err_fail(err, ERR_UNSUPPORTED, 0, "no commands");
}

void unit_local_stop(struct unit *unit)
{
        (void)unit;
}
