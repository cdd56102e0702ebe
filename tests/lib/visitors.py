#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Visitors of a site: so many requests a second, each answer looked at and written down.

    visitors.py PORT LOG RATE [SOURCE [PAGES]]

asks in turns for the pages of PAGES, a line each of a path and, after a blank, the text that the
page has to contain; without it for /?page=N, N from 0 to 19, of the small site.  They come from
the address SOURCE, until SIGTERM.  A line of LOG is

    TIME STATUS MILLISECONDS VERDICT VERSION PATH

with the verdict "ok" or "bad" (another status than 200, or a page without its text) and the version
that the page says it was made by, "-" when it says nothing.
"""
import http.client
import re
import signal
import sys
import threading
import time

NOTES = re.compile(rb'notes=\d+ end')
VERSION = re.compile(rb'(?:code=|content="WordPress |wordpress\.org/\?v=)([\w.]+)')
ending = threading.Event()


def pages_read(path):
    if path is None:
        return [('/?page=%d' % n, NOTES) for n in range(20)]
    with open(path, encoding='utf-8') as lines:
        words = [line.rstrip('\n').split(' ', 1) for line in lines]
    return [(page, re.compile(re.escape(text.encode()))) for page, text in words]


def ask(port, source, page, wanted):
    began = time.time()
    try:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20,
                                                source_address=(source, 0))
        connection.request('GET', page, headers={'User-Agent': 'Visitor/1.0'})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        connection.close()
    except (OSError, http.client.HTTPException):
        status, body = 0, b''
    good = status == 200 and wanted.search(body) is not None
    version = VERSION.search(body)
    return '%.3f %d %.0f %s %s %s\n' % (time.time(), status, (time.time() - began) * 1000,
                                        'ok' if good else 'bad',
                                        version[1].decode() if version else '-', page)


def visit(port, log, rate, source, pages, first, step):
    turn, due = first, time.time()
    while not ending.is_set():
        log.write(ask(port, source, *pages[turn % len(pages)]))
        log.flush()
        turn += step
        due = max(due + step / rate, time.time() - 1)
        ending.wait(max(0, due - time.time()))


def main():
    port, path, rate = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    source = sys.argv[4] if len(sys.argv) > 4 else '127.0.0.1'
    pages = pages_read(sys.argv[5] if len(sys.argv) > 5 else None)
    many = 9 if rate <= 50 else 21  # of 20 pages each asks for every one
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with open(path, 'a', encoding='ascii') as log:
        threads = [threading.Thread(target=visit,
                                    args=(port, log, rate, source, pages, n, many))
                   for n in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)


main()
