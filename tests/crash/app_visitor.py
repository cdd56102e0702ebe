#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""app_visitor.py DOCROOT ACKS: visits the site of the crash matrix as its own user, all the time.

Reads pages: each opens the docroot once, as a web server does, and must find its files there.
Writes a row to the database that the configuration names; what was committed is acknowledged by a
line in ACKS.  Commands on stdin: p pauses (answered by P when nothing is under way), g goes on.
A line "! text" on stdout is something a visitor must never see.
"""
import configparser
import os
import select
import sys
import time

import app_database


def read_at(root, name):
    fd = os.open(name, os.O_RDONLY, dir_fd=root)
    with os.fdopen(fd, encoding='ascii') as f:
        return f.read()


def visit(docroot):
    """The pages of one request, and the configuration it worked with."""
    root = os.open(docroot, os.O_PATH | os.O_DIRECTORY)
    try:
        pages = [read_at(root, name) for name in ('index.txt', 'lib/code.txt')]
        with open(os.open('uploads/first', os.O_RDONLY, dir_fd=root), encoding='ascii') as f:
            pages.append(f.read())
        config = configparser.ConfigParser()
        config.read_string(read_at(root, 'app.ini'))
    finally:
        os.close(root)
    return pages, config['app']


def write(app, number):
    with app_database.Database(app, 0.2) as database:
        if app['engine'] == 'sqlite':
            database.run('PRAGMA synchronous = FULL')
        app_database.write(database, number)


def main(docroot, acks):
    number = int(time.time()) * 1000000
    log = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    paused = False
    while True:
        if select.select([sys.stdin], [], [], None if paused else 0.004)[0]:
            command = sys.stdin.readline()
            if not command:
                return
            paused = command[0] == 'p'
            print(command[0].upper(), flush=True)
            continue
        try:
            pages, app = visit(docroot)
        except (OSError, KeyError, configparser.Error) as e:
            print('! a visitor got no page: %r %s' % (e, getattr(e, 'filename', '')), flush=True)
            continue
        if not all(pages):
            print('! an empty page: %r' % pages, flush=True)
        number += 1
        try:
            write(app, number)
        except app_database.Failed:
            continue    # held or kept by now: not acknowledged, so nothing is owed
        os.write(log, b'%d\n' % number)


main(*sys.argv[1:])
