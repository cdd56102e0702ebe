# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the code does not do, how large it is, and what is said above it."""
import re

from tree import c_files, code_only, functions, line_of

FILE_LINES = 600
FUNCTION_LINES = 80
COLUMNS = 100

FORBIDDEN = [
    (r'\bgoto\b', 'cleanup attributes release things'),
    (r'\b(system|popen|wordexp)\s*\(', 'no shell: spawn with an argument vector'),
    (r'\balloca\s*\(', 'lengths from outside must not move the stack'),
    (r'\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strncpy|strncat)\s*\(',
     'use a function that knows the size of its target and says when it did not fit'),
    (r'\b(atoi|atol|atoll|atof|strtok)\s*\(', 'errors would go unseen'),
    (r'\b(pthread_\w+|thrd_create)\s*\(', 'no threads'),
    (r'\btypedef\s+(struct|union)\b', 'structs keep their name'),
    (r'\b(mktemp|tmpnam|tempnam)\s*\(', 'names must be taken as they are made'),
    (r'\bassert\s*\(\s*0\s*\)', 'use err_fail'),
]

# Calls that follow a path somebody else may turn under our feet.  In a tenant's tree everything
# goes by descriptor, through common/safepath.h.  A path written out in the code ("/", "/dev/null")
# is nobody's to turn.
PATH_CALL = re.compile(r'(?<![\w.>])(chown|lchown|chmod|open|creat|fopen|truncate|rename|unlink|'
                       r'rmdir|symlink|link|mkdir|mknod|opendir|setxattr|utimes)\s*\((?!")')
PATH_CALL_ALLOWED = {   # file, call: why it may
    ('fsdrivers/tree.c', 'open'): 'the link of an O_PATH descriptor below /proc/self/fd',
    ('fsdrivers/treexattr.c', 'setxattr'): 'the same; fsetxattr refuses O_PATH descriptors',
}

# Library code returns errors; the program that called it says them.
LIBRARIES = ('common/', 'fsdrivers/', 'dbdump/')


def code_of(files, tests=True):
    for path, text in c_files(files).items():
        if tests or not path.startswith('tests/'):
            yield path, code_only(text)


def check_forbidden(files):
    """no forbidden call"""
    for path, code in code_of(files):
        for pattern, why in FORBIDDEN:
            for match in re.finditer(pattern, code):
                yield path, line_of(code, match.start()), \
                    '%s: %s' % (match.group(0).strip(' ('), why)


def check_paths(files):
    """paths are opened beneath a descriptor"""
    for path, code in code_of(files, tests=False):
        for match in PATH_CALL.finditer(code):
            if (path, match.group(1)) in PATH_CALL_ALLOWED:
                continue
            yield path, line_of(code, match.start()), \
                '%s() takes a path: use the ...at form on a descriptor' % match.group(1)


def check_logging(files):
    """library code does not log"""
    for path, code in code_of(files, tests=False):
        if path.startswith(LIBRARIES) and not path.startswith('common/log.'):
            for match in re.finditer(r'\b(log_\w+|printf|syslog|perror|warnx?|errx?)\s*\(', code):
                yield path, line_of(code, match.start()), '%s() in a library' % match.group(1)


def check_sizes(files):
    """files and functions keep to their size"""
    for path, text in c_files(files).items():
        lines = text.count('\n')
        if lines > FILE_LINES:
            yield path, lines, 'the file has %d lines, more than %d' % (lines, FILE_LINES)
        for first, last, name in functions(code_only(text)):
            if last - first + 1 > FUNCTION_LINES:
                yield path, first, '%s() has %d lines, more than %d' % (
                    name, last - first + 1, FUNCTION_LINES)


def check_layout(files):
    """lines are short, without tabs or trailing blanks"""
    for path, text in c_files(files).items():
        for n, line in enumerate(text.split('\n'), 1):
            if len(line) > COLUMNS:
                yield path, n, '%d columns, more than %d' % (len(line), COLUMNS)
            if '\t' in line or line != line.rstrip():
                yield path, n, 'a tab or a trailing blank'


