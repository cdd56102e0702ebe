/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "snapctl/term.h"

#define WIDTH_DEFAULT 80

/* The variables that decide in the order of setlocale(3): the locale itself is not loaded, text
 * is always UTF-8 inside. */
static bool locale_is_utf8(void)
{
        static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                const char *value = getenv(names[i]);

                if (value != NULL && *value != '\0')
                        return strcasestr(value, "utf-8") != NULL ||
                               strcasestr(value, "utf8") != NULL;
        }
        return false;
}

void term_resize(struct term *term)
{
        struct winsize size = { 0 };

        if (!term->terminal)
                term->width = UINT_MAX;
        else if (ioctl(fileno(term->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                term->width = size.ws_col;
        else
                term->width = WIDTH_DEFAULT;
}

struct term term_make(FILE *stream)
{
        const char *no_color = getenv("NO_COLOR"), *type = getenv("TERM");
        struct term term = { .stream = stream };

        term.terminal = isatty(fileno(stream));
        term.moves = term.terminal && type != NULL && strcmp(type, "dumb") != 0;
        /* The convention: set and not empty, whatever the value. */
        term.colours = term.moves && (no_color == NULL || *no_color == '\0');
        term.utf8 = term.terminal && locale_is_utf8();
        term_resize(&term);
        return term;
}

const char *term_colour(const struct term *term, enum colour colour)
{
        static const char *const codes[] = {
                [COLOUR_NONE] = "\033[0m",   [COLOUR_BOLD] = "\033[1m",
                [COLOUR_DIM] = "\033[2m",    [COLOUR_RED] = "\033[31m",
                [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
        };

        return term->colours ? codes[colour] : "";
}
