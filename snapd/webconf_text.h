/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WEBCONF_TEXT_H
#define SNAPD_WEBCONF_TEXT_H

/*
 * The texts of webconf_print(), with the names of snapd/webconf.c where a site's values go.
 */

extern const char webconf_nginx_serve[], webconf_nginx_choose[], webconf_nginx_keep[],
        webconf_nginx_guard[], webconf_nginx_stay[], webconf_nginx_now[], webconf_nginx_session[],
        webconf_nginx_php[], webconf_nginx_private[];
extern const char webconf_apache_serve[], webconf_apache_resolve[], webconf_apache_choose[],
        webconf_apache_keep[], webconf_apache_guard[], webconf_apache_stay[],
        webconf_apache_session[], webconf_apache_other[], webconf_apache_php[],
        webconf_apache_private[];
extern const char webconf_quarantine[]; /* a pool of PHP-FPM */

#endif
