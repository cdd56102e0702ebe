-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What a schema of PostgreSQL 14 and later can hold, made by its owner.
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
COMMENT ON TYPE mood IS 'how one is';
CREATE TYPE point3 AS (x float8, y float8, note text COLLATE "C");
CREATE TYPE spans AS RANGE (subtype = float8);
CREATE DOMAIN positive AS integer DEFAULT 1 CONSTRAINT more_than_none CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(20) COLLATE "C" NOT NULL;
COMMENT ON DOMAIN positive IS 'never nothing';
CREATE SEQUENCE numbers AS smallint INCREMENT BY 5 START WITH 10 MAXVALUE 1000 CYCLE CACHE 3;
COMMENT ON SEQUENCE numbers IS 'by five';
CREATE FUNCTION doubled(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
COMMENT ON FUNCTION doubled(integer) IS 'twice';
CREATE FUNCTION mood_number(mood) RETURNS integer LANGUAGE sql IMMUTABLE AS
        $$ SELECT length($1::text) $$;
CREATE CAST (mood AS integer) WITH FUNCTION mood_number(mood) AS ASSIGNMENT;
CREATE CAST (point3 AS text) WITH INOUT;
COMMENT ON CAST (mood AS integer) IS 'its letters';
CREATE TABLE people (
        id integer GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 2) PRIMARY KEY,
        name short UNIQUE,
        feels mood DEFAULT 'it''s ok',
        moods mood[],
        place point3,
        number integer DEFAULT nextval('numbers'),
        age positive,
        twice integer GENERATED ALWAYS AS (doubled(number)) STORED,
        during spans,
        blob bytea,
        doc jsonb DEFAULT '{}',
        words tsvector,
        born date,
        CONSTRAINT not_nobody CHECK (name <> 'nobody'),
        EXCLUDE USING gist (during WITH &&)
) WITH (fillfactor = 70, autovacuum_enabled = false);
COMMENT ON TABLE people IS 'who is there';
COMMENT ON COLUMN people.name IS 'a "name" with ''quotes''';
COMMENT ON CONSTRAINT not_nobody ON people IS 'somebody';
ALTER TABLE people ALTER COLUMN doc SET STORAGE EXTERNAL;
ALTER TABLE people ALTER COLUMN name SET STATISTICS 500;
ALTER TABLE people ALTER COLUMN number SET (n_distinct = -0.5);
CREATE INDEX by_words ON people USING gin (words);
CREATE INDEX by_twice ON people (doubled(number) DESC NULLS LAST) WHERE feels <> 'sad';
CREATE UNIQUE INDEX by_lower ON people (lower(name::text) text_pattern_ops) INCLUDE (number);
COMMENT ON INDEX by_twice IS 'an expression';
ALTER TABLE people CLUSTER ON people_pkey;
CREATE STATISTICS together (dependencies, ndistinct) ON number, born FROM people;
INSERT INTO people (name, feels, moods, place, age, during, blob, words, born)
        SELECT 'n' || i, (enum_range(NULL::mood))[1 + i % 3],
                CASE i % 4 WHEN 0 THEN NULL ELSE ARRAY['sad', NULL, 'happy']::mood[] END,
                CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN ROW(NULL, NULL, NULL)::point3
                        ELSE ROW(i, 0.1, 'a "b", (c)')::point3 END,
                i, spans(i, i + 1), decode(md5(i::text), 'hex'), to_tsvector('simple', 'w' || i),
                date '2000-01-01' + i
        FROM generate_series(1, 500) i;
CREATE TABLE "Strange "" name; DROP TABLE people; --" ("sel""ect" text, "ünï" text, "a.b" serial);
INSERT INTO "Strange "" name; DROP TABLE people; --" VALUES (E'tab\tnewline\nback\\slash', NULL),
        ('', E'\\N'), (repeat('long', 500000), 'x');
CREATE TABLE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_123456789 (
        abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_123456789 integer PRIMARY KEY);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE cache (k text PRIMARY KEY, v text);
INSERT INTO cache VALUES ('a', 'b');
CREATE TABLE orders (id bigserial, at timestamptz NOT NULL, who integer REFERENCES people
        ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, total numeric(10, 2) CHECK (total >= 0),
        PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE orders_old PARTITION OF orders FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE orders_new PARTITION OF orders FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)
        PARTITION BY HASH (id);
CREATE TABLE orders_even PARTITION OF orders_new FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_rest PARTITION OF orders_new FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX by_total ON orders (total);
INSERT INTO orders (at, who, total) SELECT date '2019-01-01' + i, 100 + 2 * i, i FROM
        generate_series(1, 499) i;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TABLE by_rule (at date, n integer) PARTITION BY LIST ((doubled(n)));
