#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon, its operation and all they run are killed at every step of every kind of operation,
over a real driver and with each kind of database, while a visitor reads and writes; and killed again while they recover.

After each kill the daemon is started again and the oracle (oracle.py) looks: the site is exactly
old or new, files and database together, every acknowledged write is there; a second start changes
nothing and nothing is leaked.  With a database on a server the same is done to the server: the
operation is stopped at a step, the server killed and started again while it goes on.  The build has -Dfault=true (see snapd/fault.h).

Of the points an ordinary run takes a sample (sample.py): each place of each kind of step once, and
some of the rest; with a server fewer, since steps of files are the same there.  Which ones changes with
the commit, or is said with --sample; --all, or SITESNAP_TEST_ALL=1, takes them all.  A finding prints what was lost, how far the operation was, and
two commands that repeat it: that point alone, and with all that its world had gone through before.
"""
import argparse
import itertools
import os
import shlex
import signal
import sqlite3
import sys
import time
from collections import Counter

import oracle
import sample
from real_world import ENGINES, PYTHON, Broken, Daemon, World

PLACES = ('before', 'after', 'marked')
SERVER = 'server@'      # it is not the operation that is killed there, but the server
DROPS = ('db.leave', 'db.drop')
RECORDS = ('catalog.commit',)
DURING_SECONDS = 0.02   # of a step that takes longer
SERVER_PLACES = ('before', 'during', 'after')
ASKS_SERVER = ('db.', 'schema.', 'hook.')
SERVER_SAMPLE = 12  # points of a sample with a server
BAD_MAX = 4     # findings of a verb; then the rest of it is not worth waiting for
KILLED = 'ended (signal 9)'
READY = 'answers on'


class Site:
    """What is owed: for each version its release and the rows it has to have."""

    def __init__(self, world):
        self.world, self.release = world, 1
        self.versions, self.active = {}, None
        self.plain = {'release': '1', 'rows': set()}
        self.forgiven = set()   # rows that went with a version on purpose

    def live(self):
        return self.plain if self.active is None else self.versions[self.active]


class Case:
    """One operation that is killed at one point: the verb, and how it is asked for."""

    def __init__(self, verb, prepare, fails=False):
        self.verb, self.prepare, self.fails = verb, prepare, fails


def upgrade(site, fails):
    return {'label': str(site.release + 1),
            'command': [PYTHON, site.world.base + '/bin/app_upgrade.py',
                        str(site.release + 1)] + (['fail'] if fails else [])}


def kept(site):
    """Kept versions that are not bad, but for the last good one: to go there has a step less."""
    catalog = oracle.Catalog(site.world)
    return [n for n, v in sorted(catalog.versions.items())
            if v['state'] == 'kept' and v['mark'] != 'bad' and n != catalog.last_good]


CASES = {
    'upgrade': Case('upgrade', lambda site: upgrade(site, False)),
    'failing': Case('upgrade', lambda site: upgrade(site, True), fails=True),
    'staged': Case('upgrade', lambda site: dict(upgrade(site, False), staged=True)),
    'staged-failing': Case('upgrade', lambda site: dict(upgrade(site, True), staged=True),
                           fails=True),
    'activate': Case('activate', lambda site: {'version': kept(site)[0]}),
    'rollback': Case('rollback', lambda site: {}),
    'prune': Case('prune', lambda site: {'versions': prunable(site)[:1]}),
    'add': Case('add', lambda site: {}),
    'remove': Case('remove', lambda site: {}),
}


def prunable(site):
    catalog = oracle.Catalog(site.world)
    return [n for n in catalog.versions if n not in (catalog.active, catalog.last_good)]


class Matrix:
    def __init__(self, build, driver, engine):
        self.world = World(build, driver, engine)
        self.site = Site(self.world)
        self.daemon = None

    def start(self, fault=None):
        self.daemon = Daemon(self.world, fault)
        if self.daemon.wait_line(READY) is None:
            raise Broken('the daemon does not start: %s' % '; '.join(self.world.log[-5:]))

    def crash(self):
        self.daemon.kill()

    def plainly(self, name):
        """Do it without a crash; its steps in the order they ran."""
        case = CASES[name]
        before = self.before(case)
        number = self.world.begin(case.verb, before['more'])
        op = self.world.wait(number)
        wanted = 'rolled-back' if case.fails else 'done'
        if op['state'] != wanted:
            raise Broken('%s without a crash: %s %r' % (name, op['state'], op['error']))
        self.world.pause()
        self.judge(name, case, before, op['state'])
        self.world.go_on()
        return op['steps']

    def before(self, case):
        """What is known before it begins; the model keeps what the live version has by now."""
        live = self.site.live()
        live['rows'] |= self.world.acknowledged() - self.known_rows()
        return {'more': case.prepare(self.site), 'acks': set(live['rows'])}

    def known_rows(self):
        known = set(self.site.forgiven)
        for owed in self.site.versions.values():
            known |= owed['rows']
        return known | self.site.plain['rows']

    # What has to be true when an operation ended in this state; the model follows.

    def judge(self, name, case, before, state):
        catalog = oracle.Catalog(self.world)
        oracle.need(all(o[1] in ('done', 'failed', 'rolled-back') for o in catalog.ops),
                    'operations are left open: %r', catalog.ops[-1])
        getattr(self, 'judge_' + case.verb, self.judge_switch)(case, before, state, catalog)
        self.check_all(oracle.Catalog(self.world))

    def fresh(self):
        """Rows acknowledged during the operation."""
        return self.world.acknowledged() - self.known_rows()

    def judge_upgrade(self, case, before, state, catalog):
        site, old, fresh = self.site, self.site.active, self.fresh()
        new = [n for n in catalog.versions if n not in site.versions]
        if state == 'failed':
            oracle.need(not new, 'failed, but there is version %r', new)
            site.live()['rows'] |= fresh
            return
        oracle.need(len(new) == 1, '%s, and the new versions are %r', state, new)
        rows = site.versions[old]['rows'] | fresh
        if state == 'done':
            oracle.need(not case.fails, 'the command failed, but it is done')
            site.release += 1
            site.versions[new[0]] = {'release': str(site.release), 'rows': rows}
            site.active = new[0]
        else:
            # What was written after the copy went with the bad version.
            site.versions[new[0]] = {'release': None, 'rows': set(before['acks'])}
            self.check_union(catalog, (old, new[0]), fresh)

    def check_union(self, catalog, numbers, rows):
        """Each of these rows is in one of the versions; each version owes from now on what it
        has."""
        left = set(rows)
        for number in numbers:
            have = oracle.check_version(self.world, catalog, number, self.site.versions[number])
            left -= have
            self.site.versions[number]['rows'] |= have & rows
        oracle.need(not left, '%d acknowledged rows are in no database, e.g. %s', len(left),
                    min(left, default=0))

    def judge_switch(self, case, before, state, catalog):
        site, old, fresh = self.site, self.site.active, self.fresh()
        oracle.need(set(catalog.versions) == set(site.versions), 'versions came or went')
        if state == 'failed':
            oracle.need(catalog.active == old, 'failed, but %d is active', catalog.active)
            site.live()['rows'] |= fresh
            return
        wanted = before['more'].get('version', catalog.active)
        oracle.need(catalog.active == wanted != old, '%s, but %d is active', state, catalog.active)
        site.active = catalog.active
        self.check_union(catalog, (old, site.active), fresh)

    def judge_prune(self, case, before, state, catalog):
        site = self.site
        site.live()['rows'] |= self.fresh()
        if state == 'failed':
            oracle.need(set(catalog.versions) == set(site.versions), 'failed, but versions went')
            return
        gone = set(before['more']['versions'])
        oracle.need(set(catalog.versions) == set(site.versions) - gone, 'done, but left are %r',
                    sorted(catalog.versions))
        for number in gone:
            site.forgiven |= site.versions.pop(number)['rows']

    def judge_add(self, case, before, state, catalog):
        site = self.site
        site.plain['rows'] |= self.fresh()
        if state == 'failed':
            oracle.need(not catalog.versions, 'failed, but there is a version')
            return
        oracle.need(len(catalog.versions) == 1, 'added, with versions %r', sorted(catalog.versions))
        site.active = catalog.active
        site.versions = {site.active: site.plain}

    def judge_remove(self, case, before, state, catalog):
        site = self.site
        site.live()['rows'] |= self.fresh()
        if state == 'failed':
            oracle.need(set(catalog.versions) == set(site.versions), 'failed, but versions went')
            return
        for number, owed in site.versions.items():
            if number != site.active:
                site.forgiven |= owed['rows']
        site.plain = site.versions[site.active]
        site.versions, site.active = {}, None

    def check_all(self, catalog):
        if self.site.active is None:
            oracle.check_plain(self.world, self.site.plain)
            return
        oracle.need(catalog.active == self.site.active, '%d is active, not %d', catalog.active,
                    self.site.active)
        oracle.check_served(self.world, catalog)
        for number, owed in self.site.versions.items():
            oracle.check_version(self.world, catalog, number, owed)

    # One point.

    def fall(self, fault, number=None):
        """Wait until the fault has killed the operation, then end the rest."""
        said = self.daemon.wait_line(KILLED, READY) if number is None else \
            self.daemon.wait_line(KILLED)
        if said != KILLED:
            raise Broken('%s was not reached' % fault)
        self.crash()

    def point(self, name, faults):
        """Kill at the first of the faults, kill the recovery at the next, and so on; then look."""
        case, world = CASES[name], self.world
        faults = self.fitting(case, faults)
        self.crash()
        of_server = faults[0].startswith(SERVER)
        self.start(stop_at(faults[0]) if of_server else faults[0])
        before = self.before(case)
        number = world.begin(case.verb, before['more'])
        if of_server:
            self.server_falls(faults[0])
        else:
            self.fall(faults[0], number)
            for fault in faults[1:]:
                self.daemon = Daemon(world, fault)
                self.fall(fault)
            self.start()
        if of_server:
            # Nobody was killed but the server, so what was left for the next start is still there.
            world.wait(number)
            self.crash()
            self.start()
        world.pause()
        seen = world.seen_by_visitor()
        oracle.need(not seen, 'a visitor saw: %s', seen[0] if seen else '')
        op = world.wait(number)
        oracle.need(op['state'] in ('done', 'failed', 'rolled-back'), 'it is %s: %r', op['state'],
                    op['error'])
        oracle.need(op['state'] == 'done' or op['error'], '%s without a reason', op['state'])
        self.judge(name, case, before, op['state'])
        self.second_start()
        world.go_on()
        return op['state']

    def fitting(self, case, faults):
        """A database that is not a copy is left where a copy is dropped, and only once."""
        if case.verb not in ('prune', 'remove') or not self.world.engine.serves:
            return faults
        kinds = self.world.kinds(case.verb, case.prepare(self.site))
        for one, other in (DROPS, DROPS[::-1]):
            if one not in kinds and other in kinds:
                faults = [fault.replace(one, other) for fault in faults]
        return faults

    def server_falls(self, fault):
        """The operation stops there, the server is killed, and both go on."""
        pid = self.world.stopped()
        if fault.endswith(':during'):
            os.kill(pid, signal.SIGCONT)
            time.sleep(DURING_SECONDS)
            self.world.engine.kill()
        else:
            self.world.engine.kill()
            os.kill(pid, signal.SIGCONT)
        self.world.engine.start()

    def second_start(self):
        """Nothing is leaked and nothing moves."""
        oracle.check_idle(self.world, oracle.Catalog(self.world))
        first = oracle.fingerprint(self.world)
        self.crash()
        self.start()
        changed = sorted(first ^ oracle.fingerprint(self.world))
        oracle.need(not changed, 'a second recovery changed %s', '; '.join(changed[:6]))
        if self.site.active is not None:
            oracle.check_leaks(self.world, oracle.Catalog(self.world))

    def reboot(self):
        """Mounts and run/ are gone; snapd shows every version again, and what was only kept
        because it was mounted goes."""
        if self.site.active is None:
            return
        self.world.pause()
        self.crash()
        self.world.forget_mounts()
        self.start()
        oracle.check_served(self.world, oracle.Catalog(self.world))
        self.check_all(oracle.Catalog(self.world))
        oracle.check_leaks(self.world, oracle.Catalog(self.world))
        self.world.go_on()

    # What has to be there for an operation, made without crashes.

    def ensure(self, name):
        site = self.site
        if name == 'add':
            if site.active is not None:
                self.plainly('remove')
            return
        if site.active is None:
            self.plainly('add')
        while len(site.versions) > 5 and prunable(site):
            self.plainly('prune')
        if name == 'rollback' and oracle.Catalog(self.world).last_good is None:
            self.plainly('upgrade')
        while name == 'activate' and not kept(site):
            self.plainly('upgrade')
        while name == 'prune' and not prunable(site):
            self.plainly('upgrade')
        # Two versions each time, so that each plan has the same steps.
        while name == 'remove' and prunable(site):
            self.plainly('prune')
        if name == 'remove' and len(site.versions) < 2:
            self.plainly('upgrade')

    def begin(self):
        self.start()
        self.world.visit()

    def end(self):
        if self.daemon:
            self.daemon.kill()
        self.world.end()


def occurrences(steps, prefix, places):
    """KIND#N:PLACE for each place of each step, in the order they run."""
    seen = Counter()
    for step in steps:
        kind = prefix + step['kind']
        seen[kind] += 1
        for place in places:
            yield '%s#%d:%s' % (kind, seen[kind], place)


