#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools.py ROOT BUILD: what other people's checkers say about the tree, as TAP.

Each checker has to find a mistake planted for it before its silence about the tree counts.  A
checker that is not installed is a skipped case.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

FOLDERS = ('common', 'fsdrivers', 'dbdump', 'snapd', 'snapctl')
SCRIPTS = ('demo.sh', 'test.sh', '.ci/run', 'tests/lib/*.sh', 'tests/lib/upgrade-*',
           'tests/e2e/*.sh', 'tests/bench/*.sh', 'data/*.bash')

PLANTED_C = '''
int f(int *p);
int f(int *p)
{
        int a[2];

        a[2] = *p;
        if (p == 0)
                return sizeof(p) / sizeof(p[0]);
        return a[2] ? 1 : 1;
}
'''
PLANTED_SH = '#!/bin/bash\ncd $1\nrm -rf "$2/"*\necho $undefined | read -r a\n'


def cppcheck(root, _build, paths):
    return ['cppcheck', '-q', '--std=c11', '-j2', '--enable=warning,performance,portability',
            '--inline-suppr', '--error-exitcode=1', '-I', root,
            '--suppressions-list=' + os.path.join(root, 'tests/lint/cppcheck.txt')] + paths


def clang_tidy(root, build, paths):
    # Two at a time: each reads its files alone.
    script = 'printf "%s\\n" "$@" | xargs -P 2 -n 4 clang-tidy --quiet --warnings-as-errors=* ' \
             '--config-file="$0/.clang-tidy" -p "%s"' % ('%s', build)
    return ['sh', '-c', script, root] + paths


def shellcheck(_root, _build, paths):
    return ['shellcheck', '-S', 'warning', '-e', 'SC1090,SC1091,SC2034,SC2155'] + paths


def sources(root):
    return sorted(p for folder in FOLDERS for p in glob.glob(os.path.join(root, folder, '*.c')))


def scripts(root):
    return sorted(p for glob_ in SCRIPTS for p in glob.glob(os.path.join(root, glob_)))


TOOLS = [('cppcheck', cppcheck, sources, PLANTED_C, '.c'),
         ('clang-tidy', clang_tidy, sources, PLANTED_C, '.c'),
         ('shellcheck', shellcheck, scripts, PLANTED_SH, '.sh')]


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, [line for line in done.stdout.splitlines()
                             if not line.endswith((' warnings generated.', ' warning generated.'))]


def main(root, build):
    number, failed = 0, 0
    for name, command, files, planted, suffix in TOOLS:
        if shutil.which(name) is None:
            number += 1
            print('ok %d - %s # SKIP not installed' % (number, name))
            continue
        with tempfile.NamedTemporaryFile('w', suffix=suffix) as file:
            file.write(planted)
            file.flush()
            status, _ = run(command(root, build, [file.name]))
        number += 1
        failed += status == 0
        print('%sok %d - %s: finds what is planted' % ('not ' if status == 0 else '', number, name))
        status, output = run(command(root, build, files(root)))
        number += 1
        failed += status != 0
        for line in output if status else []:
            print('# ' + line)
        print('%sok %d - %s: has nothing to say' % ('not ' if status else '', number, name))
    print('1..%d' % number)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2]))
