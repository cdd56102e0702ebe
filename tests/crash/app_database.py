# SPDX-License-Identifier: LGPL-2.1-or-later
"""The database of the site of the crash matrix, as its configuration names it: the same few statements
on every engine."""
import sqlite3


class Failed(Exception):
    """The database did not do it, or nobody knows whether it did."""


def connect_sqlite(app, seconds):
    return sqlite3.connect('file:%s/site.db?mode=rw' % app['database'], uri=True, timeout=seconds)


def connect_mariadb(app, seconds):
    import pymysql
    pause = max(1, int(seconds))
    return pymysql.connect(unix_socket=app['socket'], user=app['user'], password=app['password'],
                           database=app['database'], connect_timeout=pause, read_timeout=2 * pause,
                           write_timeout=2 * pause,
                           init_command='SET SESSION lock_wait_timeout = %d' % pause)


def connect_postgres(app, seconds):
    import psycopg2
    return psycopg2.connect(
        host=app['socket'], user=app['user'], password=app['password'],
        dbname=app.get('within') or app['database'], connect_timeout=max(2, int(seconds)),
        options='-c lock_timeout=%d -c search_path=%s' % (
            seconds * 1000, app['database'] if app.get('within') else 'public'))


CONNECT = {'sqlite': connect_sqlite, 'mariadb': connect_mariadb, 'postgres': connect_postgres}


class Database:
    """A connection, of which whatever goes wrong is Failed."""

    def __init__(self, app, seconds):
        self.mark = '?' if app['engine'] == 'sqlite' else '%s'
        self.connection = self._try(CONNECT[app['engine']], app, seconds)
        self.cursor = self.connection.cursor()

    @staticmethod
    def _try(what, *args):
        try:
            return what(*args)
        except Exception as e:  # each engine has its own, and a server that dies has more
            raise Failed('%s: %s' % (type(e).__name__, e)) from e

    def run(self, sql, *values):
        self._try(self.cursor.execute, sql.replace('?', self.mark), values)

    def rows(self, sql, *values):
        self.run(sql, *values)
        return self._try(self.cursor.fetchall)

    def commit(self):
        self._try(self.connection.commit)

    def close(self):
        try:
            self.connection.close()
        except Exception:
            pass    # a server that died has closed it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def make(database):
    """What release 1 has: a row in `marks` belongs to each row in `writes`."""
    for sql in ('CREATE TABLE meta (release_of VARCHAR(20))', "INSERT INTO meta VALUES ('1')",
                'CREATE TABLE migrated (release_of VARCHAR(20))', "INSERT INTO migrated VALUES ('1')",
                'CREATE TABLE writes (id BIGINT PRIMARY KEY)',
                'CREATE TABLE marks (id BIGINT PRIMARY KEY, note VARCHAR(40), '
                'FOREIGN KEY (id) REFERENCES writes (id))',
                'CREATE INDEX marks_note ON marks (note)'):
        database.run(sql)
    database.commit()


def write(database, number):
    database.run('INSERT INTO writes (id) VALUES (?)', number)
    database.run('INSERT INTO marks (id, note) VALUES (?, ?)', number, 'note of %d' % number)
    database.commit()


def migrate(database, release, whole):
    """Half of it, and then the rest; a table is made anew, which not every engine can take back."""
    database.run('UPDATE meta SET release_of = ?', release if whole else 'half')
    if whole:
        database.run('DROP TABLE migrated')
        database.run('CREATE TABLE migrated (release_of VARCHAR(20))')
        database.run('INSERT INTO migrated VALUES (?)', release)
    database.commit()
