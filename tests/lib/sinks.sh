# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Who is told: a mail server over TLS with a login, receivers of signed webhooks, and what they got.
# Needs world.sh, web.sh, and $lib.
#
#   certificate                  the mail server's, $WORLD/sink.crt and .pem
#   listens PORT                 somebody does, within 10 s
#   secret NAME TEXT             $WORLD/conf/NAME.secret
#   target NAME [LINE...]        a file in notices.d
#   mail_start PORT DIR USER PASSWORD
#   mail_target NAME PORT USER SECRET [LINE...]   who gets mail from there; lines for [notice]
#   person_there MAIL HOOK       a person with a mailbox, which is that directory, and a program, told
#                                when a guard acts
#   mail_with DIR SUBJECT        the file of the mail with this in its subject, within 10 s
#   says FILE TEXT...            the mail's text, decoded, has each of these

certificate() {
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sink \
                -addext subjectAltName=IP:127.0.0.1 -keyout "$WORLD/sink.key" \
                -out "$WORLD/sink.crt" && cat "$WORLD/sink.key" "$WORLD/sink.crt" >"$WORLD/sink.pem"
}

listens() {
        for _ in $(seq 100); do
                (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
                sleep 0.1
        done
        echo "nobody listens on $1"
        return 1
}

secret() {
        printf '%s\n' "$2" >"$WORLD/conf/$1.secret"
        chmod 600 "$WORLD/conf/$1.secret"
}

target() {
        local name=$1

        shift
        printf '%s\n' "$@" >"$WORLD/conf/notices.d/$name.conf"
}

mail_start() {
        # shellcheck disable=SC2154
        python3 "$lib/smtp_sink.py" "$1" "$2" "$WORLD/sink.pem" "$3" "$4" 2>>"$WORLD/log/mail.log" &
        listens "$1"
}

mail_target() {
        local name=$1 port=$2 user=$3 secret=$4

        shift 4
        target "$name" '[notice]' 'kind = mail' "$@" '[mail]' "server = smtp://127.0.0.1:$port" \
                'from = sitesnap@example.org' 'to = a@example.org b@example.org' "user = $user" \
                "secret_file = $WORLD/conf/$secret.secret" "ca_file = $WORLD/sink.crt"
}

person_there() {
        local mail_port hook_port phases='phases = rolled-back alert freeze held'

        mkdir -p "$1" "$2" "$WORLD/conf/notices.d"
        mail_port=$(port_free)
        hook_port=$(port_free)
        while [ "$hook_port" = "$mail_port" ]; do hook_port=$(port_free); done
        secret mail sesame
        secret hook hook-secret
        # shellcheck disable=SC2154
        python3 "$lib/webhook_sink.py" "$hook_port" "$2" hook-secret 2>>"$WORLD/log/hook.log" &
        certificate && mail_start "$mail_port" "$1" me sesame && listens "$hook_port" || return 1
        mail_target person "$mail_port" me mail "$phases"
        target program '[notice]' 'kind = webhook' "$phases" '[webhook]' \
                "url = http://127.0.0.1:$hook_port/x" "secret_file = $WORLD/conf/hook.secret"
        exits 0 'no mistakes' ctl notice check
}

mail_with() {
        local file

        for _ in $(seq 100); do
                file=$(grep -lF "Subject: [sitesnap] $2" "$1"/*.eml 2>/dev/null | head -n 1)
                [ -z "$file" ] || { echo "$file"; return 0; }
                sleep 0.1
        done
        echo "no mail '$2'" >&2
        grep -h '^Subject' "$1"/*.eml >&2
        return 1
}

says() {
        python3 - "$@" <<'PYTHON'
import email
import email.policy
import sys

with open(sys.argv[1], 'rb') as f:
    mail = email.message_from_binary_file(f, policy=email.policy.default)
text = mail.get_body(('plain',)).get_content()
missing = [part for part in sys.argv[2:] if part not in text]
if missing:
    print(mail, text, 'lacks', missing, sep='\n')
sys.exit(bool(missing))
PYTHON
}
