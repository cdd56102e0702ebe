# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a site owes after a crash, looked up without any code of ours: in the mount table, the link,
the files, the database files, the pool's names and the rows of the catalog."""
import configparser
import json
import os
import re
import sqlite3
import stat
import time
from collections import Counter

import app_database

IDLE_SECONDS = 10
EMPTY = '.empty'    # the overlay driver's second lower of a read-only view


class Violation(Exception):
    """Something that must never be."""


def need(condition, text, *values):
    if not condition:
        raise Violation(text % values if values else text)


def read_text(*path):
    try:
        with open(os.path.join(*path), encoding='ascii') as f:
            return f.read()
    except OSError as e:
        raise Violation(str(e)) from e


def content_of(world, named):
    """Release and rows of a database, whose tables must be of one instant."""
    try:
        content = world.engine.content(named)
    except app_database.Failed as e:
        raise Violation("'%s' cannot be read: %s" % (named, e)) from e
    torn = content.rows ^ content.marks
    need(not torn, "'%s' is torn: %d rows are in one table only, e.g. %s", named, len(torn),
         min(torn, default=0))
    return content


class Catalog:
    def __init__(self, world):
        db = sqlite3.connect('file:%s/state.db?mode=ro' % world.state, uri=True)
        try:
            need(db.execute('PRAGMA integrity_check').fetchone() == ('ok',), 'the catalog is broken')
            db.row_factory = sqlite3.Row
            self.sites = [dict(r) for r in db.execute('SELECT * FROM sites')]
            self.versions = {r['number']: dict(r) for r in
                             db.execute('SELECT * FROM versions ORDER BY number')}
            self.ops = [tuple(r) for r in db.execute('SELECT id, state, seq FROM ops')]
        finally:
            db.close()
        active = [n for n, v in self.versions.items() if v['state'] == 'active']
        need(len(active) == (1 if self.versions else 0), 'active are %r', active)
        self.active = active[0] if active else None
        good = [v for v in self.versions.values() if v['state'] == 'kept' and v['mark'] != 'bad']
        self.last_good = max(good, key=lambda v: (v['active'], v['number']))['number'] \
            if good else None

    def shown(self):
        return {n for n, v in self.versions.items()
                if n in (self.active, self.last_good) or v['mounted']}


def pivot_of(world):
    """The point of no return in the plan of the last operation."""
    db = sqlite3.connect('file:%s/state.db?mode=ro' % world.state, uri=True)
    try:
        return db.execute('SELECT pivot FROM ops ORDER BY id DESC LIMIT 1').fetchone()[0]
    finally:
        db.close()


def mounts_below(directory):
    """[(mount point below it, root in its file system, options)]"""
    found = []
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        for line in f:
            fields = line.split()
            if fields[4].startswith(directory + '/'):
                found.append((fields[4][len(directory) + 1:], fields[3], fields[5].split(',')[0]))
    return found


def tree_of(world, number):
    """Release of the tree of a version that is shown, and the database directory it names."""
    root = os.path.join(world.home, 'versions', str(number))
    index, code = read_text(root, 'index.txt'), read_text(root, 'lib/code.txt')
    need(index == code, 'version %d is torn: %r and %r', number, index, code)
    need(read_text(root, 'uploads/first') == 'an upload\n', 'version %d lost its uploads', number)
    config = configparser.ConfigParser()
    config.read_string(read_text(root, 'app.ini'))
    return index.split()[1], config['app']['database']


def check_version(world, catalog, number, owed):
    """Tree and database of a version together: what was said of it before it was kept."""
    row = catalog.versions.get(number)
    need(row is not None, 'version %d is gone', number)
    directory = world.engine.named(row['database'])
    database = content_of(world, directory)
    if owed['release'] is not None:
        need(database.release == database.migrated == owed['release'],
             "database of version %d is of '%s' and '%s', not '%s'", number, database.release,
             database.migrated, owed['release'])
        if number in catalog.shown():
            release, named = tree_of(world, number)
            need(release == owed['release'], "files of version %d are of '%s', not '%s'", number,
                 release, owed['release'])
            need(named == directory, "version %d names '%s', not '%s'", number, named, directory)
    lost = owed['rows'] - database.rows
    need(not lost, 'version %d lost %d acknowledged rows, e.g. %s', number, len(lost), min(lost, default=0))
    return database.rows


