/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "snapd/remote_wire.h"

#define NONE UINT64_MAX /* the length of a NULL */

void wire_begin(struct wire *wire, unsigned kind)
{
        wire->kind = kind;
        wire->n = wire->at = 0;
        wire->ok = true;
}

void wire_done(struct wire *wire)
{
        free(wire->data);
        *wire = (struct wire){ 0 };
}

static bool reserve(struct wire *wire, size_t more)
{
        size_t room = wire->room == 0 ? 4096 : wire->room;
        char *data;

        if (!wire->ok || more > WIRE_MAX - wire->n) {
                wire->ok = false;
                return false;
        }
        if (wire->n + more <= wire->room)
                return true;
        while (room < wire->n + more)
                room *= 2;
        data = realloc(wire->data, room);
        if (data == NULL) {
                wire->ok = false;
                return false;
        }
        wire->data = data;
        wire->room = room;
        return true;
}

void wire_put(struct wire *wire, uint64_t number)
{
        if (!reserve(wire, sizeof(number)))
                return;
        memcpy(wire->data + wire->n, &number, sizeof(number));
        wire->n += sizeof(number);
}

void wire_put_bytes(struct wire *wire, const void *bytes, size_t n)
{
        wire_put(wire, bytes == NULL ? NONE : n);
        if (bytes == NULL || !reserve(wire, n + 1))
                return;
        memcpy(wire->data + wire->n, bytes, n);
        wire->data[wire->n + n] = '\0';
        wire->n += n + 1;
}

void wire_put_text(struct wire *wire, const char *text)
{
        wire_put_bytes(wire, text, text == NULL ? 0 : strlen(text));
}

uint64_t wire_get(struct wire *wire)
{
        uint64_t number;

        if (!wire->ok || wire->n - wire->at < sizeof(number)) {
                wire->ok = false;
                return 0;
        }
        memcpy(&number, wire->data + wire->at, sizeof(number));
        wire->at += sizeof(number);
        return number;
}

const char *wire_get_bytes(struct wire *wire, size_t *ret_n)
{
        uint64_t n = wire_get(wire);
        const char *bytes;

        *ret_n = 0;
        if (!wire->ok || n == NONE)
                return NULL;
        if (n >= wire->n - wire->at || wire->data[wire->at + n] != '\0') {
                wire->ok = false;
                return NULL;
        }
        bytes = wire->data + wire->at;
        wire->at += n + 1;
        *ret_n = n;
        return bytes;
}

const char *wire_get_text(struct wire *wire)
{
        size_t n;
        const char *text = wire_get_bytes(wire, &n);

        return text == NULL ? "" : text;
}

static int send_all(int fd, const void *data, size_t n, struct err *err)
{
        const char *at = data;

        while (n > 0) {
                ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent < 0)
                        return err_fail(err, ERR_IO, errno, "the database process is gone");
                at += sent;
                n -= (size_t)sent;
        }
        return 0;
}

int wire_send(int fd, const struct wire *wire, struct err *err)
{
        uint32_t head[2] = { wire->kind, (uint32_t)wire->n };

        if (!wire->ok)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "what is to be passed on is larger than %u MiB, or memory is short",
                                WIRE_MAX >> 20);
        return send_all(fd, head, sizeof(head), err) < 0 ? -1
                                                         : send_all(fd, wire->data, wire->n, err);
}

static int receive_all(int fd, void *data, size_t n, struct err *err)
{
        char *at = data;

        while (n > 0) {
                ssize_t got = recv(fd, at, n, 0);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return err_fail(err, ERR_IO, got < 0 ? errno : 0,
                                        "the database process has ended");
                at += got;
                n -= (size_t)got;
        }
        return 0;
}

int wire_receive(int fd, struct wire *wire, int timeout_msec, struct err *err)
{
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        uint32_t head[2];
        int ready;

        do
                ready = poll(&poll_fd, 1, timeout_msec);
        while (ready < 0 && errno == EINTR);
        if (ready == 0)
                return err_fail(err, ERR_TIMEOUT, 0, "no word from the database process");
        if (receive_all(fd, head, sizeof(head), err) < 0)
                return -1;
        wire_begin(wire, head[0]);
        if (!reserve(wire, head[1]))
                return err_fail(err, ERR_IO, 0, "the database process sends too much");
        wire->n = head[1];
        return receive_all(fd, wire->data, wire->n, err);
}
