# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# WordPress with SQLite, as a site whose database lies inside its docroot: releases 6.2 to 6.5 and
# the drop-in for SQLite come in one npm package.  Needs fetch.sh, web.sh and wiki.sh
# (for as_user).
#
#   wordpress_fetch VERSION                    print the tree's path
#   wordpress_install VERSION DOCROOT PORT USER [DATABASE]   on SQLite, or on our MariaDB (database.sh)
#   wordpress_verify PORT VERSION              its pages, its content, its upload
#   wordpress_login PORT
# On our MariaDB (database.sh):
#   wordpress_mariadb_needed                   skip the script when something for it is missing
#   wordpress_releases VERSION...              $WORLD/wordpress-VERSION for upgrade-wordpress: without
#                                              the drop-in for SQLite
#   wordpress_site_add                         in a world with a daemon: adopt site 'blog', with its
#                                              database 'blog'
#   wordpress_adopt_mariadb                    install 6.2 and adopt it so

WORDPRESS_BUILDS=@wp-playground/wordpress-builds@0.9.19
WORDPRESS_PASSWORD=Long-enough-for-a-blog-1

wordpress_fetch() {
        cached "wordpress-$1" wp-includes/version.php wordpress_make "$1"
}

wordpress_builds_make() {
        mkdir tree
        npm pack --silent "$WORDPRESS_BUILDS"
        mv ./*.tgz tree/wordpress.tgz
}

wordpress_make() {
        local archive

        command -v npm >/dev/null || { echo 'npm is not installed' >&2; return 1; }
        archive=$(cached wordpress-builds wordpress.tgz wordpress_builds_make)/wordpress.tgz
        tar -xzf "$archive" package/src "package/public/wp-$1"
        mkdir tree
        python3 -m zipfile -e "package/src/wordpress/wp-$1.zip" tree
        # Styles and pictures were taken out of the archive and lie beside it.
        cp -a "package/public/wp-$1/." tree/
        python3 -m zipfile -e package/src/sqlite-database-integration/*.zip drop-in
        cd tree || return
        rm -rf wp-content/database wp-content/plugins/sqlite* wp-content/mu-plugins \
                wp-content/db.php wp-config.php wordpress-remote-asset-paths
        mkdir -p wp-content/mu-plugins
        mv ../drop-in/* wp-content/mu-plugins/sqlite-database-integration
        sed "s#'{SQLITE_IMPLEMENTATION_FOLDER_PATH}'#__DIR__ . '/mu-plugins/sqlite-database-integration'#;
                s#{SQLITE_PLUGIN}#sqlite-database-integration/load.php#" \
                wp-content/mu-plugins/sqlite-database-integration/db.copy >wp-content/db.php
        chmod -R u+rwX,go+rX .
}

# wordpress_php DOCROOT USER CODE: Run code inside the application, as its user.
wordpress_php() {
        (cd "$1" && as_user "$2" php -d display_errors=0 -r '
                $_SERVER["HTTP_HOST"] = getenv("HTTP_HOST") ?: "localhost";
                $_SERVER["REQUEST_URI"] = "/"; $_SERVER["SERVER_PROTOCOL"] = "HTTP/1.1";
                '"$3")
}

wordpress_install() {
        local tree docroot=$2 port=$3 user=$4 database=${5:-} key

        tree=$(wordpress_fetch "$1") || return 1
        mkdir -p "$docroot"
        cp -a --no-preserve=ownership "$tree/." "$docroot/"
        [ -z "$database" ] || rm -rf "$docroot/wp-content/db.php" "$docroot/wp-content/mu-plugins"
        sed -n "s/.*wp_version *= *'\([^']*\)'.*/\1/p" "$docroot/wp-includes/version.php" \
                >"$docroot/stamp.txt"
        {
                echo '<?php'
                for key in AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT \
                        SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT; do
                        echo "define( '$key', '$(head -c 24 /dev/urandom | base64)' );"
                done
                echo "define( 'DB_NAME', '${database:-wordpress}' );"
                echo "define( 'DB_USER', '$database' );"
                echo "define( 'DB_PASSWORD', '${database:+$MARIADB_PASSWORD}' );"
                echo "define( 'DB_HOST', '${database:+localhost:$MARIADB_SOCKET}' );"
                cat <<'END'
define( 'DB_DIR', __DIR__ . '/wp-content/database/' );
define( 'DB_FILE', '.ht.sqlite' );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'DISABLE_WP_CRON', true );
$table_prefix = 'wp_';
if ( ! defined( 'ABSPATH' ) ) {
        define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
END
        } >"$docroot/wp-config.php"
        mkdir -p "$docroot/wp-content/uploads"
        [ -n "$database" ] || mkdir -p "$docroot/wp-content/database"
        echo 'an upload' >"$docroot/wp-content/uploads/kept.txt"
        chown -R "$user": "$docroot"
        wordpress_php "$docroot" "$user" '
                define("WP_INSTALLING", true);
                require "wp-load.php"; require_once ABSPATH . "wp-admin/includes/upgrade.php";
                wp_install("Snapshot blog", "admin", "admin@example.org", true, "",
                        "'"$WORDPRESS_PASSWORD"'");
                foreach (["siteurl", "home"] as $o) update_option($o, "http://127.0.0.1:'"$port"'");
                update_option("permalink_structure", "/%postname%/"); flush_rewrite_rules();
                for ($i = 1; $i <= 5; $i++) wp_insert_post(["post_title" => "Kept post $i",
                        "post_name" => "kept-post-$i", "post_content" => "Kept text $i",
                        "post_status" => "publish"]);' >"$docroot/../install.log" 2>&1 &&
                { [ -n "$database" ] || [ -s "$docroot/wp-content/database/.ht.sqlite" ]; } ||
                { tail -n 20 "$docroot/../install.log" >&2; return 1; }
}

