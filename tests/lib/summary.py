#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""summary.py [--ended HOW] testlog.json: what a run of `meson test` came to, in single cases.

Meson counts programs; a program of ours prints one TAP line a case.  A program that ended badly
without a case to show for it (killed, timed out, plan not kept) counts as one failed case, so that
nothing gets lost between its lines.  Neither is a run whole that was ended from outside: that is
one more failed case.
"""
import argparse
import json
import re
import sys

# A '#' is part of the name (a crash point is called fs.mount#2:after) unless a directive follows.
CASE = re.compile(r'^(not )?ok\b\s*(\d*)\s*(?:- )?(.*?)(?:(?<=\s)#\s*(SKIP|TODO)\S*\s*(.*))?$', re.I)
PLAN = re.compile(r'^1\.\.(\d+)(?:\s*#\s*SKIP\S*\s*(.*))?$', re.I)


def read_tap(text):
    """The cases of one program: [(name, 'ok' | 'failed' | 'skipped', reason)], and its plan.

    The reason of a failed case is what the program said about it: the comments before its line.
    """
    cases, plan, note, said = [], None, '', []
    for line in text.splitlines():
        case, planned = CASE.match(line), PLAN.match(line)
        if line.startswith('# skipped: '):
            note = line[len('# skipped: '):]
        elif line.startswith('#'):
            said.append(line)
        elif planned:
            plan = int(planned.group(1))
            if plan == 0:
                cases.append(('everything', 'skipped', planned.group(2) or note))
        elif case:
            bad, _, name, mark, reason = case.groups()
            if mark and mark.upper() == 'SKIP' and not bad:
                cases.append((name.strip(), 'skipped', reason or note))
            else:
                cases.append((name.strip(), 'failed' if bad else 'ok',
                              ''.join('\n    ' + s for s in said[-40:]) if bad else ''))
            note, said = '', []
    return cases, plan


def judge(test):
    """All cases of one entry of the log, with one added for the program if it owes one."""
    cases, plan = read_tap(test.get('stdout') or '')
    seen = sum(1 for c in cases if c[0] != 'everything')
    if plan is None or (plan and plan != seen):
        cases.append(('(program)', 'failed', 'ended before its plan was done'))
    elif test['result'] not in ('OK', 'SKIP') and not any(c[1] == 'failed' for c in cases):
        cases.append(('(program)', 'failed', '%s, exit status %s'
                      % (test['result'].lower(), test.get('returncode'))))
    elif not cases:
        cases.append(('(program)', 'failed', 'ran no case'))
    return cases


def read_log(path, whole):
    """Its entries; of a run that was ended the last one may be cut off."""
    tests = []
    try:
        with open(path, encoding='utf-8') as log:
            for line in log:
                tests.append(json.loads(line))
    except OSError:
        pass
    except ValueError:
        if whole:
            raise
    return tests


def sum_up(tests, ended):
    """The lines that say it, and whether all is well."""
    counts, lines = {'ok': 0, 'failed': 0, 'skipped': 0}, []
    for test in tests:
        name = test['name'].split(' / ')[-1]
        failed = False
        for case, result, reason in judge(test):
            counts[result] += 1
            failed |= result == 'failed'
            if result != 'ok':
                lines.append('%s: %s: %s%s' % (result, name, case, reason and ': ' + reason))
        if failed:
            lines += ['    ' + line for line in (test.get('stderr') or '').splitlines()[-40:]]
        lines += [line[2:] for line in (test.get('stdout') or '').splitlines()
                  if line.startswith('# measured: ')]
    if ended:
        counts['failed'] += 1
        lines.append('failed: test.sh: %s; what had not ended by then is not counted' % ended)
    lines.append('%(ok)d passed, %(failed)d failed, %(skipped)d skipped' % counts)
    return lines, counts['ok'] and not counts['failed']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--ended', metavar='HOW', help='the run did not end by itself')
    parser.add_argument('log')
    options = parser.parse_args()
    lines, well = sum_up(read_log(options.log, not options.ended), options.ended)
    print('\n'.join(lines))
    return 0 if well else 1


if __name__ == '__main__':
    sys.exit(main())