def points_of(matrix, name):
    """The faults of an operation: one deep at every place, and two deep."""
    return list(each_point(matrix, name))


def each_point(matrix, name):
    matrix.ensure(name)
    steps = matrix.plainly(name)
    main = [s for s in steps if s['part'] == 'main']
    rescue = [s for s in steps if s['part'] == 'rescue']
    pivot = oracle.pivot_of(matrix.world)
    ran = [s for s in main if s['mark'] == 'done']
    if CASES[name].fails:
        # Up to the command it is the upgrade that does not fail.
        for fault in occurrences(rescue, '', PLACES):
            yield [shift(fault, ran)]
        if matrix.world.engine.serves:
            for fault in occurrences(rescue, '', ['before']):
                yield [SERVER + shift(fault, ran)]
        return
    for fault in occurrences(ran, '', PLACES):
        yield [fault]
    if matrix.world.engine.serves:
        for fault in occurrences(ran, '', SERVER_PLACES):
            if fault.endswith(':before') or fault.startswith(ASKS_SERVER):
                yield [SERVER + fault]
    if 0 < pivot < len(ran):
        last = list(occurrences(ran[:pivot], '', ['after']))[-1]
        for fault in occurrences(reversed(ran[:pivot]), 'undo-', PLACES):
            yield [last, fault]
    # What only records is done in the commit that says that the pivot is: cut off before that, it
    # is still ahead.
    rest = ran[pivot + 1:]
    joined = list(itertools.takewhile(lambda s: s['kind'] in RECORDS, rest))
    first = list(occurrences(ran[:pivot + 1], '', ['after', 'marked']))[-2:]
    if not rescue:
        for fault in occurrences(joined, '', PLACES):
            yield [first[0], fault]
    for fault in occurrences(rescue or rest[len(joined):], '', PLACES):
        yield [first[-1], fault]


