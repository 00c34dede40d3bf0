"""Tables whose classified columns hold canaries, one of every kind of type, and what is drawn from them."""

import uuid
from collections.abc import Iterable

from tests.real.leaks.canaries import Finder, digits, real_number, whole_number, windows, word

DATABASE = "leaks"
#: Class → columns of it; the columns `id`, `plan` and `town` are not classified.
_SECRET = [
    "email", "nick", "code", "alias", "tick", "born", "seen", "clock", "stay", "ssn", "pin", "pay", "rate",
    "small", "cash", "ref", "addr", "net", "blob", "doc", "docb", "tags", "nums", "home", "span", "spans", "days",
    "tax", "mood", "words", "flags", "spot",
]  # fmt: skip
CLASSES = {"secret": _SECRET, "pii": ["name", "phone"]}
CLASSIFIED = [
    *((f"public.people.{column}", kind) for kind, columns in CLASSES.items() for column in columns),
    ("public.letters.receiver", "secret"),
    ("public.vault", "secret"),
    ("public.shards.token", "secret"),
    ("public.made.source", "secret"),
]
_ROWS = range(1, 4)


def _text(row: int, column: int) -> str:
    return word(100 * row + column)


class Row:
    """One person."""

    def __init__(self, row: int) -> None:
        self.texts = [_text(row, column) for column in range(20)]
        self.pin = 1_200_000_000 + int(digits(row, 9)) % 800_000_000
        self.ssn = int(digits(100 + row, 17))
        self.span = 1_100_000_000 + int(digits(200 + row, 9)) % 900_000_000
        self.rate = float(f"{digits(300 + row, 6)}.{digits(400 + row, 7)}")
        self.small = float(f"{digits(350 + row, 3)}.{digits(450 + row, 3)}")
        self.pay = f"{digits(500 + row, 9)}.{digits(600 + row, 9)}"
        self.cash = f"{digits(700 + row, 9)}.{digits(710 + row, 2)}"
        self.ref = uuid.UUID(int=int(digits(800 + row, 38)) % (1 << 128))
        octets = (60 + row * 7, 219 - row * 13, 147 + row * 11, 62 + row * 31)
        self.addr = ".".join(map(str, octets))
        self.octets = bytes(octets)
        self.born = f"{3810 + row * 17}-11-29"
        self.micros = digits(900 + row, 6)
        self.seen = f"{4210 + row * 19}-05-17 21:43:56.{self.micros}+00"
        self.stay = f"{digits(920 + row, 6)} days 17:42:39.{digits(930 + row, 6)}"
        self.clock = f"13:47:29.{digits(940 + row, 6)}"
        self.spot = (float(f"{digits(950 + row, 6)}.{digits(960 + row, 4)}"), 7.5)
        self.flags = f"{int(digits(970 + row, 18)):064b}"

    def others(self) -> Iterable[tuple[str, Iterable[bytes]]]:
        """What is not made of letters: (value, pieces of it)."""
        yield str(self.pin), whole_number(self.pin, 4)
        yield str(self.ssn), whole_number(self.ssn, 8)
        yield str(self.span), whole_number(self.span, 4)
        yield str(self.rate), real_number(self.rate)
        yield str(self.small), [str(self.small).encode()]
        yield self.pay, windows(self.pay.encode(), 7)
        yield self.cash, windows(self.cash.replace(".", "").encode(), 7)
        yield str(self.ref), [*windows(self.ref.hex.encode(), 9), self.ref.bytes]
        yield self.addr, [self.addr.encode(), self.octets]
        yield self.born, [self.born.encode(), self.born.replace("-", "").encode()]
        yield self.seen, [self.seen[:10].encode(), self.micros.encode()]
        yield self.stay, [self.stay[:6].encode(), self.stay[-6:].encode()]
        yield self.clock, [self.clock[-6:].encode()]
        yield str(self.spot), real_number(self.spot[0])
        yield self.flags, windows(self.flags.encode(), 40)
        # One letter, shown often enough.
        yield "tick", [b"qqqqqq"]

    def sql(self, row: int) -> str:
        """Its VALUES."""
        t = self.texts
        cells = [
            str(row),
            f"'plan {row}'",
            *(f"'{t[i]}'" for i in range(4)),
            "'Q'",
            f"'{self.born}'",
            f"'{self.seen}'",
            f"'{self.clock}'",
            f"'{self.stay}'",
            str(self.ssn),
            str(self.pin),
            self.pay,
            repr(self.rate),
            repr(self.small),
            f"'{self.cash}'",
            f"'{self.ref}'",
            f"'{self.addr}'",
            f"'{self.addr}/32'",
            f"'{t[4]}'",
            f'\'{{"k": "{t[5]}", "n": {self.ssn}, "a": ["{t[6]}"]}}\'',
            f'\'{{"k": "{t[7]}", "n": {self.ssn}, "a": ["{t[8]}"]}}\'',
            f"ARRAY['{t[9]}', '{t[10]}']",
            f"ARRAY[{self.span}, {self.pin}]",
            f"ROW('{t[11]}', '{t[12]}')::address",
            f"int4range({self.span}, {self.span + 2})",
            f"int4multirange(int4range({self.span}, {self.span + 2}))",
            f"daterange('{self.born}', NULL)",
            f"'{t[13]}'",
            f"'{word(row)}'",
            f"to_tsvector('simple', '{t[14]}')",
            f"B'{self.flags}'",
            f"point({self.spot[0]!r}, {self.spot[1]})",
            f"'{t[15]}'",
            f"'+{digits(row, 4)}{t[16]}'",
        ]
        return f"({', '.join(cells)})"


