/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/postgres_kinds.h"

#define PATH   "WITH path AS MATERIALIZED (SELECT set_config('search_path', $4::text, true) AS p) "
#define TARGET "coalesce($2::text, n.nspname::text)"
/* clang-format off */
#define OURS(class, oid) \
        " NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" class "'::regclass AND " \
        "e.objid = " oid " AND e.deptype = 'e') "
/* clang-format on */
/* The constructors of a range type are the server's own. */
/* clang-format off */
#define MADE(function) \
        " NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid " \
        "= " function " AND e.deptype IN ('e', 'i')) "
#define WANTED(name) \
        " path.p IS NOT NULL AND n.oid = ANY ($1::oid[]) AND ($3::text IS NULL OR starts_with(" \
        name "::text, $3::text)) "
#define COMMENT(what, object, class, oid) \
        " || coalesce((SELECT '; COMMENT ON " what " ' || " object " || ' IS ' || " \
        "quote_literal(d.description) FROM pg_description d WHERE d.objoid = " oid " AND " \
        "d.classoid = '" class "'::regclass AND d.objsubid = 0), '')"
/* clang-format on */
#define OWNER(role) "pg_get_userbyid(" role ")"
#define NAMED(name) "format('%I.%I', " TARGET ", " name ")"

/* "fillfactor=70" with its value quoted. */
/* clang-format off */
#define OPTIONS(list, before) \
        "(SELECT string_agg(format('" before "%s=%L', split_part(o, '=', 1), substr(o, " \
        "strpos(o, '=') + 1)), ', ') FROM unnest(" list ") o)"
#define COLLATION(collation, typecollation) \
        "CASE WHEN " collation " NOT IN (0, " typecollation ") THEN (SELECT format(' COLLATE " \
        "%I.%I', cn.nspname, co.collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = " \
        "co.collnamespace WHERE co.oid = " collation ") ELSE '' END"
#define SEQUENCE \
        "format('START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s', s.seqstart, " \
        "s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' " \
        "ELSE '' END)"

#define IDENTITY \
        "(SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %s %s)', CASE a.attidentity " \
        "WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, " NAMED("sc.relname") ", " SEQUENCE ") " \
        "FROM pg_depend d JOIN pg_class sc ON sc.oid = d.objid JOIN pg_sequence s ON s.seqrelid " \
        "= sc.oid WHERE d.classid = 'pg_class'::regclass AND d.refclassid = " \
        "'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype " \
        "= 'i')"

#define COLUMN \
        "format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), " \
        COLLATION("a.attcollation", "ty.typcollation") ", CASE WHEN a.attgenerated <> '' THEN " \
        "format(' GENERATED ALWAYS AS (%s) %s', pg_get_expr(ad.adbin, ad.adrelid), CASE " \
        "a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END) WHEN a.attidentity <> '' AND " \
        "NOT (c.relispartition AND current_setting('server_version_num')::int >= 170000) THEN " \
        IDENTITY " WHEN ad.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(ad.adbin, " \
        "ad.adrelid) ELSE '' END, CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END)"
#define COLUMNS \
        " pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid LEFT JOIN pg_attrdef ad ON " \
        "ad.adrelid = a.attrelid AND ad.adnum = a.attnum "

#define ROLE(oid) \
        "CASE WHEN " oid " = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(" oid ")) END"
#define GRANTS(what, object, acl, owner) \
        "format('REVOKE ALL ON " what " %1$s FROM PUBLIC; REVOKE ALL ON " what " %1$s FROM " \
        "%2$I'," object ", " OWNER(owner) ") || coalesce((SELECT string_agg(format('; GRANT %s " \
        "ON " what " %s TO %s%s', x.privilege_type, " object ", " ROLE("x.grantee") ", CASE " \
        "WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '') FROM aclexplode(" acl \
        ") x), '')"
/* clang-format on */

/* The statement that pg_get_*def() gives, whose beginning names the schema, for another one. */
/* clang-format off */
#define INSTEAD(definition, old, new) \
        "CASE WHEN starts_with(" definition ", " old ") THEN " new " || substr(" definition ", " \
        "length(" old ") + 1) END"
/* clang-format on */

#define TABLES " path CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
/* clang-format off */
#define OF_TABLES \
        "AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND " OURS("pg_class", "c.oid")

