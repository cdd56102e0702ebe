# SPDX-License-Identifier: LGPL-2.1-or-later
"""The keys of configuration files: those that are read and those of the manual are the same."""
import re

from tree import line_of

# Table, manual page, and the section where the table has none.
TABLES = [
    ('snapd/site_keys.c', 'data/sitesnap-site.conf.5', None),
    ('snapd/probe_keys.c', 'data/sitesnap-site.conf.5', 'probe NAME'),
    ('snapd/target_keys.c', 'data/sitesnap-notices.5', None),
]

# Words that a list has for another key's sake and that a check refuses.
REFUSED = {('probe NAME', 'unreachable'): {'good'}}

ROW = re.compile(r'^ {8}\{ "(\w+)", (?:"(\w+)", )?(.*?)\.help =', re.M | re.S)
LIST = re.compile(r'^static const char \*const (\w+)\[\w*\] = \{(.*?)\};', re.M | re.S)


def read_keys(text, section):
    """(section, key) -> words it takes or None, line."""
    lists = {name: set(re.findall(r'"([^"]*)"', body)) for name, body in LIST.findall(text)}
    keys = {}
    for row in ROW.finditer(text):
        words = re.search(r'\.words = (\w+)', row.group(3))
        name = (section, row.group(1)) if section else (row.group(1), row.group(2))
        keys[name] = (lists.get(words.group(1)) if words else None, line_of(text, row.start()))
    return keys


def documented_keys(text):
    """The same of a manual page; the words are None where it does not list them."""
    keys, section = {}, None
    for number, line in enumerate(text.split('\n'), 1):
        if line.startswith(('.Ss [', '.Sh ')):
            found = re.match(r'\.Ss \[([^]]+)\]', line)
            section = found.group(1) if found else None
        if section is None or not line.startswith('.It Ic '):
            continue
        listed = re.match(r'\.It Ic \w+ No = Cm ([^:]+)$', line)
        for key in re.findall(r'\bIc (\w+)', line):
            keys[section, key] = (set(listed.group(1).split(' | ')) if listed else None, number)
    return keys


def check_keys(files):
    """every key that is read is in the manual, with its words, and the other way round"""
    for table, page, section in TABLES:
        if table not in files or page not in files:
            continue
        read = read_keys(files[table], section)
        documented = documented_keys(files[page])
        others = [s for t, p, s in TABLES if p == page and t != table and s]
        for name, (words, line) in read.items():
            if name not in documented:
                yield table, line, '[%s] %s is not in %s' % (*name, page)
            elif words and documented[name][0] not in (None, words - REFUSED.get(name, set())):
                yield page, documented[name][1], '[%s] %s takes: %s' % (*name, ' '.join(sorted(words)))
        for name, (_, line) in documented.items():
            if name not in read and name[0] not in others and (not section or name[0] == section):
                yield page, line, '[%s] %s is not in %s' % (*name, table)


def planted(row, page):
    return {'snapd/site_keys.c': 'static const char *const modes[] = { "a", "b", NULL };\n'
                                 '        { "site", "home", &k, M(home), .help = "x" },\n' + row,
            'data/sitesnap-site.conf.5': '.Ss [site]\\&\n.It Ic home No = Ar path\n' + page}


MODE = '        { "site", "mode", &k, .words = modes,\n          .help = "x" },\n'
PLANTED = [
    (check_keys, planted(MODE, '')),
    (check_keys, planted('', '.It Ic mode No = Cm a | b\n')),
    (check_keys, planted(MODE, '.It Ic mode No = Cm a | c\n')),
    (check_keys, planted(MODE, '.Ss [keep]\\&\n.It Ic mode No = Cm a | b\n')),
]
HARMLESS = [
    (check_keys, planted(MODE, '.It Ic mode No = Cm a | b\n.Sh FILES\n.It Ic other No = Ar x\n')),
    (check_keys, planted('', '.Ss [probe NAME]\\&\n.It Ic kind No = Cm a\n')),
]
