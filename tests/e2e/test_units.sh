#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_units.sh BUILD PREFIX CTL: What an installation consists of: no name that another package
# uses, units that systemd accepts, and a sandbox that does not hide what snapd mounts.
build=$1 prefix=$2 ctl=$3
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

root=$(mktemp -d /var/tmp/sitesnap-install.XXXXXX)
trap 'rm -rf "$root" "$TAP_OUTPUT"' EXIT
service=$root$prefix/lib/systemd/system/sitesnap.service
socket=$root$prefix/lib/systemd/system/sitesnap.socket

install_all() {
        DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
}

# Every file of the package says sitesnap in its path, but for the command and what belongs to it.
names_are_ours() {
        local path bad=0

        while read -r path; do
                case ${path#"$prefix"} in
                *sitesnap* | "/bin/$ctl" | */man1/"$ctl".1 | */bash-completion/completions/"$ctl" | \
                        */zsh/site-functions/_"$ctl" | */zsh/vendor-completions/_"$ctl") ;;
                *)
                        echo "'$path' does not say whose it is"
                        bad=1
                        ;;
                esac
        done < <(cd "$root" && find . ! -type d -printf '/%P\n')
        return $bad
}

# Canonical's snapd has these, and lies on the same servers.
names_are_free() {
        local path bad=0

        for path in /usr/lib/snapd /etc/snapd /run/snapd.socket /var/lib/snapd /usr/bin/snap \
                "$prefix/bin/snapd" "$prefix/sbin/snapd" "$prefix/lib/systemd/system/snapd.service" \
                "$prefix/lib/systemd/system/snapd.socket" "$prefix/share/man/man8/snapd.8"; do
                [ ! -e "$root$path" ] || { echo "'$path' is installed"; bad=1; }
        done
        return $bad
}

# sets UNIT KEY: Is KEY= set in this unit?
sets() {
        grep -q "^$2=" "$1"
}

# systemd.exec(5) of systemd 252: each of these makes a mount namespace of its own, in which the
# web server would not see what snapd mounts.
mounts_stay_visible() {
        local key bad=0

        for key in PrivateTmp PrivateDevices PrivateMounts PrivateIPC ProtectSystem ProtectHome \
                ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups \
                ProtectProc ProcSubset ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths \
                NoExecPaths BindPaths BindReadOnlyPaths TemporaryFileSystem RootDirectory RootImage \
                MountImages ExtensionImages ExtensionDirectories MountFlags DynamicUser \
                LogNamespace MountAPIVFS LoadCredential SetCredential; do
                if sets "$service" $key; then
                        echo "$key= gives snapd a mount namespace of its own"
                        bad=1
                fi
        done
        return $bad
}

# What the daemon and its workers do must be possible: see the comments in the unit.
calls_stay_possible() {
        local key bad=0

        for key in RestrictSUIDSGID MemoryDenyWriteExecute; do
                if sets "$service" $key; then
                        echo "$key= takes a call away that is needed"
                        bad=1
                fi
        done
        return $bad
}

restart_keeps_operations() {
        grep -qx 'KillMode=process' "$service" && grep -qx 'Type=notify' "$service" &&
                grep -qx 'RuntimeDirectoryPreserve=yes' "$service" && grep -q '^WatchdogSec=' "$service"
}

program_is_there() {
        local program

        program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$service")
        [ -x "$root$program" ] || { echo "'$program' is not installed"; return 1; }
}

# An operation is a process of its own, and what it loads somebody waits for: see snapd/module.h.
operations_load_little() {
        local program

        program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$service")
        ! ldd "$root$program" | grep -E 'lib(curl|cares|ssl|gnutls|microhttpd|systemd|archive|mariadb|pq)\.so'
}

# exposure: What systemd-analyze has to say against the unit: the directives that are not there, and
# of those that are, what they leave.
exposure() {
        systemd-analyze security --offline=true --no-pager "$service" 2>/dev/null |
                sed -n 's/^✗ \([^ ]*\).*/\1/p' | sed -e 's/CAP_SET(UID|GID|PCAP)/SETUID|SETGID/' \
                -e 's/AF_(INET|INET6)/AF_INET|AF_INET6/' -e 's/|IPC_OWNER\||SETFCAP//' -e 's/CAP_//g' \
                -e 's/^[A-Za-z]*=~//' -e 's/\/.*//' | tr -cs 'A-Za-z0-9_@' '\n'
}

# Each is named in a comment, or in a line that says how much of it is left.
what_is_left_out_has_a_reason() {
        local word bad=0 n=0

        for word in $(exposure); do
                n=$((n + 1))
                grep -E '^(#|RestrictNamespaces=)' "$service" | grep -q -- "\b${word#@}" ||
                        { echo "no word about '$word'"; bad=1; }
        done
        [ "$n" -gt 20 ] && [ $bad = 0 ]
}

need 'it installs into a directory of its own' install_all
check 'every installed name says whose it is' names_are_ours
check 'no name is one of the other snapd' names_are_free
check 'what snapd mounts is seen by all' mounts_stay_visible
check 'no directive takes away a call that is needed' calls_stay_possible
check 'a restart leaves operations alone' restart_keeps_operations
check 'the unit starts a program that is installed' program_is_there
check 'what only the daemon needs is not loaded by operations' operations_load_little

if command -v systemd-analyze >/dev/null; then
        # It looks for the programs; ours lie below another root.
        sed -i "s,^ExecStart=/,ExecStart=$root/," "$service"
        check 'systemd accepts the units' \
                exits 0 '' systemd-analyze verify --man=no "$service" "$socket"
        check 'what the unit leaves out has a reason in it' what_is_left_out_has_a_reason
        # 4.5 is out of reach without a mount namespace, which alone is worth 2.5; what remains is
        # what mounting, snapshots and becoming the site's user need.
        check 'the exposure is at most 5.4' \
                systemd-analyze security --offline=true --threshold=54 "$service"
        measured "exposure of the unit (systemd-analyze security): $(
                systemd-analyze security --offline=true "$service" 2>/dev/null |
                        sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p')"
else
        for name in 'systemd accepts the units' 'what the unit leaves out has a reason in it' \
                'the exposure is at most 5.4'; do
                TAP_N=$((TAP_N + 1))
                echo "ok $TAP_N - $name # SKIP systemd-analyze is not installed"
        done
fi
tap_done