#define INDEX \
        INSTEAD( \
                "pg_get_indexdef(i.indexrelid)", \
                "format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE " \
                "' ELSE '' END, ic.relname, CASE ic.relkind WHEN 'I' THEN 'ONLY ' ELSE '' " \
                "END, n.nspname, c.relname)", \
                "format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' " \
                "ELSE '' END, ic.relname, " TARGET ", c.relname)") \
        COMMENT("INDEX", NAMED("ic.relname"), "pg_class", "ic.oid") " || coalesce((SELECT " \
        "string_agg(format('; ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', " \
        NAMED("ic.relname") ", xa.attnum, xa.attstattarget), '') FROM pg_attribute xa WHERE " \
        "xa.attrelid = ic.oid AND xa.attstattarget >= 0), '')"
#define INDEXES(kinds) \
        PATH "SELECT ic.relname, " OWNER("c.relowner") ", c.oid, " INDEX " FROM" TABLES "JOIN " \
        "pg_index i ON i.indrelid = c.oid JOIN pg_class ic ON ic.oid = i.indexrelid WHERE" \
        WANTED("c.relname") "AND c.relkind IN (" kinds ") AND (i.indisvalid OR c.relkind = 'p') " \
        "AND" OURS("pg_class", "c.oid") "AND NOT EXISTS (SELECT FROM pg_constraint k WHERE " \
        "k.conindid = ic.oid AND k.contype IN ('p', 'u', 'x'))ORDER BY cardinality(ARRAY(SELECT " \
        "pg_partition_ancestors(c.oid))) DESC, ic.oid"

#define CONSTRAINTS(which) \
        PATH "SELECT format('%s of %s', k.conname, c.relname), " OWNER("c.relowner") ", c.oid, " \
        "format('ALTER TABLE %s ADD CONSTRAINT %I %s', " NAMED("c.relname") ", k.conname, " \
        "pg_get_constraintdef(k.oid))" \
        COMMENT( \
                "CONSTRAINT", \
                "format('%I ON %s', k.conname, " NAMED("c.relname") ")", \
                "pg_constraint", \
                "k.oid") " FROM" TABLES "JOIN pg_constraint k ON k.conrelid = c.oid WHERE" \
        WANTED("c.relname") "AND " which " AND" OURS("pg_class", "c.oid") "ORDER BY " \
        "cardinality(ARRAY(SELECT pg_partition_ancestors(c.oid))) DESC, k.coninhcount DESC, " \
        "k.oid"

