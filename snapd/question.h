/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_QUESTION_H
#define SNAPD_QUESTION_H

/*
 * Questions whose answer needs a pool opened or a tenant's configuration read are put to a child
 * process (`snapd --query`), so that snapd itself does neither.  It waits for none of them: the
 * answer comes back through a callback.
 */

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "snapd/dirs.h"

struct questions;
struct question;

/* question_answer: ${err} code 0: ${json} is the answer's text, which belongs to the callee.  Is
 * called once, from the event loop; the question is gone then. */
typedef void (*question_answer)(char *json, size_t n, const struct err *err, void *arg);

/* questions_open(event, dirs, ret_questions, err): The arguments outlive it. */
int questions_open(sd_event *event, const struct dirs *dirs, struct questions **ret_questions,
                   struct err *err) MUST_CHECK;

/* questions_close(questions): Ends the children of open questions; nobody is called. */
void questions_close(struct questions *questions);

/* question_ask(questions, uid, question, answer, arg, err): At most 8 are open at once and 2 of
 * one user, else ERR_BUSY.  ERR_TIMEOUT comes after a minute, or 15 where databases are read. */
int question_ask(struct questions *questions, uid_t uid, const json_t *question,
                 question_answer answer, void *arg, struct err *err) MUST_CHECK;

/* questions_forget(questions, arg): Nobody waits any more for what was asked with ${arg}. */
void questions_forget(struct questions *questions, const void *arg);

#endif
