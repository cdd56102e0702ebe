/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <http_parser.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/url.h"
#include "snapctl/transfer.h"

/* A unix socket holds about 200 KiB; in small portions a long list takes ten times the calls. */
#define RECEIVE_BYTES (256u << 10)

#define CONNECT_AGAIN_MSEC 20

struct transfer {
        struct sockaddr_un address;
        int fd;
        size_t max;

        /* The answer that is being read. */
        http_parser parser;
        bool begun, complete, too_long, no_memory;
        const char *why;
        int os;
        char *body;
        size_t n, room;

        char portion[RECEIVE_BYTES];
};

/* A request on its way. */
struct sending {
        const struct transfer_request *request;
        char *text;
        size_t n, sent;
        bool deaf;
        int64_t until_usec;
};

int transfer_open(const char *socket_path, size_t max, struct transfer **ret_transfer,
                  struct err *err)
{
        struct transfer *transfer = calloc(1, sizeof(*transfer));
        size_t n = strlen(socket_path);

        if (transfer == NULL)
                return err_oom(err);
        if (n >= sizeof(transfer->address.sun_path)) {
                free(transfer);
                return err_fail(err, ERR_INVALID, 0,
                                "the path of a socket has at most %zu bytes: '%s'",
                                sizeof(transfer->address.sun_path) - 1, socket_path);
        }
        transfer->address.sun_family = AF_UNIX;
        memcpy(transfer->address.sun_path, socket_path, n + 1);
        transfer->fd = -1;
        transfer->max = max;
        *ret_transfer = transfer;
        return 0;
}

static void disconnect(struct transfer *transfer)
{
        if (transfer->fd >= 0)
                (void)close(transfer->fd);
        transfer->fd = -1;
}

void transfer_close(struct transfer *transfer)
{
        if (transfer == NULL)
                return;
        disconnect(transfer);
        free(transfer->body);
        free(transfer);
}

void transfer_closep(struct transfer **transfer)
{
        transfer_close(*transfer);
}

int transfer_os(const struct transfer *transfer)
{
        return transfer->os;
}

const char *transfer_why(const struct transfer *transfer)
{
        return transfer->why != NULL ? transfer->why : "it ended too soon";
}

/* What the parser finds */

static int on_body(http_parser *parser, const char *data, size_t n)
{
        struct transfer *transfer = parser->data;

        transfer->too_long = n > transfer->max - transfer->n;
        if (transfer->too_long)
                return -1;
        if (transfer->n + n + 1 > transfer->room) {
                size_t room = (transfer->n + n + 1) * 2;
                char *more = realloc(transfer->body, room);

                transfer->no_memory = more == NULL;
                if (transfer->no_memory)
                        return -1;
                transfer->body = more;
                transfer->room = room;
        }
        memcpy(transfer->body + transfer->n, data, n);
        transfer->n += n;
        transfer->body[transfer->n] = '\0';
        return 0;
}

static int on_complete(http_parser *parser)
{
        struct transfer *transfer = parser->data;

        /* "100 Continue" is not yet the answer. */
        transfer->complete = parser->status_code >= 200;
        if (transfer->complete)
                http_parser_pause(parser, 1);
        return 0;
}

static const http_parser_settings parts = { .on_body = on_body,
                                            .on_message_complete = on_complete };

/* Read what has come; 0 when nothing more can come. */
static int receive(struct transfer *transfer)
{
        ssize_t n = recv(transfer->fd, transfer->portion, sizeof(transfer->portion), MSG_DONTWAIT);
        size_t parsed;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 1;
        if (n < 0) {
                transfer->why = strerror(errno);
                return 0;
        }
        transfer->begun |= n > 0;
        parsed = http_parser_execute(&transfer->parser, &parts, transfer->portion, (size_t)n);
        if (!transfer->complete && HTTP_PARSER_ERRNO(&transfer->parser) != HPE_OK)
                transfer->why = http_errno_description(HTTP_PARSER_ERRNO(&transfer->parser));
        if (transfer->complete && (n == 0 || parsed < (size_t)n))
                disconnect(transfer); /* it is over, or says more than was asked */
        return n > 0 && transfer->why == NULL;
}

static void send_more(struct transfer *transfer, struct sending *sending)
{
        ssize_t n = send(transfer->fd, sending->text + sending->sent, sending->n - sending->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0)
                sending->sent += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
                sending->deaf = true; /* who does not listen may have said why */
}

/* Waiting */

