/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "common/clock.h"
#include "common/units.h"
#include "snapctl/text.h"

/* Decode one character.  Returns its bytes, or 0 when they are not UTF-8; the string ends with a
 * NUL, which is no continuation byte, so nothing is read behind it. */
static size_t decode(const char *s, uint32_t *ret_char)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        unsigned char first = (unsigned char)s[0];
        uint32_t c = 0;
        size_t n = 0;

        if (first < 0x80) {
                *ret_char = first;
                return 1;
        }
        if (first >= 0xC2 && first < 0xE0) {
                n = 2;
                c = first & 0x1F;
        } else if (first >= 0xE0 && first < 0xF0) {
                n = 3;
                c = first & 0x0F;
        } else if (first >= 0xF0 && first < 0xF5) {
                n = 4;
                c = first & 0x07;
        }
        for (size_t i = 1; i < n; i++) {
                if (((unsigned char)s[i] & 0xC0) != 0x80)
                        return 0;
                c = c << 6 | ((unsigned char)s[i] & 0x3F);
        }
        if (n == 0 || c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
                return 0;
        *ret_char = c;
        return n;
}

/* Columns of a character, or -1 when it is not to be shown: control characters, what changes the
 * direction of the text around it, what is invisible. */
static int char_columns(uint32_t c)
{
        static bool has_locale;

        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
                return -1;
        if (c < 0x7F)
                return 1;
        if (c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
            (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
            (c >= 0xFFF9 && c <= 0xFFFB) || c >= 0xE0000)
                return -1;
        /* The width of characters is always UTF-8's, because the API is; messages are not
         * translated, so nothing else of the locale matters.  Most output needs none of it. */
        if (!has_locale)
                has_locale = setlocale(LC_CTYPE, "C.UTF-8") != NULL;
        return wcwidth((wchar_t)c);
}

/* How many printable ASCII characters stand at ${s}, at most ${max}. */
static size_t plain_run(const char *s, unsigned max)
{
        size_t n = 0;

        while (n < max && s[n] >= ' ' && s[n] < 0x7F)
                n++;
        return n;
}

unsigned text_put(FILE *out, const char *s, unsigned max)
{
        unsigned columns = 0;

        while (*s != '\0') {
                uint32_t c = 0;
                size_t n = plain_run(s, max - columns);
                int wide;

                /* Nearly all text is ASCII, and goes at once. */
                if (n > 0) {
                        if (out != NULL)
                                (void)fwrite(s, 1, n, out);
                        columns += (unsigned)n;
                        s += n;
                        continue;
                }
                n = decode(s, &c);
                wide = n == 0 ? -1 : char_columns(c);

                if (columns + (wide < 0 ? 1 : (unsigned)wide) > max)
                        break;
                if (out != NULL && wide < 0)
                        (void)fputc('?', out);
                else if (out != NULL)
                        (void)fwrite(s, 1, n, out);
                columns += wide < 0 ? 1 : (unsigned)wide;
                s += n == 0 ? 1 : n;
        }
        return columns;
}

unsigned text_width(const char *s)
{
        return text_put(NULL, s, UINT_MAX - 1);
}

void text_put_lines(FILE *out, const char *s, size_t n)
{
        const char *end = s + n;

        while (s < end && *s != '\0') {
                uint32_t c = 0;
                size_t bytes = decode(s, &c);

                /* "\r\n" is one line end; a bare "\r", with which a program redraws its line,
                 * would let it overwrite what stands there. */
                if (*s == '\r' && s + 1 < end && s[1] == '\n')
                        s++;
                if (*s == '\n' || *s == '\r')
                        (void)fputc('\n', out);
                else if (*s == '\t')
                        (void)fputc('\t', out);
                else if (bytes == 0 || char_columns(c) < 0)
                        (void)fputc('?', out);
                else
                        (void)fwrite(s, 1, bytes, out);
                s += bytes == 0 ? 1 : bytes;
        }
}

size_t text_number(uint64_t value, char buf[static TEXT_SIZE_MAX])
{
        char digits[TEXT_SIZE_MAX];
        size_t at = sizeof(digits), n;

        do {
                digits[--at] = (char)('0' + value % 10);
                value /= 10;
        } while (value > 0);
        n = sizeof(digits) - at;
        memcpy(buf, digits + at, n);
        buf[n] = '\0';
        return n;
}

void text_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX])
{
        static const char units[][5] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };
        uint64_t whole = bytes, tenths = 0;
        unsigned unit = 0;
        size_t n;

        while (unit < 6 && bytes >> (10 * unit) >= 1024)
                unit++;
        if (unit > 0) {
                unsigned shift = 10 * unit;

                /* 60 bits times 10 fit into 64. */
                tenths = ((bytes & ((UINT64_C(1) << shift) - 1)) * 10 +
                          (UINT64_C(1) << (shift - 1))) >>
                         shift;
                whole = (bytes >> shift) + tenths / 10;
        }
        if (whole == 1024 && unit < 6) {
                whole = 1;
                unit++;
        }
        n = text_number(whole, buf);
        if (unit > 0) {
                buf[n++] = '.';
                buf[n++] = (char)('0' + tenths % 10);
        }
        memcpy(buf + n, units[unit], sizeof(units[unit]));
}

void text_duration(int64_t usec, char buf[static TEXT_TIME_MAX])
{
        int64_t sec = usec / USEC_PER_SEC;

        if (sec < 0)
                sec = usec = 0;
        if (sec < 60)
                (void)snprintf(buf, TEXT_TIME_MAX, "%.1f s", (double)usec / USEC_PER_SEC);
        else if (sec < 3600)
                (void)snprintf(buf, TEXT_TIME_MAX, "%" PRId64 " min %" PRId64 " s", sec / 60,
                               sec % 60);
        else
                (void)snprintf(buf, TEXT_TIME_MAX, "%" PRId64 " h %" PRId64 " min", sec / 3600,
                               sec % 3600 / 60);
}

