# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A site small enough to be switched a thousand times: see app/index.php.
#
#   app_install VERSION DOCROOT DATA USER
#   app_expect PORT VERSION    every part of the page and the database are of this version

app_install() {
        local docroot=$2 data=$3 user=$4

        mkdir -p "$docroot/parts" "$docroot/uploads" "$data"
        cp "$(dirname "${BASH_SOURCE[0]}")/app/index.php" "$docroot/"
        echo "<?php \$database_dir = '$data';" >"$docroot/config.php"
        echo 'an upload' >"$docroot/uploads/first.txt"
        sqlite3 "$data/app.sqlite" 'PRAGMA journal_mode = WAL;
                CREATE TABLE app (version TEXT); INSERT INTO app VALUES (0);
                CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);' >/dev/null
        (cd "$docroot" && app_write "$1" "$data")
        chown -R "$user": "$docroot" "$data"
        chmod 755 "$docroot" "$data"
}

# In the current directory, as upgrade-app does it.
app_write() {
        "$(dirname "${BASH_SOURCE[0]}")/upgrade-app" "$1" >/dev/null
}

app_expect() {
        web_expect "$1" / 200 "code=$2 code=$2 code=$2 code=$2 notes="
}
