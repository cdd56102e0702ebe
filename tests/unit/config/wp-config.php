<?php
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The base configuration, as WordPress's installer writes it.
 *
 * define( 'DB_NAME', 'in_a_comment' );
 */

// ** Database settings ** //
/** The name of the database */
define( 'DB_NAME', 'shop' );

/** Database username */
define( 'DB_USER', 'shop_user' );
define( 'DB_PASSWORD', 'it\'s \\ se"cret $x' );
define( 'DB_HOST', 'localhost:/run/mysqld/mysqld.sock' );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
# define( 'DB_NAME', 'other' );

define( 'AUTH_KEY',         '|+x#V;}/*[]?>DB_NAME' );
define( "SECURE_AUTH_KEY",  "put your unique phrase here" );

$table_prefix = 'wp_';

define( 'WP_DEBUG', false );
mysqli_report( MYSQLI_REPORT_OFF ); // WordPress < 5.9 on PHP >= 8.1: mysqli throws by default
define( 'DISABLE_WP_CRON', false );
define( 'DB_DIR', __DIR__ . '/wp-content/database/' ); define( 'DB_FILE', '.ht.sqlite' );

/* That's all, stop editing! */
if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}

require_once ABSPATH . 'wp-settings.php';
