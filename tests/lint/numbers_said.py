# SPDX-License-Identifier: LGPL-2.1-or-later
"""The values of configuration files: what the manual says of a key's default, and of the least and
the most that it takes, is what the table of keys has."""
import re
from fractions import Fraction

from keys import ROW, TABLES
from tree import line_of

# Defaults that no table has: what the manual says, and what says it where.
ELSEWHERE = {
    ('site', 'pool'): ('.sitesnap/NAME', 'snapd/env.c', r'"%s/\.sitesnap/%s"'),
    ('database', 'run_as'): ('sitesnap-db', 'snapd/env_database.c', r'RUN_AS\s+"sitesnap-db"'),
    ('database', 'way'): ('auto', 'dbdump/dbdriver.h', r'enum db_way \{\s*DB_WAY_AUTO,'),
}

UNITS = {
    'duration': {'ms': 1, 's': 1000, 'm': 60000, 'h': 3600000, 'd': 86400000, 'w': 604800000},
    'size': {'B': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40, 'P': 2**50},
    'share': {'%': 10000},
    'factor': {'': 1000},
    'count': {'': 1},
}

NUMBER = r'(\d(?:[\w,.]*[\w%])?)'
RANGE = re.compile(r'\b%s to %s' % (NUMBER, NUMBER))
MOST = re.compile(r'\b(?:up to|at most) %s' % NUMBER)
DEFAULT = re.compile(r'(\S+?),? (?:by default|(?:\()?the default\b)|\bdefault is (\S+?)\.?(?=\s|$)')


def product(text):
    """What a constant of C is worth: factors and a shift."""
    text = re.sub(r'UINT64_C\((\d+)\)', r'\1', text)
    value = 1
    shifted = text.split('<<')
    for factor in shifted[0].split('*'):
        value *= int(factor)
    return value << int(shifted[1]) if len(shifted) > 1 else value


def read_rows(text, section):
    """(section, key) -> kind of number or None, unit, least, most, default, line."""
    rows = {}
    for row in ROW.finditer(text):
        def member(name, row=row):
            found = re.search(r'\.%s = ([^,]*?),\s' % name, row.group(3))
            return found.group(1) if found else None
        name = (section, row.group(1)) if section else (row.group(1), row.group(2))
        kind = re.search(r'&\w+?_(duration|size|share|factor|count)\b', row.group(3))
        preset = member('preset')
        if 'read_duration' in row.group(3):     # notices: whole seconds
            kind, unit, most = 'duration', 1000, member('max_sec')
        else:
            kind, unit, most = kind and kind.group(1), product(member('unit') or '1'), member('max')
        rows[name] = (kind, unit, product(member('min') or '0'), product(most or '0'),
                      preset.strip('"') if preset else None, line_of(text, row.start()))
    return rows


def plain(lines):
    """mdoc as text."""
    words = []
    for line in lines:
        if line.startswith('.'):
            line = ' '.join(w for w in line[1:].split(' ')[1:]
                            if w not in ('Ic', 'Cm', 'Ar', 'Pa', 'Ql', 'No'))
        words += line.split()
    return re.sub(r' (Ns )?([,.;:)])(?=\s|$)', r'\2', ' '.join(words))


def explained(text):
    """(section, key) -> what the manual says of it, line."""
    keys, section, now = {}, None, []
    for number, line in enumerate(text.split('\n'), 1):
        if line.startswith(('.Ss [', '.Sh ')):
            found = re.match(r'\.Ss \[([^]]+)\]', line)
            section, now = found.group(1) if found else None, []
        elif section and line.startswith('.It Ic '):
            now = [(section, key) for key in re.findall(r'\bIc (\w+)', line)]
            keys.update({key: ([], number) for key in now})
        else:
            for key in now:
                keys[key][0].append(line)
    return {key: (plain(lines), number) for key, (lines, number) in keys.items()}


