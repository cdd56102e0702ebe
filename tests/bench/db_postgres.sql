-- SPDX-License-Identifier: LGPL-2.1-or-later
-- A blog's and a webmail's tables, filled to about :mb MB: text of words, many small rows, keys.
SELECT setseed(0.5);
CREATE SCHEMA site AUTHORIZATION shop;
SET ROLE shop;
SET search_path = site;
CREATE TEMP TABLE words AS SELECT i, string_agg(w, ' ') AS w FROM (
        SELECT i, substr(md5((random() * 3000)::int::text), 1, 3 + (random() * 7)::int) AS w
        FROM generate_series(1, 2000) i, generate_series(1, 70)) q GROUP BY i;
CREATE UNIQUE INDEX ON words (i);
CREATE TABLE posts (id bigserial PRIMARY KEY, author bigint NOT NULL, at timestamptz NOT NULL,
        title text NOT NULL, name varchar(200) NOT NULL, status varchar(20) NOT NULL DEFAULT 'publish',
        content text NOT NULL, parent bigint NOT NULL DEFAULT 0);
INSERT INTO posts (author, at, title, name, content)
        SELECT n % 500, timestamptz '2020-01-01' + n * interval '1 minute', left(a.w, 60),
                'post-' || md5(n::text), a.w || b.w || c.w || d.w || a.w
        FROM generate_series(1, 60 * :mb) n
        JOIN words a ON a.i = 1 + n % 2000 JOIN words b ON b.i = 1 + (n * 7) % 1999
        JOIN words c ON c.i = 1 + (n * 13) % 1997 JOIN words d ON d.i = 1 + (n * 17) % 1993;
CREATE INDEX ON posts (name);
CREATE INDEX ON posts (status, at, id);
CREATE INDEX ON posts (author);
CREATE TABLE postmeta (id bigserial PRIMARY KEY, post bigint NOT NULL, key varchar(255), value text);
INSERT INTO postmeta (post, key, value)
        SELECT n % (60 * :mb), '_key_' || n % 37, left(w.w, 20 + n % 60)
        FROM generate_series(1, 1300 * :mb) n JOIN words w ON w.i = 1 + n % 2000;
CREATE INDEX ON postmeta (post);
CREATE INDEX ON postmeta (key);
CREATE TABLE comments (id bigserial PRIMARY KEY, post bigint NOT NULL, author text NOT NULL, mail text,
        at timestamptz NOT NULL, content text NOT NULL, approved varchar(20) NOT NULL DEFAULT '1');
INSERT INTO comments (post, author, mail, at, content)
        SELECT n % (60 * :mb), 'a' || n, n || '@example.com', timestamptz '2020-01-01' + n * interval '9 s',
                left(w.w, 100 + n % 300)
        FROM generate_series(1, 300 * :mb) n JOIN words w ON w.i = 1 + n % 2000;
CREATE INDEX ON comments (post);
CREATE INDEX ON comments (approved, at);
CREATE INDEX ON comments (mail);
CREATE TABLE cache_messages (id bigserial PRIMARY KEY, folder bigint NOT NULL, uid bigint NOT NULL,
        changed timestamptz NOT NULL DEFAULT now(), data text NOT NULL, flags integer NOT NULL DEFAULT 0,
        UNIQUE (folder, uid));
INSERT INTO cache_messages (folder, uid, data)
        SELECT n % 200, n, encode(sha512(n::text::bytea), 'base64') || a.w
        FROM generate_series(1, 100 * :mb) n JOIN words a ON a.i = 1 + n % 2000;
CREATE INDEX ON cache_messages (changed);
CREATE TABLE options (id serial PRIMARY KEY, name varchar(191) UNIQUE, value text);
INSERT INTO options (name, value) SELECT 'option' || j.n, w.w FROM words w, generate_series(1, 3) AS s(s),
        LATERAL (SELECT w.i * 3 + s AS n) j;
CREATE TABLE told (id bigserial PRIMARY KEY, said text, at timestamptz DEFAULT clock_timestamp());
ALTER TABLE postmeta ADD CONSTRAINT known CHECK (post >= 0);
RESET ROLE;
VACUUM ANALYZE;
CHECKPOINT;