ROWS = [Row(row) for row in _ROWS]
_MOODS = ", ".join(f"'{word(row)}'" for row in _ROWS)
VAULT = [word(9000 + row) for row in _ROWS]
SHARDS = [word(9100 + row) for row in _ROWS]
LETTER, MADE = word(9200), word(9300)

SCHEMA = f"""
CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE address AS (street text, zip text); CREATE TYPE humour AS ENUM ({_MOODS});
CREATE DOMAIN taxnumber AS text; CREATE DOMAIN short AS text CHECK (length(VALUE) < 3);
CREATE TABLE people (
  id int PRIMARY KEY, plan text, email text UNIQUE, nick varchar(40), code char(20), alias name, tick "char",
  born date, seen timestamptz, clock time, stay interval, ssn bigint UNIQUE, pin int UNIQUE, pay numeric,
  rate float8, small float4, cash money, ref uuid, addr inet, net cidr, blob bytea, doc json, docb jsonb, tags text[],
  nums int[], home address,
  span int4range, spans int4multirange, days daterange, tax taxnumber, mood humour, words tsvector, flags bit(64),
  spot point, name text, phone text,
  CHECK (id < 1000), EXCLUDE USING gist (span WITH &&));
INSERT INTO people VALUES {", ".join(row.sql(index) for index, row in enumerate(ROWS, 1))};
CREATE TABLE places (id int PRIMARY KEY, town text NOT NULL, plan text);
INSERT INTO places VALUES (1, 'Turin', 'a'), (2, 'Rome', 'b'), (3, 'Genoa', NULL);
CREATE TABLE letters (id int PRIMARY KEY, receiver text REFERENCES people (email) DEFERRABLE INITIALLY DEFERRED,
  town int);
INSERT INTO letters SELECT id, email, 1 FROM people;
CREATE TABLE vault (id int PRIMARY KEY, a text NOT NULL, b text);
INSERT INTO vault VALUES {", ".join(f"({row}, '{text}', '{text[::-1]}')" for row, text in enumerate(VAULT, 1))};
CREATE TABLE shards (id int, token text, plan text) PARTITION BY LIST (id);
CREATE TABLE shard_1 PARTITION OF shards FOR VALUES IN (1);
CREATE TABLE shard_2 PARTITION OF shards FOR VALUES IN (2, 3);
INSERT INTO shards VALUES {", ".join(f"({row}, '{text}', 'p')" for row, text in enumerate(SHARDS, 1))};
CREATE TABLE made (id int, source text, low text GENERATED ALWAYS AS (lower(source)) STORED,
  twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO made VALUES (21, '{MADE}');
CREATE VIEW mail AS SELECT id, email AS address, plan FROM people;
CREATE VIEW mail_of_mail AS SELECT id, lower(address) AS x, plan FROM mail;
CREATE MATERIALIZED VIEW kept AS SELECT id, email AS address, plan FROM people;
CREATE FUNCTION tell(t text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no % here', t
  USING DETAIL = t, HINT = t, CONSTRAINT = t, TABLE = t, COLUMN = t, SCHEMA = t, DATATYPE = t; END$$;
CREATE FUNCTION note(t text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'seen %', t; RETURN 1; END$$;
CREATE FUNCTION open_named(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS
  $$BEGIN OPEN c FOR EXECUTE (SELECT format('SELECT 1 AS %I', email) FROM people WHERE id = 1); RETURN c; END$$;
CREATE FUNCTION open_all(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS
  $$BEGIN OPEN c FOR SELECT lower(email) FROM people; RETURN c; END$$;
CREATE FUNCTION frozen() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT email FROM people WHERE id = 1';
CREATE FUNCTION everyone() RETURNS SETOF people LANGUAGE sql AS 'SELECT * FROM people';
ANALYZE;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
"""


def finder() -> Finder:
    """Of everything above."""
    texts = [text for row in ROWS for text in row.texts]
    texts += [word(row) for row in _ROWS] + VAULT + SHARDS + [MADE]
    return Finder(texts, [pair for row in ROWS for pair in row.others()])
