-- One a line: every form of query and change, and a statement of nearly every command.
INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO NOTHING
INSERT INTO orders (id) VALUES (1) ON CONFLICT ON CONSTRAINT orders_pkey DO NOTHING
INSERT INTO orders (id) VALUES (1) ON CONFLICT DO NOTHING
INSERT INTO orders (id,amount) VALUES (1,2) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount
INSERT INTO orders DEFAULT VALUES
INSERT INTO orders TABLE orders
INSERT INTO orders (id) SELECT id FROM customers FOR UPDATE
UPDATE orders SET amount = DEFAULT
UPDATE orders SET (amount, note) = (SELECT id, name FROM customers LIMIT 1)
UPDATE orders SET amount = 1 WHERE CURRENT OF c
DELETE FROM orders
DELETE FROM orders WHERE ctid = '(0,1)'
DELETE FROM ONLY orders
MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE
MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET amount = 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (c.id)
MERGE INTO orders o USING (SELECT 1 AS x) c ON o.id = c.x WHEN NOT MATCHED THEN DO NOTHING
MERGE INTO orders USING customers ON false WHEN NOT MATCHED BY SOURCE THEN DELETE
MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE RETURNING merge_action(), o.*
MERGE INTO v_customers v USING orders o ON o.id = v.id WHEN MATCHED THEN UPDATE SET email = 'x'
WITH d AS (DELETE FROM orders RETURNING *) INSERT INTO log SELECT note FROM d
WITH customers AS (SELECT 1 AS id) SELECT * FROM customers
WITH customers AS (SELECT * FROM customers) SELECT * FROM customers
WITH customers AS (SELECT 1 AS id) UPDATE customers SET name = 'x'
WITH orders AS (SELECT 1 AS id) DELETE FROM orders USING orders o2 WHERE orders.id = o2.id
WITH orders AS (SELECT 1 AS id) SELECT * FROM customers FOR UPDATE
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT 1
WITH RECURSIVE t AS (SELECT id FROM orders UNION SELECT t.id + 1 FROM t WHERE id < 3) SELECT * FROM t
WITH RECURSIVE orders AS (SELECT 1 AS id UNION SELECT id + 1 FROM orders WHERE id < 3) SELECT * FROM orders
WITH orders AS (SELECT 1 AS id) SELECT (SELECT count(*) FROM orders), (WITH orders AS (TABLE customers) SELECT count(*) FROM orders)
WITH orders AS (SELECT 1 AS id) SELECT * FROM public.orders
WITH w AS (SELECT 1) SELECT * FROM (WITH w AS (TABLE customers) TABLE w) q FOR UPDATE
SELECT * FROM (SELECT * FROM orders) q FOR UPDATE
SELECT * FROM (SELECT * FROM orders) q FOR UPDATE OF q
SELECT * FROM (SELECT * FROM (SELECT * FROM orders) r) q FOR UPDATE OF q
SELECT * FROM v_customers FOR UPDATE
SELECT * FROM v_of_v FOR SHARE
SELECT * FROM v_of_v FOR NO KEY UPDATE SKIP LOCKED
SELECT * FROM customers c JOIN orders o ON c.id = o.id FOR UPDATE OF o
SELECT * FROM (customers c JOIN orders o ON c.id = o.id) FOR UPDATE OF c
SELECT * FROM customers c, LATERAL (SELECT * FROM orders o WHERE o.id = c.id) q FOR UPDATE
SELECT * FROM customers c, LATERAL (SELECT * FROM orders o WHERE o.id = c.id) q FOR UPDATE OF q
SELECT * FROM (SELECT * FROM orders FOR UPDATE) q
SELECT * FROM orders TABLESAMPLE system (10) FOR UPDATE
SELECT * FROM events FOR UPDATE
WITH w AS (SELECT * FROM orders FOR UPDATE) SELECT * FROM w
SELECT EXISTS (SELECT 1 FROM orders FOR UPDATE)
SELECT * INTO newt FROM orders
SELECT * INTO TEMP newt FROM orders
SELECT c FROM customers c
SELECT c.* FROM customers c
SELECT customers FROM customers
SELECT count(*) FROM orders
SELECT 1 FROM orders
SELECT GROUPING(id), count(*) FROM orders GROUP BY CUBE (id)
SELECT sum(amount) OVER w FROM orders WINDOW w AS (PARTITION BY id ORDER BY note)
SELECT * FROM ROWS FROM (generate_series(1,2), json_to_recordset('[]') AS (a int)) x
SELECT * FROM json_populate_recordset(null::customers, '[]')
SELECT jsonb_populate_record(null::orders, '{}')
SELECT NULL::customers
SELECT '(1,a,b)'::customers
SELECT 'customers'::regclass
SELECT currtid2('customers', '(0,1)')
SELECT lastval()
SELECT pg_get_serial_sequence('customers', 'id')
SELECT nextval('orders_id_seq')
SELECT nextval('public.orders_id_seq'::regclass)
SELECT nextval(16384)
SELECT setval('orders_id_seq', 5)
SELECT last_value FROM orders_id_seq
SELECT pg_sequence_last_value('orders_id_seq')
SELECT pg_table_size('customers'), pg_relation_size('orders'), pg_indexes_size('orders')
SELECT pg_notify('x', 'y')
NOTIFY x
LISTEN x
UNLISTEN *
SELECT set_config('work_mem', '5MB', true)
SET LOCAL work_mem = '5MB'
RESET work_mem
SET TIME ZONE 'UTC'
SELECT setseed(0.5)
SELECT pg_advisory_xact_lock(1)
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
VALUES (1, (SELECT max(id) FROM orders))
TABLE orders
(TABLE orders) UNION ALL (TABLE orders) ORDER BY 1 LIMIT (SELECT 1)
SELECT XMLTABLE.* FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b text PATH 'b' DEFAULT (SELECT max(note) FROM orders))
SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$.a'))
SELECT JSON_VALUE('{}', '$.a' DEFAULT (SELECT 1) ON EMPTY)
DECLARE c CURSOR FOR SELECT * FROM orders
DECLARE c CURSOR FOR SELECT * FROM orders FOR UPDATE
PREPARE p AS DELETE FROM orders
EXPLAIN DELETE FROM orders
EXPLAIN (ANALYZE) DELETE FROM orders
EXPLAIN ANALYZE CREATE TABLE q AS SELECT * FROM orders
EXPLAIN CREATE TABLE q AS SELECT * FROM orders
EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT * FROM orders
CREATE TABLE t (a int)
CREATE TABLE t (LIKE orders INCLUDING ALL)
CREATE TABLE t (a int REFERENCES customers)
CREATE TABLE t () INHERITS (orders)
CREATE TABLE t OF circle
CREATE TABLE e2 PARTITION OF events FOR VALUES IN (2)
CREATE TABLE t (a int DEFAULT nextval('orders_id_seq'))
CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME sq))
CREATE TABLE t (a serial)
CREATE UNLOGGED TABLE t AS TABLE orders WITH NO DATA
CREATE TEMP TABLE t AS TABLE orders
CREATE VIEW v AS SELECT * FROM orders
CREATE OR REPLACE VIEW v_customers AS SELECT id, email FROM customers
CREATE RECURSIVE VIEW rv (n) AS SELECT id FROM orders
CREATE MATERIALIZED VIEW mv AS SELECT * FROM orders
REFRESH MATERIALIZED VIEW m_customers
REFRESH MATERIALIZED VIEW m_customers WITH NO DATA
CREATE INDEX ON orders (amount)
CREATE UNIQUE INDEX i ON orders (lower(note)) WHERE id > 0
DROP INDEX orders_pkey
ALTER INDEX orders_pkey RENAME TO x
ALTER INDEX orders_pkey SET (fillfactor = 50)
REINDEX TABLE orders
REINDEX INDEX orders_pkey
REINDEX SCHEMA public
CLUSTER orders USING orders_pkey
ANALYZE orders
ANALYZE
VACUUM orders
CREATE STATISTICS st ON id, amount FROM orders
CREATE SEQUENCE s1 OWNED BY orders.id
ALTER SEQUENCE orders_id_seq RESTART
ALTER SEQUENCE orders_id_seq OWNED BY orders.id
ALTER TABLE orders ADD COLUMN z int DEFAULT 1
ALTER TABLE orders ADD COLUMN z serial
ALTER TABLE orders ALTER amount TYPE text USING amount::text
ALTER TABLE orders DROP COLUMN note
ALTER TABLE orders RENAME note TO memo
ALTER TABLE orders RENAME TO orders2
ALTER TABLE orders SET SCHEMA audit
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id)
ALTER TABLE orders ADD CHECK (amount > 0)
ALTER TABLE orders INHERIT customers
ALTER TABLE events ATTACH PARTITION orders FOR VALUES IN (3)
ALTER TABLE events DETACH PARTITION events_1
ALTER TABLE orders ENABLE ROW LEVEL SECURITY
ALTER TABLE orders OWNER TO postgres
ALTER TABLE orders DISABLE TRIGGER ALL
ALTER TABLE orders REPLICA IDENTITY FULL
ALTER TABLE orders SET LOGGED
ALTER TABLE orders SET UNLOGGED
ALTER TABLE orders CLUSTER ON orders_pkey
ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default
ALTER VIEW v_customers ALTER email SET DEFAULT 'x'
ALTER VIEW v_customers RENAME COLUMN email TO mail
ALTER MATERIALIZED VIEW m_customers RENAME TO mm
TRUNCATE orders
TRUNCATE orders, log RESTART IDENTITY CASCADE
TRUNCATE events
LOCK orders
LOCK TABLE orders IN ACCESS SHARE MODE
LOCK v_customers
LOCK TABLE v_customers IN ACCESS SHARE MODE
LOCK events
DROP TABLE orders
DROP TABLE customers CASCADE
DROP TABLE events
DROP VIEW v_customers CASCADE
DROP SCHEMA app CASCADE
DROP SCHEMA public CASCADE
DROP FUNCTION refund(int) CASCADE
DROP FUNCTION refund CASCADE
DROP SEQUENCE orders_id_seq
DROP OWNED BY postgres
CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT * FROM public.orders
ALTER SCHEMA app RENAME TO app2
CREATE TYPE mood AS ENUM ('a')
CREATE TYPE pair AS (a int, b orders)
CREATE TYPE rng AS RANGE (subtype = int4)
CREATE DOMAIN dom AS int CHECK (VALUE > 0)
CREATE CAST (circle AS int) WITH FUNCTION max(circle)
CREATE AGGREGATE agg (int) (sfunc = int4pl, stype = int)
CREATE OPERATOR ==== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
CREATE OPERATOR FAMILY f USING btree
CREATE COLLATION c FROM "C"
CREATE CONVERSION cv FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1
CREATE TEXT SEARCH CONFIGURATION tc (COPY = simple)
CREATE TEXT SEARCH DICTIONARY td (TEMPLATE = simple)
CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1
CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM orders; END
CREATE PROCEDURE pr() LANGUAGE sql AS ''
CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE CONSTRAINT TRIGGER tr AFTER INSERT ON orders FROM customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE RULE r AS ON INSERT TO orders DO ALSO DELETE FROM log
CREATE RULE r AS ON INSERT TO log DO INSTEAD UPDATE orders SET amount = 1
CREATE POLICY p ON orders USING (id IN (SELECT id FROM customers))
CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION pg_catalog.pg_notify()
CREATE PUBLICATION pub FOR TABLE orders
CREATE PUBLICATION pub FOR ALL TABLES
CREATE ROLE bob
ALTER ROLE postgres SET work_mem = '5MB'
ALTER ROLE postgres PASSWORD 'x'
GRANT SELECT ON orders TO PUBLIC
GRANT SELECT (note) ON orders TO PUBLIC
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC
GRANT USAGE ON SCHEMA app TO PUBLIC
GRANT EXECUTE ON FUNCTION refund(int) TO PUBLIC
GRANT pg_monitor TO postgres
REVOKE ALL ON orders FROM PUBLIC
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC
COMMENT ON TABLE orders IS 'x'
COMMENT ON COLUMN orders.note IS 'x'
COMMENT ON FUNCTION refund(int) IS 'x'
COMMENT ON DATABASE oracle IS 'x'
COMMENT ON SCHEMA app IS 'x'
COMMENT ON CONSTRAINT orders_pkey ON orders IS 'x'
COMMENT ON INDEX orders_pkey IS 'x'
ALTER FUNCTION refund(int) SECURITY DEFINER
ALTER FUNCTION refund(int) SET work_mem = '5MB'
ALTER FUNCTION refund(int) RENAME TO refund2
ALTER DATABASE oracle SET work_mem = '5MB'
CREATE EXTENSION plpgsql
ALTER EXTENSION plpgsql ADD TABLE orders
CREATE FOREIGN DATA WRAPPER w
CREATE ACCESS METHOD am TYPE TABLE HANDLER heap_tableam_handler
CREATE LANGUAGE l HANDLER plpgsql_call_handler
CREATE TRANSFORM FOR int LANGUAGE plpgsql (FROM SQL WITH FUNCTION prsd_lextype(internal))
UPDATE pg_class SET relname = relname WHERE false
DELETE FROM pg_description
INSERT INTO pg_description VALUES (1,1,0,'x')
DO $$ BEGIN PERFORM 1; END $$
DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM orders LOOP UPDATE log SET line = r.note; END LOOP; END $$
DO $$ DECLARE r orders; BEGIN r.id := 5; INSERT INTO orders VALUES (r.*); END $$
DO $$ DECLARE n orders.id%TYPE; BEGIN SELECT count(*) INTO n FROM customers; RAISE NOTICE '%', (SELECT max(note) FROM orders); END $$
DO $$ DECLARE c CURSOR FOR SELECT * FROM orders FOR UPDATE; BEGIN FOR r IN c LOOP DELETE FROM orders WHERE CURRENT OF c; END LOOP; END $$
DO $$ BEGIN CREATE TABLE q (a int); TRUNCATE log; END $$
DO $$ BEGIN ASSERT (SELECT count(*) FROM orders) > 0; END $$
DO $$ BEGIN IF EXISTS (SELECT FROM orders) THEN NOTIFY x; END IF; EXCEPTION WHEN others THEN DELETE FROM log; END $$
CALL refund(1)
DISCARD PLANS
DISCARD TEMP
SECURITY LABEL ON TABLE orders IS 'x'
IMPORT FOREIGN SCHEMA a FROM SERVER b INTO public
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_cursors
SELECT * FROM information_schema.columns
SELECT pg_get_functiondef('refund'::regproc)
SELECT has_table_privilege('orders', 'select')
SELECT row_security_active('orders')
SELECT obj_description('orders'::regclass), col_description('orders'::regclass, 1)
SELECT format_type(23, 0), current_setting('work_mem'), version(), current_schemas(true)
