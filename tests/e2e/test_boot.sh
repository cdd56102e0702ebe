#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_boot.sh BUILD CTL PREFIX: The installed units under a real systemd, in a container whose root
# is this machine's with what is written to it in memory: the sandbox lets everything through that
# is needed, an operation survives a restart, a daemon that hangs is replaced, and after a reboot
# sites are mounted before the web server starts.
BUILD=$(readlink -f "$1") CTL=$2 PREFIX=$3
lib=$(dirname "${BASH_SOURCE[0]}")/../lib
# shellcheck source=tests/lib/tap.sh
. "$lib/tap.sh"
# shellcheck source=tests/lib/world.sh
. "$lib/world.sh"
[ "$(id -u)" -eq 0 ] || tap_skip 'needs root'
for program in systemd-nspawn script sqlite3; do
        command -v $program >/dev/null || tap_skip "$program is not installed"
done
[ -e /dev/loop-control ] || tap_skip 'needs loop devices'
world_apart "$@"

box=$(mktemp -d /var/tmp/sitesnap-boot.XXXXXX)
leave() {
        umount -R "$box/root" "$box/disk" "$box/memory" 2>/dev/null
        rm -rf --one-file-system "$box" "$TAP_OUTPUT"
}
trap leave EXIT
trap 'exit 1' INT TERM HUP

# One unit of ours runs a script of each boot and switches off; the web server is a unit that only
# notes what it would have served at its start.
container_make() {
        local units=$box/root/etc/systemd/system

        mkdir "$box/memory" "$box/root" "$box/disk" &&
                mount -t tmpfs -o size=512m tmpfs "$box/memory" &&
                mkdir "$box/memory/upper" "$box/memory/work" &&
                mount -t overlay overlay -o \
                        "lowerdir=/,upperdir=$box/memory/upper,workdir=$box/memory/work" "$box/root" &&
                truncate -s 1G "$box/disk.img" && mkfs.ext4 -q "$box/disk.img" &&
                mount -o loop "$box/disk.img" "$box/disk" && chmod 755 "$box/disk" &&
                DESTDIR=$box/root meson install -C "$BUILD" --no-rebuild --quiet &&
                mkdir -p "$box/root/srv/disk" "$units" && : >"$box/root/etc/machine-id" || return 1
        sed -i 's/^WatchdogSec=.*/WatchdogSec=3s/' \
                "$box/root$PREFIX/lib/systemd/system/sitesnap.service"
        cat >"$units/test.target" <<'END'
[Unit]
Requires=basic.target sitesnap.socket
Wants=test.service nginx.service sitesnap.service
After=basic.target
END
        cat >"$units/test.service" <<END
[Unit]
After=sitesnap.service nginx.service
[Service]
Type=oneshot
Environment=CTL=$PREFIX/bin/$CTL
ExecStart=/bin/bash /srv/disk/boot.sh
StandardOutput=append:/srv/disk/output
StandardError=inherit
TimeoutStartSec=90
ExecStopPost=/bin/systemctl --force --force poweroff
END
        cat >"$units/nginx.service" <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /srv/disk/www/app/release >/srv/disk/served 2>&1 || true'
END
        # As on any server: somebody has mounts of his own that follow the machine's.
        cat >"$units/private.service" <<'END'
[Service]
PrivateTmp=yes
ExecStart=/bin/sleep infinity
END
}

# boot SCRIPT: The container runs it, and its lines of TAP become cases of ours.
boot() {
        cp "$1" "$box/disk/boot.sh"
        rm -f "$box/disk/output"
        SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 5 150 script -qec \
                "systemd-nspawn --quiet --register=no --keep-unit --private-network -D $box/root \
                        --bind=$box/disk:/srv/disk -b systemd.unit=test.target" \
                /dev/null </dev/null >"$box/console" 2>&1
        grep -q '^finished$' "$box/disk/output"
}

# The cases of a boot, with what was said before each that failed.
report() {
        local line said=''

        while read -r line; do
                case $line in
                'ok - '* | 'not ok - '*)
                        TAP_N=$((TAP_N + 1))
                        [ "${line%% *}" = ok ] || { TAP_FAILED=1; printf '%s' "$said"; }
                        echo "${line%% - *} $TAP_N - ${line#* - }"
                        said=''
                        ;;
                *) said+="# $line"$'\n' ;;
                esac
        done <"$box/disk/output"
}