CREATE TABLE by_rule_2 PARTITION OF by_rule FOR VALUES IN (2, 4);
INSERT INTO by_rule VALUES ('2020-01-01', 1), ('2020-01-02', 2);
CREATE TABLE animals (id integer PRIMARY KEY, legs integer DEFAULT 4 CHECK (legs >= 0));
CREATE TABLE birds (wings integer) INHERITS (animals);
ALTER TABLE birds ALTER COLUMN legs SET DEFAULT 2;
INSERT INTO animals VALUES (1, 4);
INSERT INTO birds (id, wings) VALUES (2, 2);
CREATE TABLE secrets (owner name DEFAULT current_user, what text);
INSERT INTO secrets VALUES ('shop', 'a'), ('other', 'b');
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets FOR SELECT TO PUBLIC USING (owner = current_user);
CREATE POLICY put ON secrets AS RESTRICTIVE FOR INSERT WITH CHECK (what <> '');
COMMENT ON POLICY own ON secrets IS 'his own';
CREATE VIEW grown AS SELECT p.id, p.name, o.total FROM people p JOIN orders o ON o.who = p.id
        WHERE p.age > 17;
CREATE VIEW per_key AS SELECT p.id, p.born, count(*) AS n FROM people p JOIN orders o ON o.who = p.id
        GROUP BY p.id;
CREATE VIEW barred WITH (security_barrier = true) AS SELECT * FROM people WHERE age > 5
        WITH LOCAL CHECK OPTION;
ALTER VIEW grown ALTER COLUMN total SET DEFAULT 7;
CREATE MATERIALIZED VIEW sums AS SELECT who, sum(total) AS total FROM orders GROUP BY who;
CREATE UNIQUE INDEX sums_who ON sums (who);
CREATE MATERIALIZED VIEW sums_of_sums AS SELECT count(*) AS n FROM sums;
CREATE MATERIALIZED VIEW never AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION people_of(m mood) RETURNS SETOF people LANGUAGE sql STABLE AS
        $$ SELECT * FROM people WHERE feels = m $$;
CREATE FUNCTION log_order() RETURNS trigger LANGUAGE plpgsql SET work_mem = '8MB' AS
        $$ BEGIN INSERT INTO cache VALUES (NEW.id::text || clock_timestamp(), 'order'); RETURN NEW; END $$;
CREATE FUNCTION qualified() RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN RETURN (SELECT count(*) FROM @SCHEMA@.people) + nextval('@SCHEMA@.numbers'); END $$;
CREATE FUNCTION pathed() RETURNS bigint LANGUAGE sql SET search_path TO @SCHEMA@, pg_temp AS
        $$ SELECT count(*) FROM people $$;
CREATE PROCEDURE tidy(INOUT n integer DEFAULT 3) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE FUNCTION atomic(n integer) RETURNS integer LANGUAGE sql
        BEGIN ATOMIC SELECT count(*)::integer FROM people WHERE people.id > n; END;
CREATE FUNCTION add_up(state integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
        'SELECT coalesce(state, 0) + coalesce(n, 0)';
CREATE AGGREGATE total_of (integer) (SFUNC = add_up, STYPE = integer, INITCOND = '0');
CREATE TRIGGER on_order AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.total > 3)
        EXECUTE FUNCTION log_order();
CREATE TRIGGER asleep BEFORE UPDATE OF name ON people FOR EACH ROW EXECUTE FUNCTION log_order();
ALTER TABLE people DISABLE TRIGGER asleep;
COMMENT ON TRIGGER asleep ON people IS 'not now';
CREATE TRIGGER on_view INSTEAD OF INSERT ON grown FOR EACH ROW EXECUTE FUNCTION log_order();
CREATE RULE silent AS ON DELETE TO cache WHERE old.k = 'keep' DO INSTEAD NOTHING;
ALTER TABLE cache REPLICA IDENTITY FULL;
GRANT SELECT (id, name), UPDATE (name) ON people TO reader;
GRANT SELECT ON grown TO reader WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE numbers TO reader;
REVOKE EXECUTE ON FUNCTION doubled(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION doubled(integer) TO reader;
REVOKE USAGE ON TYPE mood FROM PUBLIC;
GRANT INSERT, DELETE ON cache TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA @SCHEMA@ GRANT SELECT ON TABLES TO reader;
SELECT nextval('numbers'), setval('orders_id_seq', 12345);
ALTER TABLE orders ADD CONSTRAINT later CHECK (total < 100000) NOT VALID;
