-- What a person does in psql; its whole output is compared.
\set ON_ERROR_STOP off
\set VERBOSITY verbose
\pset pager off
CREATE TABLE city (id serial PRIMARY KEY, name text UNIQUE, area numeric(8, 2), founded date);
COMMENT ON TABLE city IS 'cities';
\copy city (name, area, founded) FROM STDIN WITH (FORMAT csv, NULL 'none')
Zürich,87.88,0015-01-01
東京,2194.07,none
"New York, NY",1223.59,1624-05-20
\.
SELECT * FROM city ORDER BY id;
\x on
SELECT * FROM city WHERE id = 1;
\x off
\d city
\dt
\dt+ city
\dn
\df pg_catalog.lower
\l :database
\du postgres
SELECT count(*) AS n FROM city \gset
\echo there are :n
SELECT name, area FROM city ORDER BY id \gdesc
SELECT 'SELECT ' || id FROM city ORDER BY id \gexec
SELECT id, name FROM city ORDER BY id \crosstabview id name id
PREPARE one (int) AS SELECT name FROM city WHERE id = $1;
EXECUTE one (2);
DEALLOCATE one;
BEGIN;
INSERT INTO city (name) VALUES ('Bern');
SAVEPOINT a;
INSERT INTO city (name) VALUES ('Bern');
SELECT 1;
ROLLBACK TO a;
SELECT count(*) FROM city;
COMMIT;
SELECT nothing FROM nowhere;
SELECT 1 / 0;
SELECT 1 AS a \; SELECT 2 AS b \; SELECT 3 / 0 \; SELECT 4;
\set FETCH_COUNT 2
SELECT id, name FROM city ORDER BY id;
\unset FETCH_COUNT
\set AUTOCOMMIT off
INSERT INTO city (name) VALUES ('Genève');
ROLLBACK;
\set AUTOCOMMIT on
SELECT count(*) FROM city;
\copy (SELECT name, area FROM city ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)
COPY (SELECT id FROM city ORDER BY id) TO STDOUT;
COPY city (name) FROM STDIN;
Basel
Zürich
\.
SELECT count(*) FROM city;
DO $$ BEGIN RAISE NOTICE 'a notice %', 42; RAISE WARNING 'and a warning'; END $$;
SET search_path = pg_catalog;
SHOW search_path;
RESET search_path;
LISTEN chat;
NOTIFY chat;
EXPLAIN (COSTS OFF) SELECT * FROM city WHERE id = 1;
SELECT set_config('my.setting', 'x', false), current_setting('my.setting');
\encoding
SELECT pg_catalog.lo_create(777);
\lo_list
\lo_unlink 777
CREATE VIEW big_city AS SELECT name FROM city WHERE area > 1000;
SELECT * FROM big_city ORDER BY name;
\sv big_city
\d+ big_city
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
\sf twice
SELECT twice(21);
\timing off
TRUNCATE city;
VACUUM city;
ANALYZE city;
CREATE INDEX CONCURRENTLY city_area ON city (area);
\errverbose