void text_ago(int64_t then_usec, int64_t now_usec, char buf[static TEXT_TIME_MAX])
{
        static const struct {
                int64_t below, sec;
                const char *unit;
        } steps[] = {
                { 2 * 60, 1, "second" },
                { 2 * 3600, 60, "minute" },
                { 2 * 86400, 3600, "hour" },
                { 15 * 86400, 86400, "day" },
                { 9 * 7 * 86400, 7 * 86400, "week" },
        };
        int64_t sec = (now_usec - then_usec) / USEC_PER_SEC;
        time_t when = (time_t)(then_usec / USEC_PER_SEC);
        struct tm tm = { 0 };

        if (sec >= 0 && sec < 2) {
                (void)snprintf(buf, TEXT_TIME_MAX, "just now");
                return;
        }
        for (size_t i = 0; sec > 0 && i < sizeof(steps) / sizeof(*steps); i++)
                if (sec < steps[i].below) {
                        int64_t n = sec / steps[i].sec;

                        (void)snprintf(buf, TEXT_TIME_MAX, "%" PRId64 " %s%s ago", n, steps[i].unit,
                                       n == 1 ? "" : "s");
                        return;
                }
        (void)localtime_r(&when, &tm);
        (void)strftime(buf, TEXT_TIME_MAX, "%Y-%m-%d", &tm);
}

bool text_parse_time(const char *s, int64_t *ret_usec)
{
        struct tm tm = { 0 };
        const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
        long offset_sec = 0;
        int64_t usec;

        if (rest == NULL)
                return false;
        if (*rest == '.')
                rest += 1 + strspn(rest + 1, "0123456789");
        if (*rest == '+' || *rest == '-') {
                struct tm zone = { 0 };
                const char *end = strptime(rest + 1, "%H:%M", &zone);

                if (end == NULL || *end != '\0')
                        return false;
                offset_sec = (zone.tm_hour * 60 + zone.tm_min) * 60 * (*rest == '-' ? -1 : 1);
        } else if (strcmp(rest, "Z") != 0) {
                return false;
        }
        usec = ((int64_t)timegm(&tm) - offset_sec) * USEC_PER_SEC;
        *ret_usec = usec;
        return true;
}

/* A local time; of a time of day the next one there is. */
static bool parse_local(const char *s, int64_t *ret_usec)
{
        time_t now = (time_t)(clock_wall_usec() / USEC_PER_SEC), then;
        bool today = strchr(s, 'T') == NULL;
        struct tm tm = { 0 };
        const char *end;

        if (today && localtime_r(&now, &tm) == NULL)
                return false;
        end = strptime(s, today ? "%H:%M" : "%Y-%m-%dT%H:%M", &tm);
        if (end == NULL)
                return false;
        if (*end == ':')
                end = strptime(end, ":%S", &tm);
        else
                tm.tm_sec = 0;
        if (end == NULL || *end != '\0')
                return false;
        tm.tm_isdst = -1;
        then = mktime(&tm);
        if (today && then <= now) {
                tm.tm_mday++;
                tm.tm_isdst = -1;
                then = mktime(&tm);
        }
        *ret_usec = (int64_t)then * USEC_PER_SEC;
        return then != (time_t)-1;
}

bool text_parse_until(const char *s, int64_t *ret_usec)
{
        struct err ignored;
        uint64_t msec;

        if (units_duration(s, &msec, &ignored) == 0) {
                *ret_usec = clock_wall_usec() + (int64_t)msec * 1000;
                return msec >= 1000;
        }
        return text_parse_time(s, ret_usec) || parse_local(s, ret_usec);
}

/* Digits at ${s}: their value and where they end; false when there are none or too many. */
static bool digits(const char *s, uint64_t *ret_value, const char **ret_end)
{
        char *end;
        unsigned long long value;

        /* strtoull() would take blanks and a sign. */
        if (!isdigit((unsigned char)*s))
                return false;
        errno = 0;
        value = strtoull(s, &end, 10);
        if (errno != 0 || value > INT64_MAX)
                return false;
        *ret_value = value;
        *ret_end = end;
        return true;
}

bool text_parse_u64(const char *s, uint64_t *ret_value)
{
        const char *end;
        uint64_t value;

        if (!digits(s, &value, &end) || *end != '\0' || value == 0)
                return false;
        *ret_value = value;
        return true;
}

bool text_parse_range(const char *s, uint64_t *ret_first, uint64_t *ret_last)
{
        uint64_t first, last;
        const char *end;

        if (!digits(s, &first, &end) || first == 0)
                return false;
        last = first;
        if (*end == '-' && !text_parse_u64(end + 1, &last))
                return false;
        if ((*end != '\0' && *end != '-') || last < first)
                return false;
        *ret_first = first;
        *ret_last = last;
        return true;
}

static unsigned min(unsigned a, unsigned b)
{
        return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
        enum { LETTERS = 32 };
        size_t n = strnlen(a, LETTERS - 1), m = strnlen(b, LETTERS - 1);
        unsigned d[LETTERS][LETTERS];

        for (size_t i = 0; i <= n; i++)
                for (size_t j = 0; j <= m; j++) {
                        if (i == 0 || j == 0) {
                                d[i][j] = (unsigned)(i + j);
                                continue;
                        }
                        d[i][j] = min(min(d[i - 1][j], d[i][j - 1]) + 1,
                                      d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1);
                }
        return d[n][m];
}