const struct postgres_kind postgres_kinds[] = {
        { "enum", POSTGRES_BEFORE,
          PATH "SELECT t.typname, " OWNER("t.typowner") ", 0, format('CREATE TYPE %s AS ENUM "
          "(%s)', " NAMED("t.typname") ", (SELECT string_agg(quote_literal(l.enumlabel), ', ' "
          "ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid))"
          COMMENT("TYPE", NAMED("t.typname"), "pg_type", "t.oid") " FROM path CROSS JOIN pg_type t "
          "JOIN pg_namespace n ON n.oid = t.typnamespace WHERE" WANTED("t.typname") "AND t.typtype "
          "= 'e' AND" OURS("pg_type", "t.oid") "ORDER BY t.oid" },
        { "composite type", POSTGRES_BEFORE,
          PATH "SELECT t.typname, " OWNER("t.typowner") ", 0, format('CREATE TYPE %s AS (%s)', "
          NAMED("t.typname") ", (SELECT string_agg(format('%I %s%s', a.attname, "
          "format_type(a.atttypid, a.atttypmod), " COLLATION("a.attcollation", "ty.typcollation")
          "), ', ' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid "
          "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))"
          COMMENT("TYPE", NAMED("t.typname"), "pg_type", "t.oid") " FROM path CROSS JOIN pg_type t "
          "JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid "
          "WHERE" WANTED("t.typname") "AND c.relkind = 'c' AND" OURS("pg_type", "t.oid") "ORDER BY "
          "t.oid" },
        { "range type", POSTGRES_BEFORE,
          PATH "SELECT t.typname, " OWNER("t.typowner") ", 0, format('CREATE TYPE %s AS RANGE "
          "(SUBTYPE = %s%s%s%s)', " NAMED("t.typname") ", format_type(r.rngsubtype, NULL), (SELECT "
          "format(', SUBTYPE_OPCLASS = %I.%I', on_.nspname, o.opcname) FROM pg_opclass o JOIN "
          "pg_namespace on_ ON on_.oid = o.opcnamespace WHERE o.oid = r.rngsubopc), (SELECT "
          "format(', COLLATION = %I.%I', cn.nspname, co.collname) FROM pg_collation co JOIN "
          "pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = r.rngcollation), CASE WHEN "
          "r.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || r.rngsubdiff::text ELSE '' END)"
          COMMENT("TYPE", NAMED("t.typname"), "pg_type", "t.oid") " FROM path CROSS JOIN pg_type t "
          "JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_range r ON r.rngtypid = t.oid "
          "WHERE" WANTED("t.typname") "AND" OURS("pg_type", "t.oid") "ORDER BY t.oid" },
        { "domain", POSTGRES_BEFORE,
          PATH "SELECT t.typname, " OWNER("t.typowner") ", 0, format('CREATE DOMAIN %s AS "
          "%s%s%s%s'," NAMED("t.typname") ", format_type(t.typbasetype, t.typtypmod), "
          COLLATION("t.typcollation", "b.typcollation") ", CASE WHEN t.typdefault IS NOT NULL THEN "
          "' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)) "
          "ELSE '' END, CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END)"
          COMMENT("DOMAIN", NAMED("t.typname"), "pg_type", "t.oid") " FROM path CROSS JOIN pg_type "
          "t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype "
          "WHERE" WANTED("t.typname") "AND t.typtype = 'd' AND" OURS("pg_type", "t.oid") "ORDER BY "
          "t.oid" },
        { "function", POSTGRES_BEFORE,
          PATH "SELECT format('%s(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), "
          OWNER("f.proowner") ", 0, "
          INSTEAD(
                  "pg_get_functiondef(f.oid)",
                  "format('CREATE OR REPLACE %s %I.%I', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' "
                  "ELSE 'FUNCTION' END, n.nspname, f.proname)",
                  "format('CREATE OR REPLACE %s %I.%I', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' "
                  "ELSE 'FUNCTION' END, " TARGET ", f.proname)")
          COMMENT(
                  "ROUTINE",
                  "format('%s(%s)', " NAMED("f.proname") ", "
                  "pg_get_function_identity_arguments(f.oid))",
                  "pg_proc",
                  "f.oid") " FROM path CROSS JOIN pg_proc f JOIN pg_namespace n ON n.oid = "
          "f.pronamespace WHERE" WANTED("f.proname") "AND f.prokind <> 'a' AND" MADE("f.oid")
          "ORDER BY f.oid" },
        { "aggregate", POSTGRES_BEFORE,
          PATH "SELECT format('%s(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), "
          OWNER("f.proowner") ", 0, format('CREATE AGGREGATE %s (%s) (SFUNC = %s, STYPE = %s, "
          "SSPACE = %s, PARALLEL = %s%s%s%s%s)', " NAMED("f.proname") ", CASE f.pronargs WHEN 0 "
          "THEN '*' ELSE pg_get_function_identity_arguments(f.oid) END, g.aggtransfn, "
          "format_type(g.aggtranstype, NULL), g.aggtransspace, CASE f.proparallel WHEN 's' THEN "
          "'SAFE' WHEN 'r' THEN 'RESTRICTED' ELSE 'UNSAFE' END, CASE WHEN g.aggfinalfn <> 0 THEN "
          "', FINALFUNC = ' || g.aggfinalfn::text ELSE '' END, CASE WHEN g.aggcombinefn <> 0 THEN "
          "', COMBINEFUNC = ' || g.aggcombinefn::text ELSE '' END, CASE WHEN g.aggfinalextra THEN "
          "', FINALFUNC_EXTRA' ELSE '' END, coalesce(', INITCOND = ' || "
          "quote_literal(g.agginitval), ''))"
          COMMENT(
                  "AGGREGATE",
                  "format('%s(%s)', " NAMED("f.proname") ", CASE f.pronargs WHEN 0 THEN '*' ELSE "
                  "pg_get_function_identity_arguments(f.oid) END)",
                  "pg_proc",
                  "f.oid") " FROM path CROSS JOIN pg_proc f JOIN pg_namespace n ON n.oid = "
          "f.pronamespace JOIN pg_aggregate g ON g.aggfnoid = f.oid WHERE" WANTED("f.proname")
          "AND" MADE("f.oid") "ORDER BY f.oid" },
        { "cast", POSTGRES_BEFORE,
          PATH "SELECT format('%s AS %s', format_type(x.castsource, NULL), "
          "format_type(x.casttarget, NULL)), " OWNER("CASE WHEN s.typnamespace = ANY ($1::oid[]) "
          "THEN s.typowner ELSE t.typowner END") ", 0, format('CREATE CAST (%s AS %s) %s%s', "
          "format_type(x.castsource, NULL), format_type(x.casttarget, NULL), CASE x.castmethod "
          "WHEN 'f' THEN 'WITH FUNCTION ' || x.castfunc::regprocedure::text WHEN 'i' THEN 'WITH "
          "INOUT' ELSE 'WITHOUT FUNCTION' END, CASE x.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' "
          "WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END)"
          COMMENT(
                  "CAST",
                  "format('(%s AS %s)', format_type(x.castsource, NULL), "
                  "format_type(x.casttarget, NULL))",
                  "pg_cast",
                  "x.oid") " FROM path CROSS JOIN pg_cast x JOIN pg_type s ON s.oid = x.castsource "
          "JOIN pg_type t ON t.oid = x.casttarget LEFT JOIN pg_proc f ON f.oid = x.castfunc WHERE "
          "path.p IS NOT NULL AND $3::text IS NULL AND x.oid >= 16384 AND (s.typnamespace = ANY "
          "($1::oid[]) OR t.typnamespace = ANY ($1::oid[]) OR ($2::text IS NULL AND "
          "f.pronamespace = ANY ($1::oid[]))) AND NOT EXISTS (SELECT FROM pg_depend e WHERE "
          "e.classid = 'pg_cast'::regclass AND e.objid = x.oid AND e.deptype IN ('e', 'i')) ORDER "
          "BY x.oid" },
        { "sequence", POSTGRES_BEFORE,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('CREATE %sSEQUENCE %s AS %s "
          "%s',CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, " NAMED("c.relname")
          ", format_type(s.seqtypid, NULL), " SEQUENCE ")"
          COMMENT("SEQUENCE", NAMED("c.relname"), "pg_class", "c.oid") " FROM" TABLES "JOIN "
          "pg_sequence s ON s.seqrelid = c.oid WHERE" WANTED("c.relname") "AND c.relpersistence <> "
          "'t' AND" OURS("pg_class", "c.oid") "AND NOT EXISTS (SELECT FROM pg_depend d WHERE "
          "d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i') ORDER BY "
          "c.oid" },
        { "table", POSTGRES_BEFORE,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('CREATE %sTABLE %s "
          "(%s)%s%s%s%s',CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, "
          NAMED("c.relname") ", (SELECT string_agg(" COLUMN ", ', ' ORDER BY a.attnum) FROM" COLUMNS
          "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attislocal OR "
          "c.relispartition)), CASE WHEN c.relispartition THEN '' ELSE (SELECT ' INHERITS (' || "
          "string_agg(format('%I.%I', CASE WHEN pn.oid = ANY ($1::oid[]) THEN coalesce($2::text, "
          "pn.nspname::text) ELSE pn.nspname::text END, pc.relname), ', ' ORDER BY h.inhseqno) || "
          "')' FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent JOIN pg_namespace pn ON "
          "pn.oid = pc.relnamespace WHERE h.inhrelid = c.oid) END, CASE c.relkind WHEN 'p' THEN ' "
          "PARTITION BY ' || pg_get_partkeydef(c.oid) ELSE '' END, ' WITH (' || "
          "nullif(concat_ws(', ', " OPTIONS("c.reloptions", "") ", (SELECT "
          OPTIONS("tc.reloptions", "toast.") " FROM pg_class tc WHERE tc.oid = c.reltoastrelid)), "
          "'') || ')', (SELECT format(' TABLESPACE %I', ts.spcname) FROM pg_tablespace ts WHERE "
          "ts.oid = c.reltablespace))" COMMENT("TABLE", NAMED("c.relname"), "pg_class", "c.oid")
          " FROM" TABLES "WHERE" WANTED("c.relname") OF_TABLES "ORDER BY cardinality(ARRAY(SELECT "
          "pg_partition_ancestors(c.oid))), c.oid" },
        { "partition", POSTGRES_BEFORE,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('ALTER TABLE ONLY %I.%I "
          "ATTACH PARTITION %s %s', CASE WHEN pn.oid = ANY ($1::oid[]) THEN coalesce($2::text, "
          "pn.nspname::text) ELSE pn.nspname::text END, pc.relname, " NAMED("c.relname") ", "
          "pg_get_expr(c.relpartbound, c.oid)) FROM" TABLES "JOIN pg_inherits h ON h.inhrelid = "
          "c.oid JOIN pg_class pc ON pc.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = "
          "pc.relnamespace WHERE" WANTED("c.relname") OF_TABLES "AND c.relispartition ORDER BY "
          "c.oid" },
        { "default", POSTGRES_BEFORE,
          PATH "SELECT format('%s.%s', c.relname, a.attname), " OWNER("c.relowner") ", 0, "
          "format('ALTER %s %s ALTER COLUMN %I SET DEFAULT %s', CASE c.relkind WHEN 'v' THEN "
          "'VIEW' ELSE 'TABLE ONLY' END, " NAMED("c.relname") ", a.attname, pg_get_expr(ad.adbin, "
          "ad.adrelid)) FROM" TABLES "JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_attrdef ad "
          "ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum WHERE" WANTED("c.relname") "AND "
          "(c.relkind = 'v' OR c.relkind IN ('r', 'p') AND NOT a.attislocal AND NOT "
          "c.relispartition) AND a.attgenerated = '' AND" OURS("pg_class", "c.oid") "ORDER BY "
          "c.oid, a.attnum" },
        { "column's storage", POSTGRES_BEFORE,
          PATH "SELECT format('%s.%s', c.relname, a.attname), " OWNER("c.relowner") ", 0, "
          "format('ALTER TABLE ONLY %s %s', " NAMED("c.relname") ", concat_ws(', ', CASE WHEN "
          "a.attstorage <> ty.typstorage THEN format('ALTER COLUMN %I SET STORAGE %s', a.attname, "
          "CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' "
          "ELSE 'EXTERNAL' END) END, CASE WHEN a.attstattarget >= 0 THEN format('ALTER COLUMN %I "
          "SET STATISTICS %s', a.attname, a.attstattarget) END, format('ALTER COLUMN %I SET (', "
          "a.attname) || " OPTIONS("a.attoptions", "") " || ')', CASE to_jsonb(a) ->> "
          "'attcompression' WHEN 'p' THEN format('ALTER COLUMN %I SET COMPRESSION pglz', "
          "a.attname) WHEN 'l' THEN format('ALTER COLUMN %I SET COMPRESSION lz4', a.attname) END)) "
          "FROM" TABLES "JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type ty ON ty.oid = "
          "a.atttypid WHERE" WANTED("c.relname") OF_TABLES "AND a.attnum > 0 AND NOT "
          "a.attisdropped AND (a.attstorage <> ty.typstorage OR a.attstattarget >= 0 OR "
          "a.attoptions IS NOT NULL OR to_jsonb(a) ->> 'attcompression' IN ('p', 'l')) ORDER BY "
          "c.oid, a.attnum" },
        { "sequence's column", POSTGRES_BEFORE,
          PATH "SELECT sc.relname, " OWNER("c.relowner") ", 0, format('ALTER SEQUENCE %I.%I OWNED "
          "BY %s.%I', CASE WHEN sn.oid = ANY ($1::oid[]) THEN coalesce($2::text, sn.nspname::text) "
          "ELSE sn.nspname::text END, sc.relname, " NAMED("c.relname") ", a.attname) FROM" TABLES
          "JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND "
          "d.classid = 'pg_class'::regclass AND d.deptype = 'a' JOIN pg_class sc ON sc.oid = "
          "d.objid AND sc.relkind = 'S' JOIN pg_namespace sn ON sn.oid = sc.relnamespace JOIN "
          "pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid WHERE"
          WANTED("c.relname") "AND" OURS("pg_class", "c.oid") "ORDER BY sc.oid" },
        { "key", POSTGRES_TABLE,
          CONSTRAINTS("k.contype IN ('p', 'u', 'x') AND c.relkind = 'r'") },
        { "index", POSTGRES_TABLE,
          INDEXES("'r'") },
        { "domain's check", POSTGRES_AFTER,
          PATH "SELECT format('%s of %s', k.conname, t.typname), " OWNER("t.typowner") ", 0, "
          "format('ALTER DOMAIN %s ADD CONSTRAINT %I %s', " NAMED("t.typname") ", k.conname, "
          "pg_get_constraintdef(k.oid))"
          COMMENT(
                  "CONSTRAINT",
                  "format('%I ON DOMAIN %s', k.conname, " NAMED("t.typname") ")",
                  "pg_constraint",
                  "k.oid") " FROM path CROSS JOIN pg_type t JOIN pg_namespace n ON n.oid = "
          "t.typnamespace JOIN pg_constraint k ON k.contypid = t.oid AND k.contype = 'c' WHERE"
          WANTED("t.typname") "AND" OURS("pg_type", "t.oid") "ORDER BY k.oid" },
        { "check", POSTGRES_AFTER,
          CONSTRAINTS("k.contype = 'c' AND k.conislocal AND c.relkind IN ('r', 'p')") },
        { "key", POSTGRES_AFTER,
          CONSTRAINTS("k.contype IN ('p', 'u', 'x') AND c.relkind = 'p'") },
        { "index", POSTGRES_AFTER,
          INDEXES("'p'") },
        { "foreign key", POSTGRES_AFTER,
          CONSTRAINTS("k.contype = 'f' AND k.conparentid = 0") },
        { "view", POSTGRES_AFTER,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('CREATE VIEW %s%s AS %s', "
          NAMED("c.relname") ", ' WITH (' || " OPTIONS("c.reloptions", "") " || ')', "
          "rtrim(pg_get_viewdef(c.oid), ';'))"
          COMMENT("VIEW", NAMED("c.relname"), "pg_class", "c.oid") " FROM" TABLES "WHERE"
          WANTED("c.relname") "AND c.relkind = 'v' AND c.relpersistence <> 't' AND"
          OURS("pg_class", "c.oid") "ORDER BY c.oid" },
        { "materialized view", POSTGRES_AFTER,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('CREATE MATERIALIZED VIEW "
          "%s%s AS %s WITH NO DATA%s', " NAMED("c.relname") ", ' WITH (' || "
          OPTIONS("c.reloptions", "") " || ')', rtrim(pg_get_viewdef(c.oid), ';'), CASE WHEN "
          "c.relispopulated THEN '; REFRESH MATERIALIZED VIEW ' || " NAMED("c.relname") " ELSE '' "
          "END)" COMMENT("MATERIALIZED VIEW", NAMED("c.relname"), "pg_class", "c.oid") " FROM"
          TABLES "WHERE" WANTED("c.relname") "AND c.relkind = 'm' AND" OURS("pg_class", "c.oid")
          "ORDER BY c.oid" },
        { "index", POSTGRES_AFTER,
          INDEXES("'m'") },
        { "statistics", POSTGRES_AFTER,
          PATH "SELECT x.stxname, " OWNER("x.stxowner") ", 0, "
          INSTEAD(
                  "pg_get_statisticsobjdef(x.oid)",
                  "format('CREATE STATISTICS %I.%I', n.nspname, x.stxname)",
                  "format('CREATE STATISTICS %I.%I', " TARGET ", x.stxname)")
          COMMENT("STATISTICS", NAMED("x.stxname"), "pg_statistic_ext", "x.oid") " FROM path CROSS "
          "JOIN pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace JOIN pg_class c "
          "ON c.oid = x.stxrelid WHERE" WANTED("c.relname") "ORDER BY x.oid" },
        { "rule", POSTGRES_AFTER,
          PATH "SELECT format('%s of %s', r.rulename, c.relname), " OWNER("c.relowner") ", 0, "
          "rtrim(pg_get_ruledef(r.oid, true), ';') || CASE r.ev_enabled WHEN 'O' THEN '' ELSE "
          "format('; ALTER TABLE %s %s RULE %I', " NAMED("c.relname") ", CASE r.ev_enabled WHEN "
          "'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.rulename) "
          "END"
          COMMENT(
                  "RULE",
                  "format('%I ON %s', r.rulename, " NAMED("c.relname") ")",
                  "pg_rewrite",
                  "r.oid") " FROM" TABLES "JOIN pg_rewrite r ON r.ev_class = c.oid WHERE"
          WANTED("c.relname") "AND r.rulename <> '_RETURN' AND" OURS("pg_class", "c.oid") "ORDER "
          "BY r.oid" },
        { "trigger", POSTGRES_AFTER,
          PATH "SELECT format('%s of %s', g.tgname, c.relname), " OWNER("c.relowner") ", 0, "
          "pg_get_triggerdef(g.oid, true) || CASE g.tgenabled WHEN 'O' THEN '' ELSE format('; "
          "ALTER TABLE %s %s TRIGGER %I', " NAMED("c.relname") ", CASE g.tgenabled WHEN 'D' THEN "
          "'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname) END"
          COMMENT(
                  "TRIGGER",
                  "format('%I ON %s', g.tgname, " NAMED("c.relname") ")",
                  "pg_trigger",
                  "g.oid") " FROM" TABLES "JOIN pg_trigger g ON g.tgrelid = c.oid WHERE"
          WANTED("c.relname") "AND NOT g.tgisinternal AND g.tgparentid = 0 AND"
          OURS("pg_class", "c.oid") "ORDER BY g.oid" },
        { "policy", POSTGRES_AFTER,
          PATH "SELECT format('%s of %s', p.polname, c.relname), " OWNER("c.relowner") ", 0, "
          "format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, " NAMED("c.relname")
          ", CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, CASE p.polcmd "
          "WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN "
          "'DELETE' ELSE 'ALL' END, (SELECT string_agg(" ROLE("r.r") ", ', ' ORDER BY r.r) FROM "
          "unnest(p.polroles) AS r(r)), ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' "
          "WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')"
          COMMENT(
                  "POLICY",
                  "format('%I ON %s', p.polname, " NAMED("c.relname") ")",
                  "pg_policy",
                  "p.oid") " FROM" TABLES "JOIN pg_policy p ON p.polrelid = c.oid WHERE"
          WANTED("c.relname") "AND" OURS("pg_class", "c.oid") "ORDER BY p.oid" },
        { "row security", POSTGRES_AFTER,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('ALTER TABLE %s %s', "
          NAMED("c.relname") ", concat_ws(', ', CASE WHEN c.relrowsecurity THEN 'ENABLE ROW LEVEL "
          "SECURITY' END, CASE WHEN c.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END)) "
          "FROM" TABLES "WHERE" WANTED("c.relname") OF_TABLES "AND (c.relrowsecurity OR "
          "c.relforcerowsecurity) ORDER BY c.oid" },
        { "replica identity", POSTGRES_AFTER,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('ALTER TABLE ONLY %s REPLICA "
          "IDENTITY %s', " NAMED("c.relname") ", CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' "
          "THEN 'NOTHING' ELSE (SELECT format('USING INDEX %I', ic.relname) FROM pg_index i JOIN "
          "pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) "
          "END) FROM" TABLES "WHERE" WANTED("c.relname") OF_TABLES "AND c.relreplident IN ('f', "
          "'n', 'i') ORDER BY c.oid" },
        { "cluster", POSTGRES_AFTER,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, format('ALTER TABLE ONLY %s CLUSTER "
          "ON %I', " NAMED("c.relname") ", ic.relname) FROM" TABLES "JOIN pg_index i ON i.indrelid "
          "= c.oid AND i.indisclustered JOIN pg_class ic ON ic.oid = i.indexrelid WHERE"
          WANTED("c.relname") OF_TABLES "ORDER BY c.oid" },
        { "column's comment", POSTGRES_AFTER,
          PATH "SELECT format('%s.%s', c.relname, a.attname), " OWNER("c.relowner") ", 0, "
          "format('COMMENT ON COLUMN %s.%I IS %L', " NAMED("c.relname") ", a.attname, "
          "d.description) FROM" TABLES "JOIN pg_attribute a ON a.attrelid = c.oid JOIN "
          "pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND "
          "d.objsubid = a.attnum WHERE" WANTED("c.relname") "AND a.attnum > 0 AND"
          OURS("pg_class", "c.oid") "ORDER BY c.oid, a.attnum" },
        { "grant", POSTGRES_GRANT,
          PATH "SELECT c.relname, " OWNER("c.relowner") ", 0, CASE c.relkind WHEN 'S' THEN "
          GRANTS("SEQUENCE", NAMED("c.relname"), "c.relacl", "c.relowner") " ELSE "
          GRANTS("TABLE", NAMED("c.relname"), "c.relacl", "c.relowner") " END FROM" TABLES "WHERE"
          WANTED("c.relname") "AND c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'S') "
          "AND" OURS("pg_class", "c.oid") "ORDER BY c.oid" },
        { "column's grant", POSTGRES_GRANT,
          PATH "SELECT format('%s.%s', c.relname, a.attname), " OWNER("c.relowner") ", 0, "
          "string_agg(format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type, a.attname, "
          NAMED("c.relname") ", " ROLE("x.grantee") ", CASE WHEN x.is_grantable THEN ' WITH GRANT "
          "OPTION' ELSE '' END), '; ') FROM" TABLES "JOIN pg_attribute a ON a.attrelid = c.oid "
          "CROSS JOIN LATERAL aclexplode(a.attacl) x WHERE" WANTED("c.relname") "AND"
          OURS("pg_class", "c.oid") "GROUP BY c.oid, c.relname, c.relowner, a.attnum, a.attname, "
          "n.nspname ORDER BY c.oid, a.attnum" },
        { "function's grant", POSTGRES_GRANT,
          PATH "SELECT f.proname, " OWNER("f.proowner") ", 0, "
          GRANTS(
                  "ROUTINE",
                  "format('%s(%s)', " NAMED("f.proname") ", "
                  "pg_get_function_identity_arguments(f.oid))",
                  "f.proacl",
                  "f.proowner") " FROM path CROSS JOIN pg_proc f JOIN pg_namespace n ON n.oid = "
          "f.pronamespace WHERE" WANTED("f.proname") "AND f.proacl IS NOT NULL AND" MADE("f.oid")
          "ORDER BY f.oid" },
        { "type's grant", POSTGRES_GRANT,
          PATH "SELECT t.typname, " OWNER("t.typowner") ", 0, "
          GRANTS("TYPE", NAMED("t.typname"), "t.typacl", "t.typowner") " FROM path CROSS JOIN "
          "pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE" WANTED("t.typname") "AND "
          "t.typacl IS NOT NULL AND" OURS("pg_type", "t.oid") "ORDER BY t.oid" },
        { "default privileges", POSTGRES_GRANT,
          PATH "SELECT n.nspname, " OWNER("da.defaclrole") ", 0, string_agg(format('ALTER DEFAULT "
          "PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %s%s', " OWNER("da.defaclrole")
          ", " TARGET ", x.privilege_type, CASE da.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' "
          "THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END, " ROLE("x.grantee") ", "
          "CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; ') FROM path CROSS "
          "JOIN pg_default_acl da JOIN pg_namespace n ON n.oid = da.defaclnamespace CROSS JOIN "
          "LATERAL aclexplode(da.defaclacl) x WHERE path.p IS NOT NULL AND n.oid = ANY ($1::oid[]) "
          "AND $3::text IS NULL GROUP BY da.oid, n.nspname, da.defaclrole ORDER BY da.oid" },
        { "column", POSTGRES_TELL,
          PATH "SELECT format('%s.%s.%s', nullif(" TARGET ", '_'), c.relname, a.attname), "
          OWNER("c.relowner") ", 0, " COLUMN " FROM" TABLES "JOIN pg_attribute a ON a.attrelid = "
          "c.oid JOIN pg_type ty ON ty.oid = a.atttypid LEFT JOIN pg_attrdef ad ON ad.adrelid = "
          "a.attrelid AND ad.adnum = a.attnum WHERE" WANTED("c.relname") "AND a.attnum > 0 AND NOT "
          "a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND" OURS("pg_class", "c.oid")
          "ORDER BY c.oid, a.attnum" },
        { NULL, POSTGRES_BEFORE, NULL },
};

#define THINGS(class, oid, namespace, what, more) \
        "SELECT '" what " ' || pg_describe_object('" class "'::regclass, " oid ", 0) FROM " class \
        " x WHERE x." namespace " = ANY ($1::oid[]) AND" OURS(class, oid) more

const char postgres_kinds_unsupported[] =
        THINGS("pg_operator", "x.oid", "oprnamespace", "the", "") " UNION ALL "
        THINGS("pg_opclass", "x.oid", "opcnamespace", "the", "") " UNION ALL "
        THINGS("pg_opfamily", "x.oid", "opfnamespace", "the", "") " UNION ALL "
        THINGS("pg_collation", "x.oid", "collnamespace", "the", "") " UNION ALL "
        THINGS("pg_conversion", "x.oid", "connamespace", "the", "") " UNION ALL "
        THINGS("pg_ts_config", "x.oid", "cfgnamespace", "the", "") " UNION ALL "
        THINGS("pg_ts_dict", "x.oid", "dictnamespace", "the", "") " UNION ALL "
        THINGS("pg_ts_parser", "x.oid", "prsnamespace", "the", "") " UNION ALL "
        THINGS("pg_ts_template", "x.oid", "tmplnamespace", "the", "") " UNION ALL "
        THINGS(
                "pg_type",
                "x.oid",
                "typnamespace",
                "the base",
                "AND x.typtype = 'b' AND x.typelem = 0") " UNION ALL "
        THINGS(
                "pg_type",
                "x.oid",
                "typnamespace",
                "with its canonical function, the",
                "AND EXISTS (SELECT FROM pg_range r WHERE r.rngtypid = x.oid AND r.rngcanonical "
                "<> 0)") " UNION ALL "
        THINGS("pg_class", "x.oid", "relnamespace", "the", "AND x.relkind = 'f'") " UNION ALL "
        THINGS("pg_class", "x.oid", "relnamespace", "made of a type, the", "AND x.reloftype <> 0")
        " UNION ALL "
        THINGS(
                "pg_class",
                "x.oid",
                "relnamespace",
                "stored in its own way, the",
                "AND x.relkind IN ('r', 'm') AND x.relam <> (SELECT oid FROM pg_am WHERE amname "
                "= 'heap')") " UNION ALL "
        THINGS(
                "pg_proc",
                "x.oid",
                "pronamespace",
                "not a plain aggregate: the",
                "AND EXISTS (SELECT FROM pg_aggregate g WHERE g.aggfnoid = x.oid AND (g.aggkind "
                "<> 'n' OR g.aggmtransfn <> 0 OR g.aggsortop <> 0))") " LIMIT 1";
/* clang-format on */
