# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every file says and does not say."""
import re

from tree import line_of

SPDX = 'SPDX-License-Identifier: LGPL-2.1-or-later'

# Files without a place for a licence line, or with the licence itself.
BARE = re.compile(r'^(LICENSE|\.clang-format|\.gitignore|\.editorconfig)$|\.(json|md|sqlite|txt)$|'
                  r'^tests/data/|(^|/)fixtures/')

# Folders of a person or of the machine something was written on; /home/ alone is an example's.
MACHINE = re.compile(r'(?<![\w.$}])/(root|work|Users)/|/var/tmp/wt\b|/tmp/(tmp|claude)|file:///')

# A server's name would be asked by somebody's machine one day.
HOST = re.compile(r'https?://(?!127\.0\.0\.1|localhost|\[::1\]|\$|%|"|\')([\w.-]+\.[a-z]{2,})')
HOST_ALLOWED = re.compile(r'(^|\.)(example\.(org|com|net)|invalid|w3\.org)$')


def check_licence(files):
    """the licence stands in the first lines"""
    for path, text in files.items():
        if not BARE.search(path) and SPDX not in '\n'.join(text.split('\n')[:3]):
            yield path, 1, 'no SPDX line'


def check_machine_paths(files):
    """no path of the machine it was written on"""
    for path, text in files.items():
        if path == 'tests/lint/text.py':
            continue
        for match in MACHINE.finditer(text):
            yield path, line_of(text, match.start()), "'%s' is a path of one machine" % match.group(0)


def check_hosts(files):
    """no server on the network is named outside the documentation"""
    for path, text in files.items():
        if path.endswith('.md') or path in ('tests/lint/text.py', 'LICENSE') or \
                path.startswith(('docs/', 'tests/data/')):
            continue
        for match in HOST.finditer(text):
            if not HOST_ALLOWED.search(match.group(1)):
                yield path, line_of(text, match.start()), "'%s' is a server" % match.group(1)


def check_ends(files):
    """files end in one newline"""
    for path, text in files.items():
        if text and (not text.endswith('\n') or text.endswith('\n\n')):
            yield path, text.count('\n') + 1, 'ends in none or several newlines'


PLANTED = [
    (check_licence, {'a.sh': '#!/bin/sh\nexit 0\n'}),
    (check_machine_paths, {'a.c': 'x = "/root/x";\n'}),
    (check_machine_paths, {'a.md': 'see /work/x\n'}),
    (check_hosts, {'a.c': 'x = "https://updates.vendor.io/x";\n'}),
    (check_ends, {'a.c': 'x\n\n'}),
    (check_ends, {'a.c': 'x'}),
]
HARMLESS = [
    (check_licence, {'a.sh': '#!/bin/sh\n# %s\n' % SPDX}),
    (check_machine_paths, {'a.c': 'x = "/etc/root/x"; y = "$HOME/work/";\n'}),
    (check_hosts, {'a.c': 'x = "http://127.0.0.1:80/"; y = "http://localhost/";\n'}),
]
