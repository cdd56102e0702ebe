# SPDX-License-Identifier: LGPL-2.1-or-later
"""Includes go one way.

A folder may include itself and what its row names.  Inside snapd the modules stand in rows from
left (knows nothing) to right (knows everything): a module includes what stands in earlier rows,
and never a sibling of its own row.  A module is the stem of a file name; `*` ends a prefix, and
files that share a stem are one module.  A new module gets a place here before it is used.
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
    ['dirs', 'sandbox', 'worker_child'], # where things lie; what a process gives up
    ['role'],               # what a worker may
    ['worker'],             # how a process is started for someone
    ['worker_call'],
    ['site'],               # what a site is
    ['site_keys'],          # the table of its file's keys
    ['site_kinds', 'site_numbers', 'site_check'],
    ['site_load'],
    ['site_save'],
    ['config', 'rewrite'],
    ['sql', 'progress', 'wake', 'fault'],  # what the records are made with
    ['catalog_schema'],
    ['step', 'catalog'],
    ['catalog_*'],
    ['journal'],
    ['journal_*'],
    ['txn'],
    ['steps'],              # what the kinds of steps share
    ['steps_*'],
    ['plan', 'plan_*'],
    ['probe', 'guard'],
    ['request', 'request_*'],
    ['operation', 'query'],
    ['route', 'route_*', 'api', 'api_*', 'http'],
    ['server'],
    ['main'],
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', re.M)


def row_of(stem):
    rows = [n for n, row in enumerate(SNAPD_ROWS) for glob in row if fnmatch.fnmatch(stem, glob)]
    return rows[0] if rows else None


def wrong_inside_snapd(path, target):
    own, other = (os.path.basename(p).rsplit('.', 1)[0] for p in (path, target))
    if own == other:
        return None
    for stem in (own, other):
        if row_of(stem) is None:
            return 'snapd/%s stands in no row of tests/lint/arrows.py' % stem
    if row_of(other) >= row_of(own):
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
    (check_arrows, dict(OK, **{'snapd/steps_a.c':
                               '#include "snapd/steps_a.h"\n#include "snapd/journal.h"\n'})),
]
