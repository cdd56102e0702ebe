#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""webhook_sink.py PORT DIR SECRET: a receiver of webhooks that keeps what it gets.

Each request becomes DIR/N.json; one whose signature is not right, or is older than a minute, is
DIR/N.forged and answered with 403.  It waits as many seconds as DIR/wait says before it answers,
and answers with the status that DIR/status says.
"""
import hashlib
import hmac
import http.server
import os
import sys
import threading
import time

PORT, DIR, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LOCK = threading.Lock()
COUNT = [0]


def number_in(name, otherwise):
    try:
        with open(os.path.join(DIR, name), encoding='ascii') as f:
            return int(f.read())
    except FileNotFoundError:
        return otherwise


def is_signed(header, body):
    fields = dict(part.split('=', 1) for part in (header or '').split(',') if '=' in part)
    try:
        if abs(time.time() - int(fields.get('t', ''))) > 60:
            return False
    except ValueError:
        return False
    right = hmac.new(SECRET.encode(), fields['t'].encode() + b'.' + body, hashlib.sha256)
    return hmac.compare_digest(right.hexdigest(), fields.get('v1', ''))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        good = is_signed(self.headers.get('Sitesnap-Signature'), body)
        status = number_in('status', 204) if good else 403
        with LOCK:
            COUNT[0] += 1
            name = os.path.join(DIR, str(COUNT[0]))
            with open(name + '.part', 'wb') as f:
                f.write(body)
            os.rename(name + '.part', name + ('.json' if good and status < 300 else '.forged'))
        time.sleep(number_in('wait', 0))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


if __name__ == '__main__':
    with Server(('127.0.0.1', PORT), Handler) as server:
        server.serve_forever()
