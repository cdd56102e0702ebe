/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/url.h"
#include "common/words.h"

#define PORT_MAX 65535

bool url_is_printable(const char *text)
{
        for (; *text != '\0'; text++)
                if (*text <= ' ' || *text >= 0x7f)
                        return false;
        return true;
}

/* HOST, HOST:PORT or [ADDRESS]:PORT in the first ${n} bytes. */
static bool authority_is_valid(const char *text, size_t n)
{
        const char *end = text + n, *port;
        unsigned number = 0;
        size_t host;

        if (n > 0 && text[0] == '[') {
                host = strcspn(text, "]");
                if (host < 3 || host >= n ||
                    strspn(text + 1, "0123456789abcdefABCDEF:.") != host - 1)
                        return false;
                port = text + host + 1;
        } else {
                host = strcspn(text, ":/?#");
                if (host == 0 || memchr(text, '\\', n) != NULL || memchr(text, '"', n) != NULL)
                        return false;
                port = text + host;
        }
        if (port >= end)
                return true;
        if (*port != ':' || port + 1 == end)
                return false;
        for (const char *digit = port + 1; digit < end; digit++) {
                if (*digit < '0' || *digit > '9')
                        return false;
                number = number * 10 + (unsigned)(*digit - '0');
        }
        return end - port - 1 <= 5 && number > 0 && number <= PORT_MAX;
}

int url_check(const char *text, const char *const *schemes, const char **ret_scheme,
              struct err *err)
{
        const char *scheme = NULL, *authority;
        char list[200];
        size_t n;

        for (size_t i = 0; schemes[i] != NULL && scheme == NULL; i++) {
                n = strlen(schemes[i]);
                if (strncmp(text, schemes[i], n) == 0 && strncmp(text + n, "://", 3) == 0)
                        scheme = schemes[i];
        }
        words_list(schemes, list, sizeof(list));
        if (scheme == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "'%.100s' is not a URL; it begins with one of %s and '://'", text,
                                list);
        authority = text + strlen(scheme) + 3;
        n = strcspn(authority, "/?#");
        if (memchr(authority, '@', n) != NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "a name or a password in a URL would be in logs; it does not "
                                "belong there");
        if (!url_is_printable(text) || !authority_is_valid(authority, n))
                return err_fail(err, ERR_INVALID, 0, "'%.100s' is not a URL", text);
        if (ret_scheme != NULL)
                *ret_scheme = scheme;
        return 0;
}

char *url_escape(const char *text)
{
        static const char digits[] = "0123456789ABCDEF";
        char *escaped = malloc(strlen(text) * 3 + 1), *at = escaped;

        for (const char *p = text; escaped != NULL && *p != '\0'; p++) {
                unsigned char c = (unsigned char)*p;

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("-._~", c) != NULL) {
                        *at++ = *p;
                        continue;
                }
                *at++ = '%';
                *at++ = digits[c >> 4];
                *at++ = digits[c & 15];
        }
        if (escaped != NULL)
                *at = '\0';
        return escaped;
}