wordpress_verify() {
        web_expect "$1" / 200 "content=\"WordPress $2" &&
                web_expect "$1" /kept-post-3/ 200 'Kept text 3' &&
                web_expect "$1" '/wp-json/wp/v2/posts?per_page=1' 200 '"id":' &&
                web_expect "$1" /wp-content/uploads/kept.txt 200 'an upload'
}

wordpress_login() {
        local jar=$WEB_DIR/jar

        rm -f "$jar"
        curl -s -m 60 -o /dev/null -b "$jar" -c "$jar" "http://127.0.0.1:$1/wp-login.php"
        [ "$(curl -s -m 60 -o /dev/null -w '%{http_code}' -b "$jar" -c "$jar" \
                --data-urlencode log=admin --data-urlencode "pwd=$WORDPRESS_PASSWORD" \
                -d 'wp-submit=Log+In&testcookie=1' "http://127.0.0.1:$1/wp-login.php")" = 302 ] &&
                curl -s -m 60 -b "$jar" "http://127.0.0.1:$1/wp-admin/" | grep -q wp-admin-bar
}

wordpress_mariadb_needed() {
        local program version

        for program in mariadbd mariadb mariadb-install-db; do
                command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
                        tap_skip "no $program on this machine"
        done
        php -m | grep -qx mysqli || tap_skip 'PHP has no mysqli'
        for version in 6.2 6.5; do
                wordpress_fetch $version >/dev/null ||
                        tap_skip "WordPress $version cannot be fetched"
        done
}

wordpress_releases() {
        local version

        for version; do
                cp -a --no-preserve=ownership "$CACHE/wordpress-$version" \
                        "$WORLD/wordpress-$version"
                rm -rf "$WORLD/wordpress-$version/wp-content/db.php" \
                        "$WORLD/wordpress-$version"/wp-content/mu-plugins
        done
        chmod -R go+rX "$WORLD"/wordpress-*
}

wordpress_site_add() {
        ctl site add blog --home "$SITES/blog" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool" --adopt "$SITES/www/blog" \
                --shared wp-content/uploads --database mariadb:blog \
                --database-option "socket=$MARIADB_SOCKET" \
                --database-option user=sitesnap --database-option run_as=daemon \
                --database-option "secret_file=$MARIADB_SECRET" \
                --database-option app_user=blog@localhost \
                --set 'wp-config.php php-define DB_NAME {database}'
}

wordpress_adopt_mariadb() {
        wordpress_install 6.2 "$SITES/www/blog" "$PORT" "$OWNER" blog &&
                web_site blog "$PORT" "$SITES/www/blog" && web_start &&
                wordpress_site_add && wordpress_verify "$PORT" 6.2
}
