/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_FAKE_API_H
#define TESTS_LIB_FAKE_API_H

/*
 * A daemon that answers what a test says, and snapctl run against it.
 *
 *   static const struct fake_answer answers[] = {
 *           { "GET /v1/sites", .body = "{\"sites\": []}" },
 *   };
 *   FAKE_API(answers);
 *   SNAPCTL("site", "list");
 *   ASSERT_EQ(ran.status, 0);
 *   ASSERT_STR(fake_requests(), "GET /v1/sites\n");
 *
 * The server is a child that ends with the test.  Programs run without the settings of the person
 * who runs the tests: TZ=UTC, no NO_COLOR, no LANG.
 */

#include <stddef.h>

enum fake_how {
        FAKE_WHOLE,
        FAKE_BYTES,     /* byte by byte, a millisecond each */
        FAKE_TRUNCATED, /* the length is said, half of it is sent, the connection closed */
        FAKE_CLOSED,    /* the connection is closed instead of an answer */
        FAKE_SILENT,    /* nothing is ever sent */
        FAKE_RAW,       /* the body is all that is sent, header and all */
        FAKE_ENDLESS,   /* a body that does not end */
};

struct fake_answer {
        const char *request; /* "GET /v1/sites"; query string included; with a '*' at its end all
                              * that begin so */
        const char *body;
        int status;     /* 0: 200 */
        unsigned times; /* how often it is given before the next one with this request; 0: always */
        unsigned delay_msec;
        enum fake_how how;
};

struct ran {
        int status;      /* exit status; 128 + signal */
        char *out, *err; /* with a terminal all is in out */
};

extern struct ran ran; /* of the last SNAPCTL() */

/* How the next ones run: as this user when not 0, and with stdout to the full device. */
extern unsigned ran_as;
extern int ran_full;

/* fake_api_begin(answers, n): Listen in test_tmpdir(); what is not among the answers is 404. */
void fake_api_begin(const struct fake_answer *answers, size_t n);
#define FAKE_API(answers) fake_api_begin((answers), sizeof(answers) / sizeof(*(answers)))

/* fake_socket(): Its path, also when nothing listens there. */
const char *fake_socket(void);

/* fake_requests(): What was asked so far: a line a request, with its body behind it. */
const char *fake_requests(void);

/* snapctl_run(argv): argv ends with NULL and is without the program's name. */
void snapctl_run(const char *const *argv);
#define SNAPCTL(...) snapctl_run((const char *const[]){ __VA_ARGS__, NULL })

/* snapctl_run_on_terminal(input, argv): The same on a terminal of 80 columns with colours and
 * UTF-8.  ${input} is typed when "[y/N]" or the first bar is seen. */
void snapctl_run_on_terminal(const char *input, const char *const *argv);
#define SNAPCTL_ON_TERMINAL(input, ...)                                                            \
        snapctl_run_on_terminal((input), (const char *const[]){ __VA_ARGS__, NULL })

#endif
