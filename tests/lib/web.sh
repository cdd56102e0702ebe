# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# nginx and PHP-FPM of our own: configuration, logs and sockets below one directory, nothing of the
# machine's servers used or touched.  They are children of the calling shell, see its mounts, listen
# on the loopback only and end by their process ids.
#
#   web_begin DIR USER       PHP as USER; sets WEB_DIR
#   web_site NAME PORT ROOT  a virtual host; ROOT may be a symlink that is switched
#   web_start / web_stop     web_start takes in sites added since
#   web_apache PORT USER     an Apache as USER beside it, before the same PHP; what stands inside its
#                            virtual host comes on stdin, what it says is in $WEB_DIR/apache
#   web_get PORT PATH        the body is in $WEB_DIR/body, the status in WEB_STATUS

WEB_DIR='' WEB_PIDS='' WEB_NGINX='' WEB_APACHE='' WEB_STATUS=''

# port_free: A port of the loopback nobody listens on.
port_free() {
        local port

        for port in $(shuf -i 20000-32000 -n 50); do
                (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return 0; }
        done
        return 1
}

web_begin() {
        local user=$2

        WEB_DIR=$1
        mkdir -p "$WEB_DIR/sites" "$WEB_DIR/tmp" "$WEB_DIR/log" "$WEB_DIR/sessions"
        chown "$user": "$WEB_DIR/tmp" "$WEB_DIR/sessions" "$WEB_DIR/log"
        sed "s/^ *//" >"$WEB_DIR/php.ini" <<END
                memory_limit = 256M
                display_errors = 0
                log_errors = 1
                error_reporting = 22527
                error_log = $WEB_DIR/log/php.log
                session.save_path = $WEB_DIR/sessions
                date.timezone = UTC
                opcache.enable = 1
                opcache.memory_consumption = 192
                opcache.max_accelerated_files = 32531
                upload_max_filesize = 16M
                post_max_size = 16M
END
        sed "s/^ *//" >"$WEB_DIR/fpm.conf" <<END
                [global]
                error_log = $WEB_DIR/log/fpm.log
                process_control_timeout = 10
                [www]
                user = $user
                group = $user
                listen = $WEB_DIR/php.sock
                listen.owner = $user
                listen.group = $user
                listen.backlog = 511
                pm = static
                pm.max_children = 6
END
        cat >"$WEB_DIR/nginx.conf" <<END
                user $user;
                daemon off;
                worker_processes 1;
                pid $WEB_DIR/nginx.pid;
                error_log $WEB_DIR/log/nginx.log;
                events { worker_connections 256; }
                http {
                        include /etc/nginx/mime.types;
                        access_log off;
                        client_max_body_size 16m;
                        client_body_temp_path $WEB_DIR/tmp/body;
                        proxy_temp_path $WEB_DIR/tmp/proxy;
                        fastcgi_temp_path $WEB_DIR/tmp/fastcgi;
                        uwsgi_temp_path $WEB_DIR/tmp/uwsgi;
                        scgi_temp_path $WEB_DIR/tmp/scgi;
                        include $WEB_DIR/sites/*.conf;
                }
END
}

# The path PHP gets is resolved: a request stays in the version it began in, and opcache never
# takes a file of one version for that of another.
web_site() {
        cat >"$WEB_DIR/sites/$1.conf" <<END
                server {
                        listen 127.0.0.1:$2;
                        server_name localhost;
                        root $3;
                        index index.php index.html;
                        location / { try_files \$uri \$uri/ /index.php?\$args; }
                        location ~ [^/]\.php(/|\$) {
                                fastcgi_split_path_info ^(.+?\.php)(/.*)\$;
                                if (!-f \$document_root\$fastcgi_script_name) { return 404; }
                                include /etc/nginx/fastcgi_params;
                                fastcgi_param SCRIPT_FILENAME \$realpath_root\$fastcgi_script_name;
                                fastcgi_param DOCUMENT_ROOT \$realpath_root;
                                fastcgi_param PATH_INFO \$fastcgi_path_info;
                                fastcgi_param HTTP_HOST \$http_host;
                                fastcgi_read_timeout 120;
                                fastcgi_pass unix:$WEB_DIR/php.sock;
                        }
                }
END
}

web_start() {
        local port i

        if [ -n "$WEB_PIDS" ]; then
                kill -HUP "$WEB_NGINX"
        else
                php-fpm8.2 -F -c "$WEB_DIR/php.ini" -y "$WEB_DIR/fpm.conf" \
                        >>"$WEB_DIR/log/fpm.log" 2>&1 </dev/null &
                WEB_PIDS=$!
                nginx -e "$WEB_DIR/log/nginx.log" -p "$WEB_DIR" -c "$WEB_DIR/nginx.conf" \
                        >>"$WEB_DIR/log/nginx.log" 2>&1 </dev/null &
                WEB_NGINX=$!
                WEB_PIDS="$WEB_PIDS $WEB_NGINX"
        fi
        for port in $(sed -n 's/^ *listen 127.0.0.1:\(.*\);/\1/p' "$WEB_DIR"/sites/*.conf); do
                for i in $(seq 100); do
                        [ -S "$WEB_DIR/php.sock" ] &&
                                (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
                        sleep 0.1
                done
                echo "the web server did not start; $WEB_DIR/log/nginx.log:" >&2
                tail -n 5 "$WEB_DIR"/log/*.log >&2
                return 1
        done
}

web_apache() {
        local port=$1 user=$2 dir=$WEB_DIR/apache module

        mkdir -p "$dir" && chmod 755 "$dir"
        {
                echo "ServerRoot $dir"
                echo "ServerName localhost"
                echo "PidFile pid"
                echo "ErrorLog log"
                echo "Listen 127.0.0.1:$port"
                echo "User $user"
                echo "Group $user"
                echo "Mutex file:$dir default"
                for module in mpm_event authz_core dir headers rewrite proxy proxy_fcgi; do
                        echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
                done
                echo "DirectoryIndex index.php"
                echo "<VirtualHost *:$port>"
                cat
                echo "</VirtualHost>"
        } >"$dir/conf"
        apache2 -f "$dir/conf" -DFOREGROUND >"$dir/said" 2>&1 </dev/null &
        WEB_APACHE=$!
        WEB_PIDS="$WEB_PIDS $WEB_APACHE"
        for _ in $(seq 100); do
                (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
                sleep 0.1
        done
        echo "Apache did not start:" >&2
        tail -n 5 "$dir/said" "$dir/log" >&2
        return 1
}

web_stop() {
        local pid

        for pid in $WEB_PIDS; do
                kill -TERM "$pid" 2>/dev/null
                wait "$pid" 2>/dev/null
        done
        WEB_PIDS=''
}

web_get() {
        WEB_STATUS=$(curl -s -m 60 -o "$WEB_DIR/body" -w '%{http_code}' "http://127.0.0.1:$1$2")
}

# web_expect PORT PATH STATUS TEXT: The answer has this status and contains this text.
web_expect() {
        web_get "$1" "$2"
        [ "$WEB_STATUS" = "$3" ] && grep -qF -e "$4" "$WEB_DIR/body" && return 0
        echo "GET $2 gave $WEB_STATUS, $(wc -c <"$WEB_DIR/body") bytes; wanted $3 with '$4'" >&2
        head -c 200 "$WEB_DIR/body" | tr -c '[:print:]\n' . >&2
        return 1
}
