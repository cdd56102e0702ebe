# SPDX-License-Identifier: LGPL-2.1-or-later
"""Includes go one way.

A folder may include itself and what its row names.  Inside snapd the modules stand in rows from
left (knows nothing) to right (knows everything): a module includes what stands in earlier rows,
and never a sibling of its own row.  A module is the stem of a file name, so files that share one
are one module, and `site_load` is a part of `site` unless a row says otherwise; `*` ends a prefix.
A row may also name a single file.  A new module gets a place here before it is used.
"""
import fnmatch
import os
import re

from tree import c_files, line_of

FOLDERS = {
    'common': [],
    'fsdrivers': ['common'],
    'dbdump': ['common'],
    'snapd': ['common', 'fsdrivers', 'dbdump'],
    'snapctl': ['common'],
}

SNAPD_ROWS = [
    ['dirs', 'fault', 'aside', 'args', 'exchange', 'sql', 'progress', 'wake', 'sandbox', 'sample',
     'module', 'module_version',
     'ballast', 'ini_line'],        # know nothing
    ['outbox'],                     # notices on their way
    ['notice'],                     # their words
    ['role'],                       # what a worker may
    ['worker', 'process'],          # how a process is started
    ['bundle'],                     # a version as one file
    ['remote'],                     # a server's database driver, in a process of its own
    ['rewrite'],                    # a value in an application's configuration
    ['probe'],                      # what is to be measured
    ['site'],
    ['prober'],                     # measuring it
    ['target'],                     # who is told
    ['step', 'catalog'],
    ['steps'],                      # the kinds of steps, by name
    ['step_kinds', 'journal'],
    ['probation'],                  # which versions are on trial
    ['notice_op'],                  # what operations tell
    ['front'],                      # which version a visitor is given
    ['env'],                        # what a step may use
    ['dbprobe'],                    # whether a database answers
    ['smoke'],                      # the site's probes before and after an upgrade
    ['outline'],                    # what a database is made of
    ['sight'],                      # what is to be seen there
    ['served'],                     # the paths that are served
    ['render', 'webconf'],
    ['served.c'],
    ['switcher'],
    ['txn'],
    ['steps_*'],
    ['plan'],
    ['lock', 'sweep', 'neighbours', 'strays'], # trees that no version has, what other sites have
    ['deliver'],                    # to those who are told
    ['adopt', 'settle'],            # what is found: in a tree to take over, after a crash
    ['plan_facts'],
    ['guard'],
    ['request'],
    ['view'],                       # what there is, as the API shows it
    ['lost'],                       # what two versions do not have alike
    ['operation', 'query', 'boot'],
    ['auth', 'sitecache', 'standby'],
    ['spawner', 'question', 'courier'], # processes that the daemon starts
    ['expiry'],                     # what ends by itself
    ['watch', 'history'],           # what becomes of a version that is bad; what was measured
    ['measure'],                    # whose samples those are
    ['routes'],                     # who may ask what, and what answers
    ['dialog'],                     # one request over HTTP
    ['http'],
    ['server'],
    ['daemon'],
    ['main'],
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', re.M)


def row_named(known):
    for n, row in enumerate(SNAPD_ROWS):
        if any(fnmatch.fnmatch(known, glob) for glob in row):
            return n
    return None


def place_of(path):
    """(family, row): the row of a file by its whole name, by its stem, or by its family."""
    name = os.path.basename(path)
    stem = name.rsplit('.', 1)[0]
    for known in (name, stem):
        if row_named(known) is not None:
            return stem, row_named(known)
    family = stem.split('_')[0]
    return family, row_named(family)


def wrong_inside_snapd(path, target):
    (own, own_row), (other, other_row) = place_of(path), place_of(target)
    for file, row in ((path, own_row), (target, other_row)):
        if row is None:
            return '%s stands in no row of tests/lint/arrows.py' % file
    if own != other and other_row >= own_row:
        return "'%s' does not stand left of '%s'" % (target, path)
    return None


def wrong(files, path, target):
    folder, to = path.split('/')[0], target.split('/')[0]
    if target not in files:
        return "'%s' is not a file of this tree, named from its root" % target
    if folder not in FOLDERS:
        return None     # tests look into everything
    if to != folder and to not in FOLDERS[folder]:
        return "%s may not include '%s'" % (folder, target)
    if folder == to == 'snapd':
        return wrong_inside_snapd(path, target)
    return None


def check_arrows(files):
    """includes go only to the left"""
    for path, text in c_files(files).items():
        for match in INCLUDE.finditer(text):
            reason = wrong(files, path, match.group(1))
            if reason:
                yield path, line_of(text, match.start()), reason


OK = {'common/error.h': '', 'snapd/site.h': '', 'snapd/journal.h': '', 'snapd/steps_a.h': '',
      'fsdrivers/fsdriver.h': '', 'dbdump/dbdriver.h': ''}

PLANTED = [
    (check_arrows, dict(OK, **{'common/x.c': '#include "snapd/site.h"\n'})),
    (check_arrows, dict(OK, **{'fsdrivers/x.c': '#include "dbdump/dbdriver.h"\n'})),
    (check_arrows, dict(OK, **{'snapctl/x.c': '#include "snapd/site.h"\n'})),
    (check_arrows, dict(OK, **{'snapd/site.c': '#include "snapd/journal.h"\n'})),
    (check_arrows, dict(OK, **{'snapd/steps_b.c': '#include "snapd/steps_a.h"\n'})),
    (check_arrows, dict(OK, **{'snapd/unheard.c': '#include "snapd/site.h"\n'})),
    (check_arrows, dict(OK, **{'common/x.c': '#include "error.h"\n'})),
]
HARMLESS = [
    (check_arrows, dict(OK, **{'snapd/site_load.c': '#include "snapd/site.h"\n',
                               'snapd/site.c': '#include "snapd/site_load.h"\n',
                               'snapd/site_load.h': ''})),
    (check_arrows, dict(OK, **{'snapd/steps_a.c':
                               '#include "snapd/steps_a.h"\n#include "snapd/journal.h"\n'})),
]
