#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""smtp_sink.py PORT DIR CERTIFICATE USER PASSWORD: a mail server that keeps what it gets.

Speaks RFC 5321 on the loopback, with STARTTLS and AUTH PLAIN or LOGIN, and insists on both.  Each
mail becomes DIR/N.eml; how it came stands in DIR/N.how: a line each for the sender, the recipients
and the login.  DIR/refused has a line for each try without TLS or with a wrong password.
"""
import base64
import os
import socketserver
import ssl
import sys
import threading

PORT, DIR, CERTIFICATE, USER, PASSWORD = int(sys.argv[1]), *sys.argv[2:6]
LOCK = threading.Lock()
COUNT = [0]


def keep(how, mail):
    with LOCK:
        COUNT[0] += 1
        name = os.path.join(DIR, str(COUNT[0]))
        with open(name + '.how', 'w', encoding='utf-8') as f:
            f.write('\n'.join(how) + '\n')
        with open(name + '.part', 'wb') as f:
            f.write(mail)
        os.rename(name + '.part', name + '.eml')


def refuse(why):
    with LOCK, open(os.path.join(DIR, 'refused'), 'a', encoding='utf-8') as f:
        f.write(why + '\n')


class Session(socketserver.BaseRequestHandler):
    def say(self, line):
        self.stream.write(line.encode() + b'\r\n')
        self.stream.flush()

    def line(self):
        line = self.stream.readline(2000)
        if not line:
            raise EOFError
        return line.rstrip(b'\r\n').decode('ascii', 'replace')

    def setup(self):
        self.tls, self.login, self.how = False, None, []
        self.stream = self.request.makefile('rwb')

    def ehlo(self, _):
        self.say('250-sink')
        self.say('250 AUTH PLAIN LOGIN' if self.tls else '250 STARTTLS')

    def starttls(self, _):
        self.say('220 go on')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.request = context.wrap_socket(self.request, server_side=True)
        self.stream = self.request.makefile('rwb')
        self.tls = True

    def auth(self, rest):
        words = rest.split()
        if words[0].upper() == 'PLAIN':
            if len(words) == 1:
                self.say('334 ')
                words.append(self.line())
            _, user, password = base64.b64decode(words[1]).decode().split('\0')
        else:
            self.say('334 VXNlcm5hbWU6')
            user = base64.b64decode(self.line()).decode()
            self.say('334 UGFzc3dvcmQ6')
            password = base64.b64decode(self.line()).decode()
        if not self.tls or (user, password) != (USER, PASSWORD):
            refuse('login of %s, %s TLS' % (user, 'with' if self.tls else 'without'))
            self.say('535 no')
            return
        self.login = user
        self.say('235 welcome')

    def mail(self, rest):
        if self.login is None:
            refuse('mail without a login')
            self.say('530 log in first')
            return
        self.how = ['login ' + self.login, rest]
        self.say('250 yes')

    def rcpt(self, rest):
        self.how.append(rest)
        self.say('250 yes')

    def data(self, _):
        self.say('354 go on')
        lines = []
        while True:
            line = self.stream.readline(10000)
            if not line:
                raise EOFError
            if line == b'.\r\n':
                break
            lines.append(line[1:] if line.startswith(b'.') else line)
        keep(self.how, b''.join(lines))
        self.say('250 kept')

    def handle(self):
        verbs = {'EHLO': self.ehlo, 'STARTTLS': self.starttls, 'AUTH': self.auth,
                 'MAIL': self.mail, 'RCPT': self.rcpt, 'DATA': self.data}
        try:
            self.say('220 sink')
            while True:
                verb, _, rest = self.line().partition(' ')
                if verb.upper() == 'QUIT':
                    self.say('221 bye')
                    return
                verbs.get(verb.upper(), lambda _: self.say('502 what?'))(rest)
        except (EOFError, OSError, ssl.SSLError):
            return  # the other side went, or did not like the certificate


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == '__main__':
    with Server(('127.0.0.1', PORT), Session) as server:
        server.serve_forever()
