/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/prober_hoard.h"

#define PATIENT_USEC INT64_C(2000000)

static void begin(struct hoard *hoard, struct body *body)
{
        body->since_usec = clock_boot_usec();
        body->next = NULL;
        body->previous = hoard->last;
        *(hoard->last == NULL ? &hoard->first : &hoard->last->next) = body;
        hoard->last = body;
}

void hoard_remove(struct hoard *hoard, struct body *body)
{
        if (body->data == NULL)
                return;
        *(body->previous == NULL ? &hoard->first : &body->previous->next) = body->next;
        *(body->next == NULL ? &hoard->last : &body->next->previous) = body->previous;
        hoard->bytes -= body->n;
        free(body->data);
        body->data = NULL;
        body->n = 0;
}

static void drop(struct hoard *hoard, struct body *body)
{
        hoard_remove(hoard, body);
        body->dropped = true;
}

/* Who makes way for so much more of ${body}? */
static struct body *victim_of(const struct hoard *hoard, struct body *body, size_t n)
{
        size_t most = body->n + n;

        if (hoard->first->since_usec <= clock_boot_usec() - PATIENT_USEC)
                return hoard->first;
        for (struct body *one = hoard->first; one != NULL; one = one->next)
                if (one->n > most) {
                        body = one;
                        most = one->n;
                }
        return body;
}

bool hoard_add(struct hoard *hoard, struct body *body, const char *data, size_t n)
{
        char *more;

        while (!body->dropped && hoard->bytes + n > HOARD_MAX)
                drop(hoard, victim_of(hoard, body, n));
        if (body->dropped)
                return false;
        more = realloc(body->data, body->n + n + 1);
        if (more == NULL) {
                drop(hoard, body);
                return false;
        }
        if (body->data == NULL)
                begin(hoard, body);
        body->data = more;
        memcpy(more + body->n, data, n);
        body->n += n;
        more[body->n] = '\0';
        hoard->bytes += n;
        return true;
}
