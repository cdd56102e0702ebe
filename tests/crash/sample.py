# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which points of the crash matrix an ordinary run takes: no kind of point is left out, and with
each commit they are others."""
import hashlib
import os
import re
import subprocess

REST = 8    # of the points that are not needed for that, one in so many


def of_the_commit():
    """The word that chooses the sample of this source tree."""
    done = subprocess.run(['git', '-c', 'safe.directory=*', '-C', os.path.dirname(os.path.realpath(__file__)),
                           'rev-parse', '--short=12', 'HEAD'], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or 'no-commit'


def kind_of(point):
    """What makes two points alike: the step and the place of the last kill, whichever of its kind it is."""
    return re.sub(r'#\d+', '', point[1][-1])


def at_database(point):
    """Does it fall where the database is worked with?"""
    return 'server@' in point[1][-1] or re.search(r'(^|-|@)(db|schema|hook)\.', point[1][-1])


def take(points, word, most=None):
    """Of [(verb, faults)] a part, in the same order: of each kind one, and some of the rest; or so many,
    most of them at the database, since the others are the same for each kind of it."""
    def dice(point):
        return hashlib.sha256(repr((word, point)).encode()).digest()

    if most is not None:
        near = sorted(filter(at_database, points), key=dice)[:most - most // 4]
        far = sorted((p for p in points if not at_database(p)), key=dice)[:most // 4]
        return [p for p in points if p in near or p in far]
    one_each = {}
    for point in sorted(points, key=dice):
        one_each.setdefault(kind_of(point), point)
    return [p for p in points if p == one_each[kind_of(p)] or dice(p)[-1] % REST == 0]
