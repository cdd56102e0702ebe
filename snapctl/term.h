/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_TERM_H
#define SNAPCTL_TERM_H

/*
 * What a stream can show.  Colour, marks and cutting to the width are for terminals only; where
 * output is piped it is plain and whole.
 */

#include <stdbool.h>
#include <stdio.h>

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW };

struct term {
        FILE *stream;
        bool terminal;
        bool colours;   /* a terminal, NO_COLOR is not set, TERM is not dumb */
        bool moves;     /* a line can be redrawn in place */
        bool utf8;      /* the person's locale says so */
        unsigned width; /* columns; UINT_MAX when it is not a terminal */
};

/* term_make(stream): Look once what ${stream} is. */
struct term term_make(FILE *stream);

/* term_resize(term): Ask for the width again. */
void term_resize(struct term *term);

/* term_colour(term, colour): What to print before coloured text, "" without colours;
 * COLOUR_NONE ends it. */
const char *term_colour(const struct term *term, enum colour colour);

#endif