def check_comment_form(files):
    """comments are /* */"""
    for path, text in c_files(files).items():
        # Only code stays of a line whose comments and literals are blanked; what is missing from
        # it and began with // was such a comment.
        for match in re.finditer(r'//', text):
            before = code_only(text[:match.start()] + '\1' + text[match.start():])
            if '\1' in before:
                yield path, line_of(text, match.start()), 'a // comment'


def check_forward(files):
    """statics are not declared ahead of their definition"""
    for path, code in code_of(files):
        if path.endswith('.c'):
            for match in re.finditer(r'^static [^=;{}]*?\b\w+\([^;{}]*\)[^;{}=]*;', code, re.M):
                yield path, line_of(code, match.start()), 'order the file so that this is not needed'


PROTOTYPE = re.compile(r'^(?!static\b|typedef\b|#)[a-z][^;{}()=#]*?\b(\w+)\([^;{}]*;', re.M)


def check_header_comments(files):
    """what a header exports is explained there"""
    for path, text in c_files(files).items():
        if not path.endswith('.h') or path.startswith('tests/'):
            continue
        lines, code = text.split('\n'), code_only(text)
        for match in PROTOTYPE.finditer(code):
            n = line_of(code, match.start()) - 2
            # Prototypes that stand together share the comment above the first.
            while n >= 0 and lines[n].strip() and not lines[n].rstrip().endswith('*/'):
                n -= 1
            if n < 0 or not lines[n].rstrip().endswith('*/'):
                yield path, line_of(code, match.start()), 'no comment above %s()' % match.group(1)


def c(body, path='snapd/x.c'):
    return {path: body}


LONG = 'static int f(void)\n{\n%s}\n'
PLANTED = [(check_forbidden, c('int f(void)\n{\n        %s;\n}\n' % call)) for call in (
    'goto out', 'system("x")', 'popen(a, b)', 'p = alloca(3)', 'strcpy(a, b)', 'strcat(a, b)',
    'sprintf(a, "x")', 'atoi(a)', 'pthread_create(a)')]
PLANTED += [(check_forbidden, c('typedef struct x {\n} x;\n'))]
PLANTED += [(check_paths, c('int f(void)\n{\n        return %s;\n}\n' % call)) for call in (
    'chown(path, 0, 0)', 'chmod(path, 0)', 'open(path, O_RDONLY)', 'fopen(path, "r")')]
PLANTED += [
    (check_logging, c('void f(void)\n{\n        log_error("x");\n}\n', 'fsdrivers/x.c')),
    (check_sizes, c('\n' * 601)),
    (check_sizes, c(LONG % ('        x();\n' * 78))),
    (check_layout, c('x' * 101 + '\n')),
    (check_layout, c('\tx();\n')),
    (check_comment_form, c('int x; // why\n')),
    (check_forward, c('static int f(int a,\n             int b);\n')),
    (check_header_comments, c('#endif\n\nint f(void);\n', 'snapd/x.h')),
    (check_header_comments, c('/* one */\nint e(void);\n\nint f(int a,\n      int b) X;\n',
                              'snapd/x.h')),
]
HARMLESS = [
    (check_forbidden, c('/* goto and system() */ char *s = "strcpy(a, b)"; x_system(1);\n')),
    (check_paths, c('int f(void)\n{\n        return driver->open(a) + openat(1, b, c) + d.open(e)'
                    ' + open("/", O_PATH);\n}\n')),
    (check_sizes, c(LONG % ('        x();\n' * 77))),
    (check_comment_form, c('char *s = "http://x"; /* see // there */\n')),
    (check_forward, c('static int a = 3;\nstatic int f(void)\n{\n        g();\n}\n'
                      'static const struct x t[] = {\n        X(a),\n};\n')),
    (check_header_comments, c('/* f: does */\nint f(void);\nint g(void);\n', 'snapd/x.h')),
]
