<?php
// SPDX-License-Identifier: LGPL-2.1-or-later
// A page put together from several files and a row of its database, each of which says which
// version it is.  A torn answer shows two.  The pause lets a switch fall into the middle of it.
require __DIR__ . '/config.php';
header('Content-Type: text/plain');
echo 'code=' . require __DIR__ . '/parts/one.php';
usleep(2000);
echo ' code=' . require __DIR__ . '/parts/two.php';
$db = new SQLite3($database_dir . '/app.sqlite', SQLITE3_OPEN_READONLY);
$db->busyTimeout(5000);
echo ' code=' . $db->querySingle('SELECT version FROM app');
usleep(2000);
echo ' code=' . require __DIR__ . '/parts/three.php';
echo ' notes=' . $db->querySingle('SELECT count(*) FROM notes') . " end\n";