cat >"$box/first.sh" <<'END'
try() { local name=$1; shift; if "$@" </dev/null 2>&1; then echo "ok - $name"; else echo "not ok - $name"; fi; }
ctl() { timeout 60 "$CTL" "$@"; }
main() { systemctl show sitesnap.service -p MainPID --value; }
state() { systemctl show sitesnap.service -p ActiveState --value; }
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
serves() { is "$(cat /srv/disk/www/app/release)" "$1"; }

site_make() {
        mkdir -p /srv/disk/www/app/uploads /srv/disk/data
        echo one >/srv/disk/www/app/release
        printf '<?php $dir = "/srv/disk/data";\n' >/srv/disk/www/app/config.php
        chown -R www-data: /srv/disk/www/app /srv/disk/data
        setpriv --reuid www-data --regid www-data --clear-groups \
                sqlite3 /srv/disk/data/app.db 'create table t (a); insert into t values (1)'
}
site_add() {
        ctl site add app --home /srv/disk/app --owner www-data --adopt /srv/disk/www/app \
                --driver overlayfs --shared uploads --database sqlite:/srv/disk/data \
                --set 'config.php php-assign dir {database_dir}' \
                -- /bin/sh -c 'echo two >release; php -r "preg_match(chr(47).chr(97).chr(47), chr(97));"; sleep 4'
}
# Nobody looks at the old version, so nothing is waited for, whoever else has mounts.
upgrade_is_quick() {
        local begun=$SECONDS

        ctl upgrade app --label quick -- /bin/sh -c 'echo quick >release' &&
                { [ $((SECONDS - begun)) -lt 5 ] || { echo "it took $((SECONDS - begun)) s"; return 1; }; } &&
                serves quick && ctl rollback app && serves one
}
upgrade_survives_restart() {
        local old upgrade

        old=$(main)
        ctl upgrade app --label two --no-wait
        sleep 2
        systemctl restart sitesnap.service && [ "$(main)" != "$old" ] || return 1
        for _ in $(seq 150); do
                ctl check app >/dev/null && break
                sleep 0.1
        done
        ctl list app && serves two
}
hung_daemon_is_replaced() {
        local old

        old=$(main)
        kill -STOP "$old"
        for _ in $(seq 200); do
                [ "$(main)" != "$old" ] && [ "$(state)" = active ] && break
                sleep 0.1
        done
        is "$(state)" active && [ "$(main)" != "$old" ] && ctl status
}
killed_daemon_comes_back() {
        local old

        old=$(main)
        kill -KILL "$old"
        for _ in $(seq 100); do
                [ "$(main)" != "$old" ] && [ "$(state)" = active ] && break
                sleep 0.1
        done
        ctl status && serves two
}
socket_starts_it() {
        systemctl stop sitesnap.service && ctl status && is "$(state)" active && serves two
}
systemctl start private.service
site_make
try 'the daemon is ready' is "$(state)" active
try 'a site is adopted inside the sandbox' site_add
try 'an upgrade waits for nobody when nobody is there' upgrade_is_quick
try 'an upgrade goes on while the daemon is restarted' upgrade_survives_restart
try 'a daemon that hangs is replaced' hung_daemon_is_replaced
try 'a daemon that is killed comes back' killed_daemon_comes_back
try 'a request starts the daemon' socket_starts_it
try 'versions are switched' ctl activate app 1
try 'the version switched to is served' serves one
journalctl -u sitesnap.service --no-pager -o cat | tail -n 60 >/srv/disk/journal
echo finished
END
sed '/^systemctl start private/,$d' "$box/first.sh" >"$box/second.sh"
cat >>"$box/second.sh" <<'END'
try 'after a reboot the site was there when the web server started' is "$(cat /srv/disk/served)" one
try 'it is served' serves one
try 'and can be switched' ctl activate app 3
try 'to the other version' serves two
try 'a site is given back' ctl site remove app -y
try 'as a plain directory' is "$(stat -c %F /srv/disk/www/app)" directory
echo finished
END

need 'a container' container_make
check 'it boots' boot "$box/first.sh"
[ -e "$box/disk/output" ] && report
check 'it boots again' boot "$box/second.sh"
[ -e "$box/disk/output" ] && report
[ $TAP_FAILED = 0 ] || { sed 's/^/# /' "$box/disk/journal"; tail -n 20 "$box/console" | sed 's/^/# /'; }
tap_done
