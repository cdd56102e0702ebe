/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/webconf_text.h"

/* php_admin_value cannot be lifted by the application.  What goes out in other ways (sockets made
 * by an extension, a program that is run) only a firewall of the process stops. */
const char webconf_quarantine[] =
        "; Site '@SITE@': a pool of PHP-FPM for versions that are not the live one.  It sends no\n"
        "; mail and asks no other machine.  Its socket's path goes into the site's file:\n"
        ";   [front]\n"
        ";   other_pool = /run/php/@SITE@-other.sock\n"
        "[@SITE@-other]\n"
        "user = @OWNER@\n"
        "group = @OWNER@\n"
        "listen = /run/php/@SITE@-other.sock\n"
        "listen.owner = www-data\n"
        "listen.group = www-data\n"
        "pm = ondemand\n"
        "pm.max_children = 4\n"
        "php_admin_value[sendmail_path] = /bin/true\n"
        "php_admin_flag[allow_url_fopen] = off\n"
        "php_admin_flag[allow_url_include] = off\n"
        "php_admin_value[disable_functions] = "
        "mail,curl_exec,curl_multi_exec,fsockopen,pfsockopen,stream_socket_client,exec,shell_exec,"
        "system,passthru,proc_open,popen\n"
        "; A database reached over TCP by PHP's own drivers is not touched by these.  For sockets "
        "of\n"
        "; every kind: run this pool by a PHP-FPM of its own whose unit has\n"
        ";   [Service]\n"
        ";   IPAddressDeny=any\n"
        ";   IPAddressAllow=localhost\n";