def check_served(world, catalog):
    """The docroot leads to the active version and to nothing else."""
    need(os.path.islink(world.docroot), 'the docroot is no link')
    link = os.readlink(os.path.join(world.home, 'current'))
    need(link == 'versions/%d' % catalog.active, "current leads to '%s', active is %d", link,
         catalog.active)
    need(os.path.realpath(world.docroot) ==
         os.path.join(world.home, 'versions', str(catalog.active)),
         'the docroot does not lead to the active version')


def pool_trees(world, catalog):
    """The numbers of the trees that are there, and names that are none."""
    trees, strange = [], []
    pool = catalog.sites[0]['pool']
    for name in os.listdir(os.path.join(pool, 'trees')):
        match = re.fullmatch(r'[hf](\d+)\.\d+' if world.driver == 'btrfs' else r'(\d+)', name)
        if match:
            trees.append(int(match.group(1)))
        else:
            strange.append('trees/' + name)
    for folder in ('layers', 'work'):
        path = os.path.join(pool, folder)
        if os.path.isdir(path):
            strange += ['%s/%s' % (folder, n) for n in os.listdir(path)
                        if n != EMPTY and (n.startswith('.') or n.endswith('.partial'))]
    return sorted(trees), strange


def mounted_layers(option=''):
    """The names of layers that an overlay is made of now: they cannot go before it does."""
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        return set(re.findall(option + r'[^,:\s]*/layers/([^,:/\s]+)', f.read()))


def top_layer(pool, number):
    with open(os.path.join(pool, 'trees', str(number)), encoding='utf-8') as f:
        return json.load(f)['layers'][0]


def used_layers(pool):
    """The names of layers that any record of the overlay driver mentions."""
    words = set()
    for name in os.listdir(os.path.join(pool, 'trees')):
        with open(os.path.join(pool, 'trees', name), encoding='utf-8', errors='replace') as f:
            words.update(re.findall(r'[0-9A-Za-z._-]+', f.read()))
    return words


def partial_files(*roots):
    """What was begun and not finished, and ways that nobody goes any more (snapd/exchange.c)."""
    found = []
    for root in roots:
        for path, dirs, files in os.walk(root):
            # Half a ballast is used as one, and made whole after the next operation.
            found += [os.path.join(path, n) for n in dirs + files
                      if n.endswith(('.partial', '.sitesnap-way')) and n != '.ballast.partial']
    return found


def check_leaks(world, catalog):
    """Nothing is there that nobody will ever use."""
    trees, strange = pool_trees(world, catalog)
    named = {v['tree'] for v in catalog.versions.values()}
    pool = catalog.sites[0]['pool']
    if world.driver == 'overlayfs':
        # Kept for an operation that was taken back before it was shown: its topmost layer is still
        # what the live version writes to, so that it goes with the next switch.
        uppers = mounted_layers('upperdir=')
        trees = [t for t in trees if t in named or top_layer(pool, t) not in uppers]
        # A head may be mounted with layers that were merged meanwhile.
        unused = set(os.listdir(os.path.join(pool, 'layers'))) - used_layers(pool) - \
            mounted_layers() - {EMPTY}
        need(not unused, 'layers of no tree: %r', unused)
    need(set(trees) == named, 'trees in the pool %r, in the catalog %r', trees, sorted(named))
    need(not strange, 'debris in the pool: %r', strange)
    named = {v['database'] for v in catalog.versions.values()}
    copies, wanted = world.engine.copies(), world.engine.left(named)
    need(copies == wanted, 'databases %r, in the catalog %r', copies, wanted)
    left = partial_files(world.state, world.conf, world.home + '/db', world.home + '/shared')
    need(not left, 'partial files: %r', left)
    # A directory that is being adopted carries a link to its uploads until it is mounted anew.
    wanted = {'versions/%d%s' % (n, rest) for n in catalog.shown()
              for rest in ('', '/uploads', '/app.ini')
              if not os.path.islink('%s/versions/%d%s' % (world.home, n, rest))}
    mounted = Counter(m[0] for m in mounts_below(world.home))
    need(set(mounted) == wanted, 'mounted %r, wanted %r', sorted(mounted), sorted(wanted))
    need(max(mounted.values()) == 1, 'mounts pile up: %r', mounted)
    names = {n for n in os.listdir(world.home + '/versions')}
    need(names == {str(n) for n in catalog.shown()}, 'mount points %r, wanted %r', names,
         catalog.shown())


