# SPDX-License-Identifier: LGPL-2.1-or-later
"""The world of the crash matrix over the real daemon: a disk in a file, a small site with a
database (engines.py) and a visitor, and a daemon that is killed and started again."""
import contextlib
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import engines
import servers

HERE = os.path.dirname(os.path.realpath(__file__))
OWNER = 'www-data'
SITE = 'shop'
PYTHON = '/usr/bin/python3'  # where the site's owner may run it
REVALIDATE_MSEC = '50'  # our site has no opcache, which snapd would wait for at each switch back
ENGINES = {'sqlite': engines.Sqlite, 'mariadb': servers.Mariadb, 'mariadb-files': servers.MariadbFiles,
           'postgres': servers.Postgres, 'postgres-own': servers.PostgresOwn}


Broken = servers.Broken    # the world does not do what the matrix needs; not a finding about crashes


def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Broken('%s: %s' % (' '.join(argv), done.stdout.decode(errors='replace')))


class Api(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Daemon:
    """One life of snapd; its log is read line by line, as it comes."""

    def __init__(self, world, fault=None):
        env = dict(os.environ, LC_ALL='C.UTF-8', SITESNAP_REVALIDATE_MSEC=REVALIDATE_MSEC)
        env.pop('SITESNAP_FAULT', None)
        if fault:
            env['SITESNAP_FAULT'] = fault if '@' in fault else 'kill@' + fault
        self.world, self.lines = world, queue.Queue()
        self.process = subprocess.Popen(
            [world.snapd, '--state', world.state, '--run', world.run_dir, '--conf', world.conf,
             '--socket', world.socket], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            text = line.decode(errors='replace').rstrip()
            self.world.log.append(text)
            self.lines.put(text)
        self.lines.put(None)

    def wait_line(self, *wanted, seconds=90):
        """The first of these texts that the log says; None when the daemon ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                line = self.lines.get(timeout=0.5)
            except queue.Empty:
                continue
            if line is None:
                return None
            for text in wanted:
                if text in line:
                    return text
        raise Broken('the daemon does not say any of %r in %d s' % (wanted, seconds))

    def kill(self):
        """Everything of this daemon dies at once: also its operation and what that runs."""
        self.process.kill()
        self.process.wait()
        self.world.kill_processes()
        while self.world.processes():
            time.sleep(0.001)


class World:
    def __init__(self, build, driver, engine):
        self.snapd = os.path.join(build, 'snapd/snapd')
        self.driver, self.log = driver, []
        self.base = tempfile.mkdtemp(prefix='sitesnap-crash.', dir='/var/tmp')
        os.chmod(self.base, 0o755)
        for name in ('disk', 'fast', 'bin'):
            os.mkdir(os.path.join(self.base, name))
        self.disk = os.path.join(self.base, 'disk')
        # All of it on tmpfs: processes are killed here, not disks cut off.
        run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', self.base + '/fast')
        self.state, self.run_dir, self.conf, self.tmp = (
            os.path.join(self.base, 'fast', name) for name in ('state', 'run', 'conf', 'tmp'))
        self.socket = os.path.join(self.run_dir, 'snapd.sock')
        os.mkdir(self.tmp)
        os.mkdir(self.conf)
        os.mkdir(self.state, 0o700)
        self.home, self.docroot, self.data = (
            os.path.join(self.disk, name) for name in ('home', 'www', 'data'))
        self.acks = os.path.join(self.base, 'fast', 'acks')
        self.visitor, self.visitor_log = None, []
        self.engine = ENGINES[engine](self)
        self._make_disk()
        for name in ('app_database.py', 'app_upgrade.py', 'app_visitor.py'):
            shutil.copy(os.path.join(HERE, name), os.path.join(self.base, 'bin', name))
        self.engine.begin()
        self._make_site()

    def _make_disk(self):
        image = os.path.join(self.base, 'fast', 'disk.img')
        with open(image, 'wb') as f:
            f.truncate(512 << 20)
        run('mkfs.btrfs' if self.driver == 'btrfs' else 'mkfs.ext4', '-q', image)
        run('mount', '-o', 'loop', image, self.disk)
        os.chmod(self.disk, 0o755)

    def _make_site(self):
        for name in ('www/lib', 'www/uploads'):
            os.makedirs(os.path.join(self.disk, name))
        config = ''.join('%s = %s\n' % pair for pair in self.engine.app().items())
        for name, text in (('index.txt', 'release 1\n'), ('lib/code.txt', 'release 1\n'),
                           ('uploads/first', 'an upload\n'), ('app.ini', '[app]\n' + config)):
            with open(os.path.join(self.docroot, name), 'w', encoding='ascii') as f:
                f.write(text)
        with open(self.acks, 'w', encoding='ascii'):
            pass
        self.give(self.docroot, self.acks)

    @staticmethod
    def give(*paths):
        run('chown', '-R', OWNER + ':', *paths)

    def processes(self):
        """Ours, of the daemon's program; the namespace holds no others."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if os.readlink('/proc/%s/exe' % pid) == self.snapd:
                    found.append(int(pid))
            except OSError:
                pass
        return [pid for pid in found if self._state_of(pid) != 'Z']

    def kill_processes(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # one that waits ends with its daemon
                os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _state_of(pid):
        try:
            with open('/proc/%d/stat' % pid, encoding='ascii', errors='replace') as f:
                return f.read().rsplit(')', 1)[1].split()[0]
        except OSError:
            return 'Z'

    def stopped(self):
        """The process that a fault has stopped; waits for it."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            for pid in self.processes():
                if self._state_of(pid) == 'T':
                    return pid
            time.sleep(0.005)
        raise Broken('no operation was stopped')

    def call(self, method, path, body=None):
        api = Api(self.socket)
        try:
            api.request(method, path, None if body is None else json.dumps(body))
            answer = api.getresponse()
            return answer.status, json.loads(answer.read() or 'null')
        finally:
            api.close()

    def begin(self, verb, more):
        """Begin an operation; its number."""
        if verb == 'add':
            status, answer = self.call('POST', '/v1/sites', {
                'name': SITE, 'home': self.home, 'owner': OWNER, 'docroot': self.docroot,
                'driver': self.driver, 'shared': ['uploads'],
                'database': self.engine.request(),
                'config': [{'file': 'app.ini', 'kind': 'ini', 'key': 'app.database',
                            'value': self.engine.VALUE}]})
        else:
            self._take_time()
            status, answer = self.call('POST', '/v1/sites/%s/operations' % SITE,
                                       dict(more, verb=verb))
        if status != 202:
            raise Broken('%s %r: %d %r' % (verb, more, status, answer))
        return answer['operation']

    def _take_time(self):
        """An upgrade that is given up because this machine is busy is not what is looked for."""
        path = os.path.join(self.conf, 'sites.d', SITE + '.conf')
        with open(path, 'r+', encoding='utf-8') as f:
            if 'hold =' not in f.read():
                f.write('\n[upgrade]\nhold = 30s\n')

    def kinds(self, verb, more):
        """The kinds of the steps that it would take."""
        status, answer = self.call('POST', '/v1/sites/%s/operations' % SITE,
                                   dict(more, verb=verb, dry_run=True))
        if status != 200:
            raise Broken('%s %r, dry: %d %r' % (verb, more, status, answer))
        return {step['kind'] for step in answer['steps']}

    def operation(self, number):
        status, answer = self.call('GET', '/v1/operations/%d' % number)
        if status != 200:
            raise Broken('operation %d: %r' % (number, answer))
        return answer

    def wait(self, number):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            op = self.operation(number)
            if op['state'] not in ('queued', 'running', 'undoing', 'rescuing'):
                return op
            time.sleep(0.005)
        raise Broken('operation %d does not end: %r' % (number, op))

    def visit(self):
        """A visitor begins."""
        self.visitor = subprocess.Popen(
            ['setpriv', '--reuid', OWNER, '--regid', OWNER, '--init-groups', PYTHON,
             self.base + '/bin/app_visitor.py', self.docroot, self.acks],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _tell_visitor(self, command):
        self.visitor.stdin.write(command + '\n')
        self.visitor.stdin.flush()
        while True:
            line = self.visitor.stdout.readline()
            if not line:
                raise Broken('the visitor has gone')
            if line.startswith(command.upper()):
                return
            self.visitor_log.append(line.strip())

    def pause(self):
        self._tell_visitor('p')

    def go_on(self):
        self._tell_visitor('g')

    def seen_by_visitor(self):
        seen, self.visitor_log = self.visitor_log, []
        return seen

    def acknowledged(self):
        with open(self.acks, encoding='ascii') as f:
            return {int(line) for line in f}

    def mounts(self, below):
        with open('/proc/self/mountinfo', encoding='utf-8') as f:
            found = [line.split()[4] for line in f]
        return sorted((m for m in found if m.startswith(below + '/')), reverse=True)

    def forget_mounts(self):
        """What a reboot does to the site and to run/."""
        # Mounts lie on each other: each time the topmost goes, with what is nested in it.
        while self.mounts(self.home):
            run('umount', '-l', self.mounts(self.home)[-1])
        shutil.rmtree(self.run_dir)

    def end(self):
        if self.visitor:
            self.visitor.kill()
            self.visitor.wait()
        self.kill_processes()
        self.engine.end()
        for where in self.mounts(self.base):
            subprocess.run(['umount', '-l', where], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.base, ignore_errors=True)