def stop_at(fault):
    """What stops the operation where the server is to be killed."""
    return fault.replace(SERVER, 'stop@').replace(':during', ':before')


def shift(fault, ran):
    """The same occurrence in a process that has run these steps before."""
    kind, rest = fault.split('#')
    n, place = rest.split(':')
    return '%s#%d:%s' % (kind, int(n) + sum(s['kind'] == kind for s in ran), place)


class Run:
    """The points of all verbs; after a finding the world is made anew."""

    def __init__(self, options):
        self.build, self.driver = os.path.realpath(options.build), options.driver
        self.options, self.matrix = options, None
        self.cases = self.bad = 0
        self.first = 1          # the point that began this world
        self.sums = Counter()
        self.rows = 0

    def check(self, name, what, *args, again=None):
        """One case of TAP."""
        self.cases += 1
        try:
            result = what(*args)
            print('ok %d - %s, %s' % (self.cases, self.driver, name), flush=True)
            return result
        except (oracle.Violation, Broken, OSError, ValueError, KeyError, sqlite3.Error) as e:
            self.bad += 1
            for line in self.matrix.world.log[-12:]:
                print('#   snapd: %s' % line)
            for line in oracle.story(self.matrix.world):
                print('#   %s' % line)
            print('# %s: %s' % (type(e).__name__, e))
            for line in again or []:
                print('# again: %s' % line)
            print('not ok %d - %s, %s' % (self.cases, self.driver, name), flush=True)
            self.close()
            return None

    def open(self):
        if self.matrix is None:
            self.matrix = Matrix(self.build, self.driver, self.options.engine)
            self.matrix.begin()

    def close(self):
        if self.matrix:
            self.rows += len(self.matrix.world.acknowledged())
            self.matrix.end()
        self.matrix = None

    def point(self, name, faults):
        self.matrix.ensure(name)
        self.sums[self.matrix.point(name, faults)] += 1

    def commands(self, spelt, number):
        """The point alone, and with its world's past."""
        command = [os.path.relpath(__file__), os.path.relpath(self.build), self.driver, '--engine',
                   self.options.engine]
        wide = ['--all'] if self.options.all else ['--sample', self.options.sample]
        return [shlex.join(command + ['--point', spelt]),
                shlex.join(command + wide + ['--only', '%d-%d' % (self.first, number)] +
                           self.options.verbs)]

    def points(self):
        """[(verb, faults)] of this run, after each operation was done once without a crash."""
        every = []
        for name in self.options.verbs:
            self.open()
            every += [(name, faults) for faults in
                      self.check('%s: without a crash' % name, points_of, self.matrix, name) or []]
        print('# sample: %s' % ('all' if self.options.all else self.options.sample))
        return every if self.options.all else sample.take(every, self.options.sample,
                                                            SERVER_SAMPLE if self.serves() else None)

    def serves(self):
        return ENGINES[self.options.engine].serves

    def matches(self, name, faults):
        return self.options.match is None or self.options.match in spell(name, faults)

    def numbered(self):
        """(number, verb, faults) of the points to run."""
        if self.options.point:
            return [(n, *read_point(text)) for n, text in enumerate(self.options.point, 1)]
        first, last = (int(n) for n in (self.options.only or '1-1000000').split('-'))
        chosen = [(n, *point) for n, point in enumerate(self.points(), 1)
                  if first <= n <= last and self.matches(*point)]
        if first > 1:
            self.close()
        self.first = first
        return chosen

    def all(self):
        verb, enough = None, 0
        for number, name, faults in self.numbered():
            if name != verb:
                self.reboot(verb)
                verb, enough = name, self.bad + BAD_MAX
            if self.bad >= enough:
                continue
            if self.matrix is None:
                self.first = number
            self.open()
            spelt = spell(name, faults)
            self.check(spelt, self.point, name, faults, again=self.commands(spelt, number))
        self.reboot(verb)

    def reboot(self, verb):
        if self.matrix and verb:
            self.check('%s: after a reboot' % verb, self.matrix.reboot)


