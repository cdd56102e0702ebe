#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mutants.py write NAME INPUT OUTPUT: a source file with one thing broken on purpose.
mutants.py files: a line "NAME FILE" for each mutant, for meson.
mutants.py run NAME=PROGRAM...: the crash matrix has to find each of them, as TAP.

A mutant whose text is no longer in the source is written as it is; nothing finds it then, and the
case fails: the list follows the code or says that it does not.
"""
import subprocess
import sys

TXN, SQL_FILE = 'snapd/txn.c', 'snapd/sql_file.c'

# name: (file, what it says, what it says instead)
MUTANTS = {
    'done-before-run': (
        TXN, 'step->mark != STEP_RUNNING && mark(txn, i, STEP_RUNNING, err) < 0',
        'mark(txn, i, STEP_DONE, err) < 0'),
    'not-marked-running': (TXN, '(has_next(txn, i) && journal_mark(', '(false && journal_mark('),
    'joined-too-early': (TXN, 'return i >= txn->pivot && has_next', 'return has_next'),
    'joined-not-run': (TXN, 'if (kind->records) {', 'if (false) {'),
    'joined-failure-blamed': (TXN, 'return commit_done(txn, i, true, err);\n}', 'return -1;\n}'),
    'loosely-begun-forgotten': (TXN, 'steps[i].mark = STEP_RUNNING;', ';'),
    'loosely-begun-when-held-only': (TXN, 'if (recover || op', 'if (op'),
    'pivot-begun-loosely': (TXN, 'return i < txn->pivot && json', 'return i <= txn->pivot || json'),
    'undo-forward': (
        TXN, 'for (size_t i = txn->first_rescue; i-- > 0;) {',
        'for (size_t i = 0; i < txn->first_rescue; i++) {'),
    'undo-done-only': (
        TXN, 'm != STEP_PLANNED && m != STEP_UNDONE', 'm == STEP_DONE'),
    'undone-before-undo': (
        TXN, 'if (mark(txn, i, STEP_UNDOING, err) < 0)', 'if (mark(txn, i, STEP_UNDONE, err) < 0)'),
    'pivot-ignored': (
        TXN, 'txn.pivot = op.pivot;', 'txn.pivot = op.n_steps;'),
    'pivot-too-early': (
        TXN, 'txn.pivot = op.pivot;', 'txn.pivot = op.pivot == 0 ? 0 : op.pivot - 1;'),
    'pivot-not-done-again': (
        TXN, 'refresh(txn, 0, i + 1, &why) < 0 || run_step_patiently(txn, i, &why) < 0', 'false'),
    'rescue-skipped': (
        TXN, "txn->op->steps[i].mark != STEP_DONE && run_step_patiently(txn, i, &why) < 0",
        'false'),
    'rescue-begun-anew': (
        TXN, 'case OP_RESCUING:\n                return rescue(',
        'case OP_RESCUING:\n                return take_back('),
    'command-run-twice': (
        TXN, 'if (has_rescue(txn) && once_ahead(txn, i))\n                return rescue(txn, &cause, err);\n',
        ''),
    'failure-not-waited-out': (TXN, 'tries < TRIES', 'tries < 1'),
    'reboot-forgotten': (TXN, 'if (kind->fades &&', 'if (false && kind->fades &&'),
    'abort-not-heard': (
        TXN, 'i <= txn->pivot && journal_abort_asked(', 'false && journal_abort_asked('),
    'answer-not-written': (TXN, 'is_answered(txn, i) && journal_serve', 'false && journal_serve'),
    'answer-too-early': (
        TXN, 'return step->n + 1 == txn->op->answer', 'return step->n + 2 == txn->op->answer'),
    'rollback-not-said': (TXN, 'rolled_back.code = ERR_ROLLED_BACK;', ''),
    'mark-not-durable': (SQL_FILE, '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = OFF"'),
    'mark-durable-later': (SQL_FILE, '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"'),
}


def write(name, source, target):
    _, old, new = MUTANTS[name]
    with open(source, encoding='utf-8') as f:
        text = f.read()
    if old not in text:
        print("%s: '%s' is not in %s any more" % (name, old, source), file=sys.stderr)
    with open(target, 'w', encoding='utf-8') as f:
        f.write(text.replace(old, new))


def run(programs):
    failed = 0
    for number, (name, program) in enumerate((p.split('=', 1) for p in programs), 1):
        found = None
        # Test by test, the cheap ones first: the first that finds it is enough.
        for test in ('abort', 'rescue_that', 'step_that', 'journal', 'undo', 'three_deep'):
            done = subprocess.run([program, test], stdout=subprocess.PIPE, text=True, check=False)
            found = next((line for line in done.stdout.splitlines()
                          if line.startswith('# violation: ')), None)
            if found:
                print('# %s: %s' % (name, found[len('# violation: '):]))
                break
        failed += not found
        print('%sok %d - %s is found' % ('' if found else 'not ', number, name), flush=True)
    print('# measured: txn mutants: %d of %d found' % (len(programs) - failed, len(programs)))
    print('1..%d' % len(programs))
    return 1 if failed else 0


if __name__ == '__main__':
    command, *rest = sys.argv[1:]
    if command == 'files':
        for key, value in MUTANTS.items():
            print(key, value[0])
    elif command == 'write':
        write(*rest)
    else:
        sys.exit(run(rest))
