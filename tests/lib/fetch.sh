# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Real applications for the demo and the tests, by package name alone.
#
# mediawiki_fetch VERSION unpacks MediaWiki 1.35, 1.39 or 1.43 below $CACHE and prints the tree's
# path.  The packages come from the archive this machine's own apt already uses, under another
# suite's name and with an apt state of our own, so nothing is installed and the machine's lists
# stay as they are.
#
# cached NAME MARK FUNCTION ARG... prints $CACHE/NAME, in which there is a file MARK.  If it is not
# there, FUNCTION makes it as `tree` in an empty directory of its own; it ends at its first command
# that fails, and what it made is thrown away then.  Tests that run side by side, on a machine that
# has nothing yet, wait for each other: one of them fetches, the others find it there.

FETCHING=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/fetching.sh
CACHE=${SITESNAP_CACHE:-/var/cache/sitesnap-test}

cached() (
        name=$1 mark=$2
        shift 2
        mkdir -p "$CACHE"
        exec 9>"$CACHE/$name.lock"
        flock 9
        if [ ! -e "$CACHE/$name/$mark" ]; then
                work=$CACHE/$name.work
                rm -rf "$work"
                mkdir "$work" || exit 1
                # A shell of its own: one that somebody asks whether it succeeds does not end at
                # what fails.
                (cd "$work" && exec bash -e "$FETCHING" "$@") >&2 && [ -e "$work/tree/$mark" ] &&
                        rm -rf "${CACHE:?}/$name" && mv "$work/tree" "$CACHE/$name"
                status=$?
                rm -rf "$work"
                [ $status -eq 0 ] || { echo "'$name' cannot be fetched" >&2; exit 1; }
        fi
        echo "$CACHE/$name"
)

# The suite of Debian that has this release of MediaWiki.
mediawiki_suite() {
        case $1 in
        1.35) echo bullseye ;;
        1.39) echo bookworm ;;
        1.43) echo trixie ;;
        *) echo "mediawiki $1 is in no known suite (1.35, 1.39, 1.43)" >&2; return 1 ;;
        esac
}

# private_apt COMMAND...: apt-get with sources and state of its own below $CACHE/apt.  The machine's
# apt.conf stays in force, since a proxy would be set there.
private_apt() {
        local a=$CACHE/apt

        apt-get -qq -o Dir::State="$a/state" -o Dir::State::status="$a/status" \
                -o Dir::Cache="$a/cache" -o Dir::Etc::sourcelist="$a/sources.list" \
                -o Dir::Etc::sourceparts="$a/none" -o Dir::Etc::preferencesparts="$a/none" \
                -o Dir::Etc::preferences="$a/none/none" -o APT::Sandbox::User=root \
                -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# The first address among this machine's sources that serves a whole Debian release.
archive_address() {
        # shellcheck disable=SC2016
        apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
                'Created-By: Packages' |
                awk '$2 ~ /^(bookworm|stable|oldstable|trixie)$/ && $3 == "main" {print $1; exit}'
}

private_apt_setup() {
        local a=$CACHE/apt key=/usr/share/keyrings/debian-archive-keyring.gpg address suite

        [ -e "$a/ready" ] && return 0
        address=$(archive_address)
        [ -n "$address" ] || { echo "no Debian archive among apt's sources" >&2; return 1; }
        mkdir -p "$a/none" "$a/state/lists/partial" "$a/cache/archives/partial"
        : >"$a/status"
        for suite in bullseye bookworm trixie; do
                echo "deb [signed-by=$key] $address $suite main"
        done >"$a/sources.list"
        private_apt update >&2 && : >"$a/ready"
}

# packages_unpack ROOT SUITE PACKAGE...: What is in these packages of that suite lies below ROOT.
packages_unpack() {
        local root=$1 suite=$2 deb
        shift 2

        mkdir -p "$CACHE" "$root.debs" "$root"
        (
                # There is one state of apt for all that is fetched.
                flock 8
                private_apt_setup
                cd "$root.debs" || exit
                private_apt download "${@/%//$suite}" >&2
        ) 8>"$CACHE/apt.lock"
        for deb in "$root.debs"/*.deb; do
                dpkg-deb -x "$deb" "$root"
        done
}

# links_inward ROOT: Debian spreads an application over /var/lib, /usr/share and /etc and joins the
# parts by absolute links.  Point them into the unpacked root; those that lead to packages we do not
# need are dropped.
links_inward() {
        local link

        find "$1" -type l -lname '/*' | while read -r link; do
                ln -sfn "$1$(readlink "$link")" "$link"
        done
        find "$1" -xtype l -delete
}

# mediawiki_fetch VERSION: Print the path of that release's tree, after fetching it if needed.
mediawiki_fetch() {
        cached "mediawiki-$1" includes/Defines.php mediawiki_make "$1"
}

mediawiki_make() {
        local suite

        suite=$(mediawiki_suite "$1")
        packages_unpack "$PWD/root" "$suite" mediawiki mediawiki-classes
        mediawiki_flatten "$PWD/root" "$PWD/tree"
}

# mediawiki_flatten ROOT TREE: Make one plain tree of what is spread over ROOT.
mediawiki_flatten() {
        local root=$1 tree=$2

        links_inward "$root"
        cp -rL --preserve=mode,timestamps "$root/var/lib/mediawiki" "$tree"
        cp -rL --preserve=mode,timestamps "$root/usr/share/mediawiki/extensions-core/." \
                "$tree/extensions/" 2>/dev/null || true
        rm -rf "$tree/config" "$tree/LocalSettings.php"
        chmod -R u+rwX,go+rX "$tree"
}
