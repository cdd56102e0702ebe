# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers of the crash matrix: private, below the world's directory, reached by a socket, killed and
started again like everything else."""
import configparser
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time

import app_database
from engines import Content

COPY = re.compile(r'snap[1-9]\d*_\w+')
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
PASSWORD, SECRET = 'site-sesame', 'sesame'


class Broken(Exception):
    """The server does not do what the matrix needs."""


def text(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def lacking(module, *programs):
    """The first of these that the machine does not have."""
    if importlib.util.find_spec(module) is None:
        return 'module %s of Python' % module
    return next((p for p in programs if shutil.which(p, path=PATH) is None), None)


def open_process(pid):
    """What names it as long as it is open; None when it has ended."""
    try:
        return os.fdopen(os.pidfd_open(pid), 'rb', buffering=0)
    except ProcessLookupError:
        return None


class Server:
    """What both have; the site's database is `shop` at first."""
    serves = True
    VALUE = '{database}'
    USER = 'shop'

    def __init__(self, world):
        self.world, self.process = world, None
        self.directory = os.path.join(world.base, 'fast', self.name)
        self.socket = self.directory
        self.secret = os.path.join(world.base, 'fast', 'secret')

    def begin(self):
        os.mkdir(self.directory)
        shutil.chown(self.directory, self.OWNER, self.OWNER)
        with open(os.open(self.secret, os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as f:
            f.write(SECRET + '\n')
        self.install()
        self.start()
        self.populate()
        with app_database.Database(self.app(), 5) as database:
            app_database.make(database)

    def start(self):
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                self.ready().close()
                return
            except app_database.Failed as e:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Broken('%s does not start: %s\n%s' % (
                        self.name, e, text(os.path.join(self.directory, 'log'))[-2000:])) from e
                time.sleep(0.02)

    def ready(self):
        return self.admin()

    def kill(self):
        """As a crash would: all of its processes at once, and nothing is put in order.  Stopped, it begins
        no others meanwhile; a descriptor is of this process, whoever has its number later."""
        self.process.send_signal(signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            rest = [stack.enter_context(process) for process in map(open_process, self.children())
                    if process is not None]
            self.process.kill()
            for process in rest:
                with contextlib.suppress(ProcessLookupError):  # it ended with the first
                    signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
        self.process.wait()

    def children(self):
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid), encoding='ascii') as f:
            return [int(pid) for pid in f.read().split()]

    def end(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def app(self, database='shop'):
        return {'engine': self.name, 'socket': self.socket, 'user': self.USER, 'password': PASSWORD,
                'database': database}

    def named(self, name):
        return name

    def plain(self):
        """Whatever it was when the site was given back."""
        config = configparser.ConfigParser()
        config.read(os.path.join(self.world.docroot, 'app.ini'))
        return config['app']['database']

    def request(self):
        return {'engine': self.name, 'name': self.plain(), 'socket': self.socket, 'user': 'sitesnap',
                'run_as': 'daemon', 'secret_file': self.secret, 'app_user': self.ACCOUNT}

    def left(self, copies):
        return {name for name in copies if COPY.fullmatch(name)}

    def copies(self):
        """What has a name like ours, whole or not."""
        return {name for name in self.schemas() if name.startswith('snap') and name != 'snap0_sitesnap'}

    def writable(self, named):
        """Asked by doing it, and taking it back."""
        try:
            with app_database.Database(self.app(named), 2) as database:
                database.run('INSERT INTO writes (id) VALUES (-1)')
            return True
        except app_database.Failed as e:
            if not re.search('denied|must be owner|read-only', str(e)):
                raise
            return False

    def content(self, named):
        return Content(self.admin(named))

    def locked(self, named):
        """Who holds a lock on a table of it, told by asking for all of them."""
        try:
            with self.admin(named) as database:
                database.run(self.LOCK)
            return []
        except app_database.Failed as e:
            return [('lock', named, str(e))]

    def state(self):
        for name in sorted(self.copies()):
            content = self.content(name)
            yield name, content.release, len(content.rows), self.rights(name)


class Mariadb(Server):
    name = 'mariadb'
    OWNER = 'mysql'
    ACCOUNT = 'shop@localhost'
    LOCK = 'LOCK TABLES meta WRITE, migrated WRITE, writes WRITE, marks WRITE'

    def __init__(self, world):
        super().__init__(world)
        self.socket = os.path.join(self.directory, 'sock')

    @staticmethod
    def missing():
        return lacking('pymysql', 'mariadbd', 'mariadb-install-db')

    def install(self):
        for name in ('data', 'tmp'):
            os.mkdir(os.path.join(self.directory, name))
            shutil.chown(os.path.join(self.directory, name), self.OWNER, self.OWNER)
        done = subprocess.run(
            ['mariadb-install-db', '--no-defaults', '--user=mysql', '--datadir=%s/data' % self.directory,
             '--tmpdir=%s/tmp' % self.directory, '--skip-test-db', '--auth-root-authentication-method=normal',
             '--innodb-log-file-size=16M'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Broken(done.stdout.decode(errors='replace')[-2000:])

    def command(self):
        return ['/usr/sbin/mariadbd', '--no-defaults', '--user=mysql',
                '--datadir=%s/data' % self.directory, '--tmpdir=%s/tmp' % self.directory,
                '--socket=' + self.socket, '--skip-networking', '--pid-file=%s/pid' % self.directory,
                '--innodb-buffer-pool-size=32M', '--innodb-log-file-size=16M',
                '--plugin-load-add=metadata_lock_info', '--plugin-maturity=alpha']

    def admin(self, database='mysql'):
        return app_database.Database(dict(self.app(database), user='root', password=''), 2)

    def populate(self):
        with self.admin() as database:
            for sql in ('CREATE DATABASE shop',
                        "CREATE USER shop@localhost IDENTIFIED BY '%s'" % PASSWORD,
                        'GRANT ALL PRIVILEGES ON shop.* TO shop@localhost',
                        "CREATE USER sitesnap@localhost IDENTIFIED BY '%s'" % SECRET,
                        'GRANT ALL PRIVILEGES ON shop.* TO sitesnap@localhost WITH GRANT OPTION',
                        'GRANT ALL PRIVILEGES ON `snap%%`.* TO sitesnap@localhost WITH GRANT OPTION'):
                database.run(sql)

    def schemas(self):
        with self.admin() as database:
            return {row[0] for row in database.rows('SHOW DATABASES')}

    def rights(self, name):
        with self.admin() as database:
            return sorted(database.rows('SELECT * FROM mysql.db WHERE db = ?', name))

    def busy(self):
        with self.admin() as database:
            rows = [('session', *row) for row in database.rows(
                "SELECT id, command, info FROM information_schema.processlist WHERE user = 'sitesnap'")]
            rows += [('transaction', *row) for row in database.rows(
                'SELECT trx_mysql_thread_id, trx_state, trx_query FROM information_schema.innodb_trx')]
            rows += [('lock', *row) for row in database.rows(
                'SELECT thread_id, lock_mode, table_schema, table_name FROM '
                "information_schema.metadata_lock_info WHERE table_schema <> 'information_schema'")]
            if 'snap0_sitesnap' in self.schemas():
                rows += [('mark', *row) for row in database.rows('SHOW TABLES IN snap0_sitesnap')]
        return rows


class MariadbFiles(Mariadb):
    """Copied as the server's files, which lie where they can be cloned.  Not in an ordinary run, for its
    time."""

    def __init__(self, world):
        super().__init__(world)
        self.directory = os.path.join(world.disk, self.name)
        self.socket = os.path.join(self.directory, 'sock')

    def request(self):
        return dict(super().request(), way='files')

    def populate(self):
        super().populate()
        with self.admin() as database:
            database.run('GRANT RELOAD, SUPER ON *.* TO sitesnap@localhost')


class Postgres(Server):
    """A schema in a database of the site's."""
    name = 'postgres'
    OWNER = 'postgres'
    ACCOUNT = 'shop'
    LOCK = 'LOCK TABLE meta, migrated, writes, marks IN ACCESS EXCLUSIVE MODE'
    WITHIN = 'apps'

    @staticmethod
    def program(name):
        folder = '/usr/lib/postgresql'
        newest = max(os.listdir(folder), key=int) if os.path.isdir(folder) else '0'
        return os.path.join(folder, newest, 'bin', name)

    @staticmethod
    def missing():
        return lacking('psycopg2', Postgres.program('postgres'), Postgres.program('initdb'))

    def as_owner(self, *command):
        return ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', *command]

    def install(self):
        done = subprocess.run(
            self.as_owner(self.program('initdb'), '-D', self.directory + '/data', '-A', 'trust', '-E',
                          'UTF8', '--locale=C.UTF-8', '--no-sync'),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Broken(done.stdout.decode(errors='replace')[-2000:])

    def command(self):
        # Processes are killed here, not disks cut off: what was written is there.
        return self.as_owner(self.program('postgres'), '-D', self.directory + '/data', '-c',
                             'listen_addresses=', '-c', 'unix_socket_directories=' + self.directory,
                             '-c', 'fsync=off', '-c', 'max_connections=40',
                             '-c', 'dynamic_shared_memory_type=mmap')

    def end(self):
        super().end()
        # Killed, it leaves a segment of shared memory, which its file names.
        path = os.path.join(self.directory, 'data', 'postmaster.pid')
        lines = text(path).splitlines() if os.path.exists(path) else []
        if len(lines) > 6:
            subprocess.run(['ipcrm', '-m', lines[6].split()[1]], stderr=subprocess.DEVNULL, check=False)

    def app(self, database='shop'):
        return dict(super().app(database), within=self.WITHIN)

    def request(self):
        return dict(super().request(), database=self.WITHIN)

    def admin(self, database=None):
        app = dict(self.app(database or 'postgres'), user='postgres')
        if database is None:
            app['within'] = self.WITHIN or 'postgres'
        return app_database.Database(app, 2)

    def ready(self):
        return self.first('postgres')

    def first(self, within):
        """Where a database is made, or in a new one what is in it."""
        database = app_database.Database(dict(self.app('public'), user='postgres', within=within), 2)
        database.connection.autocommit = True
        return database

    def populate(self):
        with self.first('postgres') as database:
            for sql in ("CREATE ROLE shop LOGIN PASSWORD '%s'" % PASSWORD,
                        "CREATE ROLE sitesnap LOGIN CREATEDB PASSWORD '%s'" % SECRET,
                        'CREATE ROLE shop_kept NOLOGIN', 'GRANT shop, shop_kept TO sitesnap',
                        'CREATE DATABASE %s OWNER shop' % (self.WITHIN or 'shop')):
                database.run(sql)
        self.populate_database()

    def populate_database(self):
        with self.first(self.WITHIN) as database:
            database.run('CREATE SCHEMA shop AUTHORIZATION shop')
            database.run('GRANT CREATE ON DATABASE %s TO sitesnap' % self.WITHIN)

    def schemas(self):
        with self.admin() as database:
            return {row[0] for row in database.rows('SELECT nspname FROM pg_namespace')}

    def rights(self, name):
        with self.admin() as database:
            return database.rows('SELECT relname, relowner, relacl::text FROM pg_class WHERE '
                                 'relnamespace = ?::regnamespace ORDER BY 1', name)

    def busy(self):
        with self.admin() as database:
            return database.rows(
                "SELECT 'session', pid, state, query FROM pg_stat_activity WHERE usename = 'sitesnap' "
                "UNION ALL SELECT 'transaction', pid, state, query FROM pg_stat_activity WHERE "
                "xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
                "UNION ALL SELECT 'lock', l.pid, l.mode, l.relation::text FROM pg_locks l JOIN "
                "pg_stat_activity a USING (pid) WHERE a.backend_type = 'client backend' AND l.pid <> "
                "pg_backend_pid() UNION ALL SELECT 'prepared', 0, gid, '' FROM pg_prepared_xacts")


class PostgresOwn(Postgres):
    """A database of its own for each version."""
    WITHIN = ''

    def request(self):
        return Server.request(self)

    def app(self, database='shop'):
        return Server.app(self, database)

    def populate_database(self):
        pass

    def schemas(self):
        with self.admin() as database:
            return {row[0] for row in database.rows('SELECT datname FROM pg_database')}

    def rights(self, name):
        with self.admin(name) as database:
            return database.rows("SELECT relname, relowner, relacl::text FROM pg_class WHERE "
                                 "relnamespace = 'public'::regnamespace ORDER BY 1")