def spell(name, faults):
    return '%s: %s' % (name, ', then '.join(faults))


def read_point(text):
    verb, faults = text.split(': ')
    return verb, faults.split(', then ')


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('driver', choices=('btrfs', 'overlayfs'))
    parser.add_argument('verbs', nargs='*', metavar='VERB', help=', '.join(CASES))
    parser.add_argument('--engine', choices=ENGINES, default='sqlite', help='the kind of database')
    parser.add_argument('--all', action='store_true', default=bool(os.environ.get('SITESNAP_TEST_ALL')),
                        help='every point')
    parser.add_argument('--sample', default=sample.of_the_commit(), help='which sample: any word')
    parser.add_argument('--match', metavar='TEXT', help='of these only what has this in its name')
    parser.add_argument('--only', metavar='FROM-TO', help='of all points or the sample only these')
    parser.add_argument('--point', action='append', help="one point, as a case calls it")
    options = parser.parse_intermixed_args()
    options.verbs = options.verbs or list(CASES)
    return options


def main(options):
    missing = ENGINES[options.engine].missing()
    if missing:
        print('1..0 # SKIP no %s on this machine' % missing)
        return 0
    everything = Run(options)
    began = time.monotonic()
    try:
        everything.all()
    finally:
        everything.close()
    points = sum(everything.sums.values())
    seconds = time.monotonic() - began
    print('# measured: crash matrix on %s with %s: %d points, %d torn, lost, leaked or locked (%s), '
          '%d rows acknowledged, %.2f s a point, %d s' % (
              options.driver, options.engine, points, everything.bad,
              ', '.join('%d %s' % (n, state) for state, n in sorted(everything.sums.items())),
              everything.rows,
              seconds / max(points, 1), seconds))
    print('1..%d' % everything.cases)
    return 1 if everything.bad else 0


if __name__ == '__main__':
    if 'MATRIX_APART' not in os.environ:
        # Mounts and processes of our own, whatever happens: shared inside, as on a server.
        os.environ['MATRIX_APART'] = '1'
        os.execvp('unshare', ['unshare', '--mount', '--pid', '--fork', '--kill-child',
                              '--mount-proc', '--propagation', 'private', '--', 'sh', '-c',
                              'mount --make-rshared / && exec "$@"', 'sh', sys.executable] +
                  sys.argv)
    # The first process of its namespace hears only what it asked for; leaving cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended from outside'))
    sys.exit(main(read_options()))
