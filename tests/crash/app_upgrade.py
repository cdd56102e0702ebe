#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""app_upgrade.py RELEASE [fail]: upgrades the site of the crash matrix in the current directory,
file by file and then the database, and may fail when all of it is half there."""
import configparser
import os
import sys

import app_database

release = sys.argv[1]
config = configparser.ConfigParser()
config.read('app.ini')
for name in ('index.txt', 'lib/code.txt'):
    with open(name + '.new', 'w', encoding='ascii') as f:
        f.write('release %s\n' % release)
    os.rename(name + '.new', name)
    with app_database.Database(config['app'], 20) as database:
        app_database.migrate(database, release, name != 'index.txt')
    if len(sys.argv) > 2:
        sys.exit('cannot go on: asked to fail')
