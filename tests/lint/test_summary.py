#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/lib/summary.py makes of programs that ended well, badly and in between, as TAP."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import summary

TABLE = [   # what, output, meson's verdict, exit status, results of the cases
    ('passed cases count', 'ok 1 - a\nok 2 - b\n1..2\n', 'OK', 0, 'ok ok'),
    ('a failed case counts once', 'ok 1 - a\nnot ok 2 - b\n1..2\n', 'FAIL', 1, 'ok failed'),
    ('a name may have a number sign', 'ok 1 - a, b#1:after\nnot ok 2 - b#2:skip\nok 3 - c#3 # SKIP x\n1..3\n',
     'FAIL', 1, 'ok failed skipped'),
    ('skipped is not passed', '# skipped: why\nok 1 - a # SKIP\n1..1\n', 'OK', 0, 'skipped'),
    ('a program may skip as a whole', '1..0 # SKIP no root\n', 'SKIP', 0, 'skipped'),
    ('a failed case marked TODO failed', 'not ok 1 - a # TODO x\n1..1\n', 'OK', 0, 'failed'),
    ('a program that dies midway failed', 'ok 1 - a\n', 'FAIL', -11, 'ok failed'),
    ('a plan that is not kept failed', '1..2\nok 1 - a\n', 'OK', 0, 'ok failed'),
    ('an exit status failed', 'ok 1 - a\n1..1\n', 'ERROR', 1, 'ok failed'),
    ('running out of time failed', 'ok 1 - a\n1..1\n', 'TIMEOUT', -9, 'ok failed'),
    ('saying nothing failed', '', 'OK', 0, 'failed'),
]


def main():
    failed = 0
    for n, (what, stdout, result, status, want) in enumerate(TABLE, 1):
        got = ' '.join(case[1] for case in summary.judge(
            {'name': 'x', 'stdout': stdout, 'result': result, 'returncode': status}))
        if got != want:
            failed = 1
            print('# %s, wanted %s' % (got, want))
        print('%sok %d - %s' % ('' if got == want else 'not ', n, what))
    failed |= ended(len(TABLE) + 1)
    print('1..%d' % (len(TABLE) + 1))
    return failed


def ended(n):
    """A run that a signal ended has its last entry cut off, and is a failed one whatever it has."""
    with tempfile.NamedTemporaryFile('w', suffix='.json') as log:
        entry = json.dumps({'name': 'x', 'stdout': 'ok 1 - a\n1..1\n', 'result': 'OK', 'returncode': 0})
        log.write(entry + '\n' + entry[:20])
        log.flush()
        done = subprocess.run([sys.executable, summary.__file__, '--ended', 'ended by SIGTERM', log.name],
                              stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    well = (done.returncode == 1 and lines[-1] == '1 passed, 1 failed, 0 skipped' and
            'ended by SIGTERM' in lines[-2])
    print('\n'.join('# ' + line for line in lines) + '\n' + ('' if well else 'not ') +
          'ok %d - a run that was ended is summed up and failed' % n)
    return not well


if __name__ == '__main__':
    sys.exit(main())
