/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DELIVER_NET_H
#define SNAPD_DELIVER_NET_H

/*
 * The half of a delivery that speaks to a server; for snapd/deliver*.c.
 */

#include <curl/curl.h>
#include <jansson.h>

#include "common/error.h"

/* What the child says about the message of this index. */
struct deliver_answer {
        uint32_t index;
        uint32_t failed;
        char why[248];
};

/* A kind of target on the network: send one message of ${job}.  ${curl} is fresh but for its
 * connections.  ERR_IO: this message; every other code: the server cannot be reached or does not
 * let us in, so the next message need not be tried. */
struct deliver_kind {
        const char *name;
        int (*send)(CURL *curl, const json_t *job, const json_t *message, struct err *err);
};
extern const struct deliver_kind deliver_mail, deliver_webhook;

/* deliver_run(in_fd, out_fd, arg, err): A worker_function: reads a job, {"kind", the target's
 * settings, "secret", "ca", "limit_msec", "messages": [...]}, sends its messages in order and
 * writes a struct deliver_answer for each. */
int deliver_run(int in_fd, int out_fd, const void *arg, struct err *err) MUST_CHECK;

/* deliver_perform(curl, err): The transfer, with what all kinds have in common; fills ${err} from
 * what libcurl says. */
int deliver_perform(CURL *curl, struct err *err) MUST_CHECK;

/* deliver_mail_subject(message, ret_subject, err): The subject as it stands in a header: ASCII,
 * encoded (RFC 2047) when it has to be, folded. */
int deliver_mail_subject(const json_t *message, char **ret_subject, struct err *err) MUST_CHECK;

/* deliver_mail_text(message, ret_text, err): The text of a notice, or of all of a digest. */
int deliver_mail_text(const json_t *message, char **ret_text, struct err *err) MUST_CHECK;

#define DELIVER_SIGNATURE_MAX 128

/* deliver_signature(secret, seconds, body, buf): "t=SECONDS,v1=HEX": HMAC-SHA256, keyed with
 * ${secret}, of SECONDS, a point and the body. */
int deliver_signature(const char *secret, int64_t seconds, const char *body,
                      char buf[static DELIVER_SIGNATURE_MAX], struct err *err) MUST_CHECK;

#endif
