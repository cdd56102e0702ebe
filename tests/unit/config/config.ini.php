; <?php exit; ?> DO NOT REMOVE THIS LINE
; SPDX-License-Identifier: LGPL-2.1-or-later
toplevel = 1
[database]
host = "127.0.0.1"
username = "matomo"
dbname = matomo ; the main one
tables_prefix = "matomo_"
; dbname = commented
[database_reader]
dbname = "reader"
path=/srv/a=b:c
empty =
[General]
  indented = yes
salt = 'a;b'
trusted_hosts[] = "a.example"
trusted_hosts[] = "b.example"
