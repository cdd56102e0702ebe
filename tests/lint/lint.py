#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""lint.py ROOT: every check of this folder on the tree below ROOT, as TAP.

A check is a generator of (path, line, message) with its sentence as docstring.  Before a check
judges the tree it has to find each violation planted for it, and nothing in what is harmless: a
check that cannot fail, or cries at everything, is itself a failed case.
"""
import sys

import arrows
import code
import keys
import numbers_said
import text
from tree import read_tree

MODULES = [arrows, code, keys, numbers_said, text]


def checks_of(module):
    return [f for name, f in vars(module).items() if name.startswith('check_')]


def self_test(module, check):
    """What is wrong with the check itself."""
    planted = [files for f, files in module.PLANTED if f is check]
    if not planted:
        yield 'no violation is planted for it'
    for files in planted:
        if not list(check(files)):
            yield 'does not find %r' % (list(files.values())[-1],)
    for files in (files for f, files in module.HARMLESS if f is check):
        for path, line, message in check(files):
            yield 'cries at %s:%d: %s' % (path, line, message)


def main(root):
    files, number, failed = read_tree(root), 0, 0
    for module in MODULES:
        for check in checks_of(module):
            on_tree = ['%s:%d: %s' % found for found in check(files)]
            for name, problems in (('finds what is planted', list(self_test(module, check))),
                                   ('holds', on_tree)):
                number += 1
                failed += bool(problems)
                for problem in problems:
                    print('# %s' % problem)
                print('%sok %d - %s: %s' % ('not ' if problems else '', number, check.__doc__, name))
    print('1..%d' % number)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
