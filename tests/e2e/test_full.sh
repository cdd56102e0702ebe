#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A disk that is full before an upgrade, and one that fills up in the middle of it.
. "$(dirname "$0")/common.sh"

e2e_begin 512M
need 'a site on it' app_add app
need 'and a second version' ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two

# More than is left when the disk is full.
head -c 4M /dev/urandom >"$SITES/www/app/large" || head -c 4M /dev/urandom >"$SITES/app/current/large"

# Until not one more block fits, then a megabyte is given back: enough for the site to be read
# (SQLite needs a page for its readers), too little for anything else.
fill() {
        mkdir -p "$SITES/filler"
        head -c 4G /dev/zero >"$SITES/filler/large" 2>/dev/null
        sync -f "$SITES"
        truncate -s -1M "$SITES/filler/large"
        sync -f "$SITES"
}

empty() {
        rm -rf "$SITES/filler"
        sync -f "$SITES"
}

full_before() {
        local status

        fill
        exits 5 '' ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three
        status=$?
        app_expect "$PORT" two || status=1
        empty
        return "$status"
}

full_midway() {
        local status

        cat >"$WORLD/bin/eat" <<END
#!/bin/sh
head -c 8G /dev/zero >eaten
exit 1
END
        chmod 755 "$WORLD/bin/eat"
        exits 6 '' ctl upgrade app --label eaten -- "$WORLD/bin/eat"
        status=$?
        app_expect "$PORT" two && return "$status"
}

after_all() {
        local n

        for n in $(versions app | awk '$2 ~ /bad/ {print $1}'); do
                ctl prune app "$n" -y || return 1
        done
        ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three &&
                app_expect "$PORT" three
}

check 'a full disk is seen before anything is changed' full_before
check 'a disk that fills up in the middle: undone' full_midway
check 'with room again the upgrade goes through' after_all
tap_done
