# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the crash matrix needs of a kind of database: the site's, and for the oracle to look into each
copy by itself.  Servers are in servers.py."""
import os
import shutil
import sqlite3

import app_database


class Content:
    """What is in one database; asked of the connection, which is closed."""

    def __init__(self, database):
        with database:
            self.release = database.rows('SELECT release_of FROM meta')[0][0]
            self.migrated = database.rows('SELECT release_of FROM migrated')[0][0]
            self.rows = {row[0] for row in database.rows('SELECT id FROM writes')}
            self.marks = {row[0] for row in database.rows('SELECT id FROM marks')}


class Sqlite:
    """A directory of files; nothing stands outside of it."""
    name = 'sqlite'
    serves = False

    def __init__(self, world):
        self.world = world

    @staticmethod
    def missing():
        """What the machine lacks for it."""
        return None

    def begin(self):
        os.mkdir(self.world.data)
        db = sqlite3.connect(os.path.join(self.world.data, 'site.db'))
        db.execute('PRAGMA journal_mode = WAL')
        db.close()
        with app_database.Database(self.app(), 1) as database:
            app_database.make(database)
        self.world.give(self.world.data)

    def app(self):
        """The section of the application's configuration."""
        return {'engine': 'sqlite', 'database': self.world.data}

    def request(self):
        return {'engine': 'sqlite', 'path': self.world.data}

    VALUE = '{database_dir}'

    def named(self, name):
        """What the configuration of a version with this database says."""
        return os.path.join(self.world.home, 'db', name)

    def plain(self):
        """What that of a plain site has to say."""
        return self.world.data

    def content(self, named):
        """Read from a copy, so that looking changes nothing."""
        copy = os.path.join(self.world.tmp, 'copy')
        shutil.rmtree(copy, ignore_errors=True)
        os.mkdir(copy)
        if not os.path.exists(os.path.join(named, 'site.db')):
            raise app_database.Failed("no database in '%s'" % named)
        for name in ('site.db', 'site.db-wal'):
            if os.path.exists(os.path.join(named, name)):
                shutil.copyfile(os.path.join(named, name), os.path.join(copy, name))
        database = app_database.Database({'engine': 'sqlite', 'database': copy}, 1)
        if database.rows('PRAGMA integrity_check') != [('ok',)]:
            raise app_database.Failed("the database in '%s' is broken" % named)
        return Content(database)

    def copies(self):
        """Every database that is there, whole or not."""
        folder = self.world.home + '/db'
        return set(os.listdir(folder)) if os.path.isdir(folder) else set()

    def left(self, copies):
        """Of these names those that must be a version's."""
        return copies

    def busy(self):
        """What nobody should hold any more: lines."""
        return []

    def writable(self, _named):
        """Can the site write there?  None: that is not the database's to say."""
        return None

    def state(self):
        """What a second recovery must leave as it is."""
        return []

    def end(self):
        pass
