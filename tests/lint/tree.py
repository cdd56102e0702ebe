# SPDX-License-Identifier: LGPL-2.1-or-later
"""The source tree as a dict of path -> text, and what the checks need to read C without a compiler."""
import os
import re

SKIP_DIRS = re.compile(r'^(\.git|\.cache|build.*|__pycache__)$')


def read_tree(root):
    """Every text file below root that belongs to the source."""
    files = {}
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if not SKIP_DIRS.match(d))
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or name == '.git':
                continue
            try:
                with open(path, encoding='utf-8') as f:
                    files[os.path.relpath(path, root)] = f.read()
            except UnicodeDecodeError:
                continue    # a picture or an archive is no source
    return files


def c_files(files):
    return {p: t for p, t in files.items() if p.endswith(('.c', '.h'))}


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """text with comments and the inside of literals blanked; lines stay where they are."""
    def blank(match):
        found = match.group(0)
        if found[0] == '/':
            return re.sub(r'[^\n]', ' ', found)
        return found[0] + ' ' * (len(found) - 2) + found[-1]
    return TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def functions(code):
    """(first line, last line, name) of every function definition, braces in column 0."""
    found, lines = [], code.split('\n')
    for n, line in enumerate(lines):
        if line != '{':
            continue
        end = next((k for k in range(n, len(lines)) if lines[k].startswith('}')), None)
        head = n - 1
        while head > 0 and lines[head - 1].strip() and not lines[head - 1].startswith('}') \
                and not lines[head - 1].rstrip().endswith(';'):
            head -= 1
        name = re.search(r'(\w+)\s*\(', ' '.join(lines[head:n]))
        if end is not None and name:
            found.append((head + 1, end + 1, name.group(1)))
    return found
