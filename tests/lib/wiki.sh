# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# MediaWiki as a site to work on: set-up, content, and questions that tell whether a
# page is really served (a status alone says little: an empty database may answer 200).
# Needs fetch.sh and web.sh.

WIKI_PASSWORD=Long-enough-for-a-wiki-1

# as_user USER COMMAND...: as that user and nobody else, with an environment of its own.
as_user() {
        local user=$1

        shift
        setpriv --reuid="$user" --regid="$user" --init-groups \
                env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 "$@"
}

# wiki_install VERSION DOCROOT DATA PORT USER [OPTION...]: An installed wiki that USER owns, its
# database where these options of its installer say, or else SQLite in DATA, a page, an uploaded picture.
wiki_install() {
        local tree docroot=$2 data=$3 port=$4 user=$5

        tree=$(mediawiki_fetch "$1") || return 1
        shift 5
        [ $# -gt 0 ] || set -- --dbtype sqlite --dbname wiki --dbpath "$data"
        mkdir -p "$docroot" "$data"
        cp -a --no-preserve=ownership "$tree/." "$docroot/"
        wiki_version "$docroot" >"$docroot/stamp.txt"
        chown -R "$user": "$docroot" "$data"
        as_user "$user" php "$docroot/maintenance/install.php" "$@" \
                --server "http://127.0.0.1:$port" --scriptpath '' \
                --pass "$WIKI_PASSWORD" 'Snapshot wiki' Admin >"$data.log" 2>&1 ||
                { tail -n 20 "$data.log" >&2; return 1; }
        # Sessions and caches are in the database, the site's languages on disk; nothing is shared
        # between versions but the uploads.  The languages are built when code changes and not by a
        # visitor, so that a version can be read where nothing can be written.
        cat >>"$docroot/LocalSettings.php" <<'END'
                wfLoadSkin( 'Vector' );
                $wgEnableUploads = true;
                $wgMainCacheType = CACHE_NONE;
                $wgCacheDirectory = "$IP/cache";
                $wgJobRunRate = 0;
                $wgPingback = false;
                $wgLocalisationCacheConf['manualRecache'] = true;
END
        chown "$user": "$docroot/LocalSettings.php"
        as_user "$user" php "$docroot/maintenance/rebuildLocalisationCache.php" --lang=en \
                --force >"$data.log" 2>&1 || { tail -n 20 "$data.log" >&2; return 1; }
        wiki_seed "$docroot" "$data" "$user"
}

wiki_seed() {
        local docroot=$1 seed=$2/seed user=$3 i

        mkdir -p "$seed/text" "$seed/picture"
        for i in 1 2 3 4 5 6; do
                echo "Kept text $i. [[Kept page $((i % 6 + 1))]] '''bold''' [[Category:Kept]]" \
                        >"$seed/text/Kept page $i.txt"
        done
        # The smallest PNG there is: one black dot.
        base64 -di >"$seed/picture/Kept.png" <<END
                iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJ
                RU5ErkJggg==
END
        chown -R "$user": "$seed"
        as_user "$user" php "$docroot/maintenance/importTextFiles.php" -u Admin \
                "$seed"/text/*.txt >"$seed/log" 2>&1 &&
                as_user "$user" php "$docroot/maintenance/importImages.php" --user Admin \
                        "$seed/picture" >>"$seed/log" 2>&1 || { tail -n 20 "$seed/log" >&2; return 1; }
        rm -rf "$seed"
}

# wiki_version DOCROOT: What release the code is.
wiki_version() {
        sed -n "s/^define( 'MW_VERSION', '\([^']*\)' );/\1/p" "$1/includes/Defines.php"
}

# wiki_picture DOCROOT: The path of the uploaded picture in the site.
wiki_picture() {
        (cd "$1" && find images -name Kept.png | head -1)
}

# wiki_verify PORT VERSION PICTURE: This release serves its pages, its content and its upload.
wiki_verify() {
        local port=$1

        web_expect "$port" "/api.php?action=query&meta=siteinfo&format=json" 200 "MediaWiki $2" &&
                web_expect "$port" /index.php/Kept_page_3 200 'Kept text 3' &&
                web_expect "$port" /index.php/Special:AllPages 200 'Kept page 6' &&
                web_expect "$port" "/$3" 200 ''
}

# wiki_login PORT: The administrator can log in, which reads and writes the database.
wiki_login() {
        local api=http://127.0.0.1:$1/api.php jar=$WEB_DIR/jar token

        rm -f "$jar"
        token=$(curl -s -m 60 -b "$jar" -c "$jar" \
                "$api?action=query&meta=tokens&type=login&format=json" |
                sed -n 's/.*"logintoken":"\([^"]*\)\\\\".*/\1\\/p')
        curl -s -m 60 -b "$jar" -c "$jar" --data-urlencode "logintoken=${token%\\}\\" \
                --data-urlencode username=Admin --data-urlencode "password=$WIKI_PASSWORD" \
                -d "loginreturnurl=http://127.0.0.1:$1/" "$api?action=clientlogin&format=json" |
                grep -q '"status":"PASS"'
}