static int msec_left(const struct sending *sending)
{
        int64_t left = (sending->until_usec - clock_boot_usec() + 999) / 1000;

        return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* A full queue of connections is not waited for by the kernel when one does not want to sleep in
 * there, where nothing wakes. */
static enum transfer_end connect_until(struct transfer *transfer, const struct sending *sending)
{
        struct pollfd wake = { .fd = sending->request->wake_fd, .events = POLLIN };

        transfer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        while (transfer->fd < 0 ||
               connect(transfer->fd, (const struct sockaddr *)&transfer->address,
                       sizeof(transfer->address)) < 0) {
                transfer->os = errno;
                if (errno != EAGAIN && errno != EINTR)
                        return TRANSFER_UNCONNECTED;
                if (msec_left(sending) == 0)
                        return TRANSFER_LATE;
                if (poll(&wake, 1, CONNECT_AGAIN_MSEC) > 0)
                        return TRANSFER_WOKEN;
        }
        return TRANSFER_DONE;
}

static enum transfer_end exchange(struct transfer *transfer, struct sending *sending)
{
        http_parser_init(&transfer->parser, HTTP_RESPONSE);
        transfer->parser.data = transfer;
        transfer->n = 0;
        transfer->why = NULL;
        transfer->begun = transfer->complete = transfer->too_long = false;
        sending->sent = 0;
        sending->deaf = false;
        while (!transfer->complete) {
                struct pollfd polled[] = {
                        { .fd = transfer->fd, .events = POLLIN },
                        { .fd = sending->request->wake_fd, .events = POLLIN },
                };

                if (sending->sent < sending->n && !sending->deaf)
                        polled[0].events |= POLLOUT;
                if (poll(polled, 2, msec_left(sending)) < 0 && errno != EINTR) {
                        transfer->why = strerror(errno);
                        return TRANSFER_BROKEN;
                }
                if (polled[0].revents & POLLOUT)
                        send_more(transfer, sending);
                if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) && !receive(transfer) &&
                    !transfer->complete)
                        return transfer->too_long ? TRANSFER_TOO_LONG : TRANSFER_BROKEN;
                /* Also when more has come: it need not end. */
                if (!transfer->complete && polled[1].revents != 0)
                        return TRANSFER_WOKEN;
                if (!transfer->complete && msec_left(sending) == 0)
                        return TRANSFER_LATE;
        }
        return TRANSFER_DONE;
}

/* Nobody says anything unasked: what can be read is the end. */
static void drop_stale(struct transfer *transfer)
{
        if (transfer->fd >= 0 &&
            poll(&(struct pollfd){ .fd = transfer->fd, .events = POLLIN }, 1, 0) > 0)
                disconnect(transfer);
}

static enum transfer_end run(struct transfer *transfer, struct sending *sending)
{
        enum transfer_end end;
        bool kept;

        drop_stale(transfer);
        kept = transfer->fd >= 0;
        end = kept ? TRANSFER_DONE : connect_until(transfer, sending);
        if (end == TRANSFER_DONE)
                end = exchange(transfer, sending);
        if (end != TRANSFER_BROKEN || !kept || transfer->begun ||
            strcmp(sending->request->method, "GET") != 0)
                return end;
        disconnect(transfer);
        end = connect_until(transfer, sending);
        return end == TRANSFER_DONE ? exchange(transfer, sending) : end;
}

static int compose(struct sending *sending, struct err *err)
{
        const struct transfer_request *request = sending->request;
        const char *body = request->body == NULL ? "" : request->body;
        char length[96] = "";
        int n;

        if (!url_is_printable(request->path))
                return err_fail(err, ERR_INVALID, 0, "'%s' cannot stand in a request to the daemon",
                                request->path);
        if (request->body != NULL)
                (void)snprintf(length, sizeof(length),
                               "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                               strlen(body));
        n = asprintf(&sending->text, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s",
                     request->method, request->path, length, body);
        if (n < 0) {
                sending->text = NULL;
                return err_oom(err);
        }
        sending->n = (size_t)n;
        return 0;
}

int transfer_run(struct transfer *transfer, const struct transfer_request *request,
                 enum transfer_end *ret_end, struct transfer_answer *ret_answer, struct err *err)
{
        struct sending sending = { .request = request,
                                   .until_usec = clock_boot_usec() + request->timeout_msec * 1000 };

        if (compose(&sending, err) < 0)
                return -1;
        transfer->no_memory = false;
        *ret_end = run(transfer, &sending);
        free(sending.text);
        if (transfer->no_memory) {
                disconnect(transfer);
                return err_oom(err);
        }
        /* What was not sent of this request would be taken for the rest of it later. */
        if (*ret_end != TRANSFER_DONE || sending.sent < sending.n ||
            !http_should_keep_alive(&transfer->parser))
                disconnect(transfer);
        *ret_answer =
                (struct transfer_answer){ transfer->parser.status_code,
                                          transfer->n > 0 ? transfer->body : "", transfer->n };
        return 0;
}
