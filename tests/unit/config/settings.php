<?php
/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * @file
 * Configuration as Drupal keeps it.
 */
$databases = array();
$databases['default']['default'] = array(
  'database' => 'drupal',
  'username' => 'drupal',
  'password' => "pass'word",
  'prefix' => '',
  'port' => 3306,
  'collation' => 'utf8mb4_general_ci',
);
$databases['legacy'] = ['default' => ['database' => 'old', 'prefix' => ['default' => 'x_',],],];
$settings['hash_salt'] = 'abc';

unset($CFG);
global $CFG;
$CFG = new stdClass();
$CFG->dbtype    = 'mariadb';
$CFG->dbname    = 'moodle';
$CFG->dboptions = array (
  'dbpersist' => 0,
  'dbsocket' => '/run/mysqld/mysqld.sock',
);
class JConfig {
	public $db = 'joomla';
	public $dbprefix = 'jos_';
}
return ['db' => ['host' => 'localhost', 'name' => 'laravel']];