def check_idle(world, catalog):
    """On a server nobody of ours is there, nothing is locked, and the site's user can write to the
    active version's database and to no other.  What goes on behind an answer ends soon."""
    if not world.engine.serves:
        return
    engine = world.engine
    named = {n: engine.named(v['database']) for n, v in catalog.versions.items()} or \
        {None: engine.plain()}
    end = time.monotonic() + IDLE_SECONDS
    while True:
        busy = engine.busy()
        if not busy:
            busy = [line for name in named.values() for line in engine.locked(name)]
            busy += [('rights', n, name) for n, name in named.items()
                     if engine.writable(name) != (n == catalog.active)]
        if not busy:
            return
        need(time.monotonic() < end, 'after %d s still: %r', IDLE_SECONDS, busy)
        time.sleep(0.1)


def check_plain(world, owed):
    """No site: a plain directory with its database where it was, and nothing of ours."""
    need(os.path.isdir(world.docroot) and not os.path.islink(world.docroot),
         'the docroot is no plain directory')
    need(read_text(world.docroot, 'index.txt') == 'release %s\n' % owed['release'] and
         read_text(world.docroot, 'lib/code.txt') == 'release %s\n' % owed['release'],
         'the files are not those of release %s', owed['release'])
    need(read_text(world.docroot, 'uploads/first') == 'an upload\n', 'the uploads are lost')
    named = world.engine.plain()
    need('database = %s\n' % named in read_text(world.docroot, 'app.ini'),
         'the configuration was changed')
    database = content_of(world, named)
    need(database.release == owed['release'], "the database is of '%s'", database.release)
    left = world.engine.left(world.engine.copies()) - {named}
    need(not world.engine.serves or not left, 'databases are left: %r', left)
    lost = owed['rows'] - database.rows
    need(not lost, '%d acknowledged rows are lost', len(lost))
    need(not mounts_below(world.home) and not mounts_below(world.docroot), 'mounts are left: %r',
         mounts_below(world.home) + mounts_below(world.docroot))
    catalog = Catalog(world)
    need(not catalog.sites and not catalog.versions, 'the catalog still has a site')
    pool = os.path.join(world.disk, '.sitesnap')
    left = [os.path.join(p, n) for p, d, f in os.walk(pool) for n in f + d
            if p.endswith(('/trees', '/layers', '/work'))]
    need(not left, 'left in the pool: %r', left)
    left = os.listdir(world.home) if os.path.isdir(world.home) else []
    need(not left, 'left in the home: %r', left)
    left = partial_files(world.state, world.conf, world.disk)
    need(not left, 'partial files: %r', left)


def fingerprint(world):
    """Everything that a second recovery must leave as it is: lines."""
    lines = set()
    for root in (world.home, world.docroot, os.path.join(world.disk, '.sitesnap'), world.data,
                 world.conf):
        for path, dirs, files in os.walk(root):
            dirs.sort()
            for name in sorted(dirs + files):
                full = os.path.join(path, name)
                st = os.lstat(full)
                what = os.readlink(full) if stat.S_ISLNK(st.st_mode) else \
                    st.st_size if stat.S_ISREG(st.st_mode) else ''
                lines.add('%s %o %d %s' % (full, st.st_mode, st.st_uid, what))
    catalog = Catalog(world)
    for what in (*mounts_below(world.disk), *catalog.versions.items(), *catalog.ops, *catalog.sites,
                 *world.engine.state()):
        lines.add(repr(what))
    return lines


def story(world):
    """How far the last operation was, what the catalog says and what is mounted: lines for whoever
    looks for the cause of a finding."""
    try:
        db = sqlite3.connect('file:%s/state.db?mode=ro' % world.state, uri=True)
        op = db.execute('SELECT id, verb, state, pivot FROM ops ORDER BY id DESC LIMIT 1').fetchone()
        steps = db.execute('SELECT part, n, mark, kind, args FROM steps WHERE op = ? ORDER BY part, n',
                           op[:1]).fetchall()
        versions = db.execute('SELECT number, state, mark, tree, database FROM versions').fetchall()
        db.close()
    except (sqlite3.Error, TypeError) as e:
        return ['no catalog to tell of: %s' % e]
    return (['operation %d, %s, is %s; pivot %d' % op] +
            ['%s step %d, %s: %s %s' % (('main', 'rescue')[s[0]], *s[1:]) for s in steps] +
            ['version %d: %s, mark %s, tree %d, database %s' % v for v in versions] +
            ['mounted: %s from %s, %s' % m for m in mounts_below(world.home)])
