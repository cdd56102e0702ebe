/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "dbdump/mariadb_words.h"

#define WORD_MAX_BYTES 40

/* In small letters, each between two blanks: what MariaDB 10.6 to 11.8 and MySQL 8 write.  Not in
 * it is what waits, locks, reads files, sets a sequence, asks other servers, or is a query. */
static const char words[] =
        /* columns */
        " int tinyint smallint mediumint bigint integer int1 int2 int3 int4 int8 bool boolean "
        "bit decimal dec numeric fixed float double real precision char character varchar "
        "varying national nchar nvarchar binary varbinary blob tinyblob mediumblob longblob "
        "text tinytext mediumtext longtext long enum set date time datetime timestamp year "
        "uuid inet4 inet6 json vector geometry point linestring polygon multipoint "
        "multilinestring multipolygon geometrycollection geomcollection unsigned signed "
        "zerofill not null default auto_increment comment charset collate generated always as "
        "virtual stored persistent check constraint invisible visible ref_system_id srid on "
        "update without with system versioning period for start end row "
        /* keys */
        "unique primary key index foreign references delete cascade restrict no action match "
        "full partial simple fulltext spatial using btree hash rtree key_block_size ignored "
        "overlaps asc desc clustering distance m euclidean cosine "
        /* options */
        "engine min_rows max_rows avg_row_length pack_keys stats_persistent stats_auto_recalc "
        "stats_sample_pages checksum page_checksum table_checksum delay_key_write row_format "
        "dynamic compact redundant compressed page transactional insert_method first last "
        /* parts */
        "partition partitions subpartition subpartitions by range list linear columns "
        "algorithm values less than in maxvalue system_time interval starts auto history "
        "current limit "
        /* expressions */
        "and or xor is true false unknown between like escape rlike regexp sounds div mod "
        "case when then else using leading trailing both from x b n level value microsecond "
        "second minute hour day week month quarter second_microsecond minute_microsecond "
        "minute_second hour_microsecond hour_second hour_minute day_microsecond day_second "
        "day_minute day_hour year_month "
        /* functions */
        "abs acos add_months adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 "
        "bin bin_to_uuid bit_count bit_length cast ceil ceiling char_length character_length "
        "chr coalesce coercibility collation column_add column_check column_create "
        "column_delete column_exists column_get column_json column_list compress concat "
        "concat_operator_oracle concat_ws connection_id conv convert convert_tz cos cot crc32 "
        "crc32c curdate current_date current_role current_time current_timestamp current_user "
        "curtime database date_add date_format date_sub datediff dayname dayofmonth dayofweek "
        "dayofyear decode_oracle degrees elt exp export_set extract extractvalue field "
        "find_in_set floor format format_pico_time from_base64 from_days from_unixtime "
        "get_format greatest hex if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert "
        "instr is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid isnull last_day lastval "
        "lcase least left length lengthb ln localtime localtimestamp locate log log10 log2 "
        "lower lpad lpad_oracle ltrim ltrim_oracle make_set makedate maketime md5 mid "
        "monthname name_const natural_sort_key nextval now nullif nvl nvl2 oct octet_length "
        "ord password period_add period_diff pi position pow power quote radians rand "
        "random_bytes regexp_instr regexp_like regexp_replace regexp_substr repeat replace "
        "replace_oracle reverse right round rpad rpad_oracle rtrim rtrim_oracle schema "
        "sec_to_time session_user sformat sha sha1 sha2 sign sin soundex space sqrt "
        "str_to_date strcmp subdate substr substr_oracle substring substring_index subtime "
        "sys_guid sysdate system_user tan time_format time_to_sec timediff timestampadd "
        "timestampdiff to_base64 to_char to_days to_seconds trim trim_oracle truncate ucase "
        "uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date "
        "utc_time utc_timestamp uuid uuid_short uuid_to_bin uuid_v4 uuid_v7 version weekday "
        "weekofyear weight_string yearweek ";
/* Families of functions that are too many to be listed. */
static const char *const beginnings[] = { "json_", "st_", "mbr" };

static const char *const engines[] = {
        "InnoDB", "MyISAM", "Aria", "MEMORY", "ARCHIVE", "CSV", "HEAP", "ROCKSDB",
};

bool mariadb_words_has(const struct mariadb_lex *lex)
{
        char word[WORD_MAX_BYTES + 3] = " ";

        if (lex->kind != MARIADB_LEX_WORD || lex->n > WORD_MAX_BYTES)
                return false;
        if (mariadb_lex_is(lex, MARIADB_LEX_COMPRESSED))
                return true;
        for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
                if (lex->n > strlen(beginnings[i]) &&
                    strncasecmp(lex->text, beginnings[i], strlen(beginnings[i])) == 0)
                        return true;
        for (size_t i = 0; i < lex->n; i++)
                word[i + 1] = (char)tolower((unsigned char)lex->text[i]);
        word[lex->n + 1] = ' ';
        return strstr(words, word) != NULL;
}

bool mariadb_words_engine(const struct mariadb_lex *lex)
{
        for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
                if (mariadb_lex_is(lex, engines[i]))
                        return true;
        return false;
}
