-- A small company whose tables, types and operators run code unseen. What runs leaves a row in ops.trail, so that the
-- server's own count of written rows tells what a statement set off.
CREATE SCHEMA ops;
CREATE SCHEMA hr;
CREATE TABLE ops.trail (at timestamptz DEFAULT now(), what text);
CREATE TABLE ops.purged (what text);
INSERT INTO ops.purged SELECT 'x' FROM generate_series(1, 50);
CREATE FUNCTION ops.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO ops.trail (what) VALUES ($1); RETURN true; END $$;
CREATE FUNCTION ops.note_number(n integer) RETURNS integer LANGUAGE sql AS $$
INSERT INTO ops.trail (what) VALUES (n::text) RETURNING n $$;
CREATE FUNCTION ops.double(n integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE FUNCTION ops.shout(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE said text := upper(what); BEGIN RETURN said || '!'; END $$;

-- Functions and procedures.
CREATE FUNCTION ops.purge() RETURNS bigint LANGUAGE sql AS $$
WITH gone AS (DELETE FROM ops.purged RETURNING 1) SELECT count(*) FROM gone $$;
CREATE FUNCTION ops.purge_by(kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  FOR r IN SELECT ctid FROM ops.purged WHERE what = kind LOOP
    IF kind IS NOT NULL THEN DELETE FROM ops.purged WHERE ctid = r.ctid; END IF;
  END LOOP;
EXCEPTION WHEN others THEN PERFORM ops.note(SQLERRM);
END $$;
CREATE FUNCTION ops.calls_purge() RETURNS bigint LANGUAGE sql AS 'SELECT ops.purge()';
CREATE FUNCTION ops.by_text(statement text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE statement; END$$;
CREATE FUNCTION ops.by_default(n integer DEFAULT ops.note_number(7)) RETURNS integer LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION ops.over(n integer) RETURNS integer LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION ops.over(what text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN DELETE FROM ops.purged; RETURN 1; END $$;
CREATE PROCEDURE ops.close_year(y integer) LANGUAGE plpgsql AS $$
BEGIN UPDATE ops.trail SET what = y::text; END $$;
CREATE FUNCTION ops.ping() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION ops.pong() RETURNS integer LANGUAGE plpgsql AS 'BEGIN DELETE FROM ops.purged; RETURN ops.ping(); END';
CREATE OR REPLACE FUNCTION ops.ping() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN IF random() < 0 THEN RETURN ops.pong(); END IF; RETURN 1; END $$;

-- Types.
CREATE DOMAIN ops.code AS text CHECK (ops.note(VALUE));
CREATE DOMAIN ops.short_code AS ops.code CHECK (length(VALUE) < 20);
CREATE DOMAIN ops.amount AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE TYPE ops.pair AS (a integer, b ops.code);
CREATE TYPE ops.point AS (x integer, y integer);
CREATE TYPE ops.mood AS ENUM ('sad', 'glad');
CREATE FUNCTION ops.to_point(what text) RETURNS ops.point LANGUAGE plpgsql AS $$
BEGIN INSERT INTO ops.trail (what) VALUES ('cast'); RETURN ROW(1, 2)::ops.point; END $$;
CREATE CAST (text AS ops.point) WITH FUNCTION ops.to_point(text);
CREATE FUNCTION ops.typed(given ops.code) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION ops.declares() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE c ops.code := 'from a declaration'; m ops.mood[]; p ops.point; BEGIN p.x := 1; RETURN p.x; END $$;

-- Operators and aggregates.
CREATE FUNCTION ops.near(a text, b integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO ops.trail (what) VALUES ('operator'); RETURN true; END $$;
CREATE OPERATOR ops.<~> (LEFTARG = text, RIGHTARG = integer, FUNCTION = ops.near);
CREATE OPERATOR public.<~> (LEFTARG = text, RIGHTARG = integer, FUNCTION = ops.near);
CREATE FUNCTION ops.added(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN INSERT INTO ops.trail (what) VALUES ('aggregate'); RETURN $1 + $2; END $$;
CREATE AGGREGATE ops.total(integer) (SFUNC = ops.added, STYPE = integer, INITCOND = '0');
CREATE AGGREGATE ops.summed(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');

-- Tables: defaults, generated columns, checks, indexes, policies, foreign keys, triggers.
CREATE TABLE hr.teams (id integer PRIMARY KEY, name text, slug text UNIQUE);
CREATE TABLE hr.people (
  id integer PRIMARY KEY, team integer REFERENCES hr.teams ON DELETE SET NULL ON UPDATE CASCADE,
  name text, mood ops.mood, wage ops.amount, updated timestamptz DEFAULT now());
CREATE TABLE hr.badges (id serial PRIMARY KEY, person integer REFERENCES hr.people ON DELETE CASCADE, code text);
CREATE TABLE hr.visits (id bigint GENERATED ALWAYS AS IDENTITY, badge integer REFERENCES hr.badges ON DELETE CASCADE,
  team_slug text REFERENCES hr.teams (slug) ON UPDATE CASCADE);
CREATE TABLE hr.notes (id integer, person integer REFERENCES hr.people, body text);
INSERT INTO hr.teams VALUES (1, 'one', 'one'), (2, 'two', 'two');
INSERT INTO hr.people VALUES (1, 1, 'Ann', 'sad', 1), (2, 2, 'Bob', 'glad', 2);
INSERT INTO hr.badges (person, code) VALUES (1, 'a'), (2, 'b');
INSERT INTO hr.visits (badge, team_slug) VALUES (1, 'one'), (2, 'two');
CREATE FUNCTION hr.touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.updated := now(); NEW.name = trim(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON hr.people FOR EACH ROW EXECUTE FUNCTION hr.touched();
CREATE FUNCTION hr.audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN INSERT INTO ops.trail (what) VALUES (TG_TABLE_NAME || OLD.id::text);
  ELSE INSERT INTO ops.trail (what) VALUES (NEW.id::text); END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR DELETE ON hr.badges FOR EACH ROW EXECUTE FUNCTION hr.audit();
CREATE TRIGGER audit_off AFTER UPDATE ON hr.badges FOR EACH ROW EXECUTE FUNCTION hr.audit();
ALTER TABLE hr.badges DISABLE TRIGGER audit_off;
CREATE TABLE hr.conditional (id integer, body text);
CREATE TRIGGER careful BEFORE UPDATE ON hr.conditional FOR EACH ROW WHEN (ops.note(NEW.body))
  EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE FUNCTION hr.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON hr.conditional FOR EACH ROW WHEN (ops.note(NEW.body)) EXECUTE FUNCTION hr.noted();
CREATE TABLE hr.stamped (id integer, at integer DEFAULT ops.note_number(1), twice integer GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE hr.derived (id integer, shouted text GENERATED ALWAYS AS (ops.shout('a' || id)) STORED);
CREATE SEQUENCE ops.shared;
CREATE TABLE hr.numbered (id bigint DEFAULT nextval('ops.shared'), body text);
CREATE TABLE hr.checked (id integer CHECK (ops.note(id::text)));
CREATE TABLE hr.coded (id integer, code ops.short_code);
CREATE TABLE hr.paired (id integer, pair ops.pair);
CREATE TABLE hr.pointed (id integer, point ops.point);
CREATE TABLE hr.indexed (id integer, body text);
CREATE FUNCTION ops.sly(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN (SELECT max(name) FROM hr.people); END $$;
CREATE INDEX ON hr.indexed (ops.sly(body));
CREATE TABLE hr.guarded (id integer, owner text);
ALTER TABLE hr.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON hr.guarded FOR SELECT USING (owner IN (SELECT name FROM hr.people));
CREATE POLICY writers ON hr.guarded FOR INSERT WITH CHECK (ops.note(owner));
CREATE TABLE hr.unguarded (id integer, owner text);
CREATE POLICY asleep ON hr.unguarded USING (ops.note(owner));
CREATE TABLE hr.parts (id integer, body text) PARTITION BY RANGE (id);
CREATE TABLE hr.parts_low PARTITION OF hr.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE hr.parts_high PARTITION OF hr.parts FOR VALUES FROM (100) TO (200);
INSERT INTO hr.parts VALUES (1, 'a');
CREATE TRIGGER audit AFTER INSERT ON hr.parts_high FOR EACH ROW EXECUTE FUNCTION hr.audit();
CREATE TABLE hr.parent (id integer, body text);
CREATE TABLE hr.child () INHERITS (hr.parent);
INSERT INTO hr.child VALUES (1, 'c');
CREATE TRIGGER audit AFTER DELETE ON hr.child FOR EACH ROW EXECUTE FUNCTION hr.audit();

-- Views and rules.
CREATE VIEW hr.roster AS SELECT id, name FROM hr.people;
CREATE VIEW hr.loud AS SELECT id, ops.shout(name) AS name FROM hr.people;
CREATE VIEW hr.trap AS SELECT id, ops.note(name) AS seen FROM hr.people;
CREATE VIEW hr.of_trap AS SELECT id FROM hr.trap WHERE seen;
CREATE VIEW hr.files AS SELECT pg_read_file('PG_VERSION') AS version;
CREATE VIEW hr.badge_list AS SELECT id, person, code FROM hr.badges;
CREATE VIEW hr.inbox AS SELECT id, body FROM hr.notes;
CREATE FUNCTION hr.instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN DELETE FROM ops.purged; RETURN NEW; END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON hr.inbox FOR EACH ROW EXECUTE FUNCTION hr.instead();
CREATE TABLE hr.ruled (id integer, body text);
INSERT INTO hr.ruled VALUES (1, 'r');
CREATE RULE kept AS ON DELETE TO hr.ruled DO INSTEAD UPDATE hr.ruled SET body = 'deleted' WHERE id = OLD.id;
CREATE RULE told AS ON UPDATE TO hr.ruled DO ALSO INSERT INTO ops.trail (what) VALUES (NEW.body);
CREATE MATERIALIZED VIEW hr.counted AS SELECT count(*) AS people, bool_and(ops.note('m')) AS seen FROM hr.people;
