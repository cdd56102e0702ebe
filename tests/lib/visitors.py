#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Visitors of a small site: so many requests a second, each answer written down.

    visitors.py PORT LOG RATE [SOURCE]

asks for /?page=N, N from 0 to 19, from the address SOURCE, until SIGTERM.  A line of LOG is
"TIME STATUS MILLISECONDS VERDICT", the verdict "ok" or "bad": another status than 200, or a page
without its number of notes.
"""
import http.client
import re
import signal
import sys
import threading
import time

NOTES = re.compile(rb'notes=\d+ end')
ending = threading.Event()


def ask(port, source, page):
    began = time.time()
    try:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20,
                                                source_address=(source, 0))
        connection.request('GET', '/?page=%d' % page, headers={'User-Agent': 'Visitor/1.0'})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        connection.close()
    except OSError:
        status, body = 0, b''
    good = status == 200 and NOTES.search(body) is not None
    return '%.3f %d %.0f %s\n' % (time.time(), status, (time.time() - began) * 1000,
                                  'ok' if good else 'bad')


def visit(port, log, rate, source, first, step):
    page, due = first, time.time()
    while not ending.is_set():
        log.write(ask(port, source, page % 20))
        log.flush()
        page += step
        due = max(due + step / rate, time.time() - 1)
        ending.wait(max(0, due - time.time()))


def main():
    port, path, rate = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    source = sys.argv[4] if len(sys.argv) > 4 else '127.0.0.1'
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with open(path, 'a', encoding='ascii') as log:
        threads = [threading.Thread(target=visit, args=(port, log, rate, source, n, 8))
                   for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)


main()