def amount(text, kind):
    """A value of the manual in the smallest unit of its kind; None when it is no such value."""
    total, rest = Fraction(0), text.replace(',', '')
    while rest:
        found = re.match(r'(\d+(?:\.\d+)?)(%|[a-zA-Z]*)', rest)
        unit = UNITS[kind].get(found.group(2)) if found else None
        if unit is None:
            return 0 if rest == '0' and not total else None
        total += Fraction(found.group(1)) * unit
        rest = rest[found.end():]
    return total


def wrong_bounds(said, kind, unit, least, most):
    """Why a text does not say these bounds, or None."""
    ranges = [tuple(amount(t, kind) for t in r) for r in RANGE.findall(said)]
    ranges += [(0, amount(t, kind)) for t in MOST.findall(said)]
    if not ranges:
        return 'does not say which values it takes'
    if ranges != [(least * unit, most * unit)]:
        return 'takes other values than it says'
    return None


def wrong_default(said, name, preset, files):
    """The same for a default."""
    found = [a or b for a, b in DEFAULT.findall(said)]
    if name in ELSEWHERE and preset is None:
        preset, file, code = ELSEWHERE[name]
        if not re.search(code, files.get(file, '')):
            return 'has no such default in %s any more' % file
    if found != ([preset] if preset is not None else []):
        return 'has another default than it says: %s' % preset
    return None


def check_numbers(files):
    """defaults and bounds in the manual are those of the tables"""
    for table, page, section in TABLES:
        if table not in files or page not in files:
            continue
        said = explained(files[page])
        for name, (kind, unit, least, most, preset, _) in read_rows(files[table], section).items():
            if name not in said:
                continue    # check_keys says so
            text, line = said[name]
            for wrong in (wrong_bounds(text, kind, unit, least, most) if kind and most else None,
                          wrong_default(text, name, preset, files)):
                if wrong:
                    yield page, line, '[%s] %s %s' % (*name, wrong)


def planted(members, text):
    return {'snapd/site_keys.c': '        { "site", "wait", &site_kind_duration, .unit = 1000, %s\n'
                                 '          .help = "x" },\n' % members,
            'data/sitesnap-site.conf.5': '.Ss [site]\\&\n.It Ic wait No = Ar duration\n' + text}


def planted_notice(members, text):
    return {'snapd/target_keys.c': '        { "mail", "wait", read_duration, MEMBER(wait), %s\n'
                                   '          .help = "x" },\n' % members,
            'data/sitesnap-notices.5': '.Ss [mail]\\&\n.It Ic wait\n' + text}


BOUNDED = '.min = 1, .max = 7 * 86400, .preset = "30m",'
PLANTED = [
    (check_numbers, planted(BOUNDED, 'How long, 1s to 1w.\n')),
    (check_numbers, planted(BOUNDED, 'How long, 1s to 1w; 20m by default.\n')),
    (check_numbers, planted(BOUNDED, 'How long; 30m by default.\n')),
    (check_numbers, planted(BOUNDED, 'How long, 1m to 1w; 30m by default.\n')),
    (check_numbers, planted(BOUNDED, 'How long, up to 1w; 30m by default.\n')),
    (check_numbers, planted('', 'How long.\n.Cm no\nby default.\n')),
    (check_numbers, planted_notice('.max_sec = 60,', 'How long, up to 2m.\n')),
    (check_numbers, planted_notice('.max_sec = 60, .preset = "30s",', 'How long, up to 1m; 20s by default.\n')),
    (check_numbers, planted_notice('.max_sec = 60, .preset = "30s",', 'How long, up to 1m.\n')),
]
HARMLESS = [
    (check_numbers, planted_notice('.max_sec = 60, .preset = "30s",', 'How long, up to 1m;\n30s by default.\n')),
    (check_numbers, planted(BOUNDED, 'How long, 1s to 7d;\n.Cm 30m\nby default.\n')),
    (check_numbers, planted('.min = 0, .max = 90, .preset = "0",',
                            'How long, at most 1m30s; 0, the default, for no limit.\n')),
    (check_numbers, planted('', 'How long.\n')),
]
