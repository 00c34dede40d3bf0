"""What is not classified comes as it would from the server itself: byte for byte, whichever way it comes."""

import pytest

from tests.real.drivers.wire import query
from tests.real.leaks.conftest import Leaks
from tests.real.leaks.ways import SETTINGS, WAYS, Steps, answers

pytestmark = pytest.mark.timeout(120)

QUERIES = [
    "SELECT * FROM places ORDER BY id",
    "SELECT id, plan FROM people ORDER BY id",
    "SELECT plan || '!', upper(plan), id * 2 FROM people ORDER BY id",
    "SELECT count(*), min(plan), array_agg(id ORDER BY id) FROM people",
    "SELECT p.plan, o.town FROM people p JOIN places o USING (id) ORDER BY id",
    "SELECT town FROM places UNION ALL SELECT plan FROM places ORDER BY 1",
    "WITH w AS (SELECT id, town FROM places) SELECT * FROM w ORDER BY 1",
    "SELECT row_to_json(o), o FROM places o ORDER BY id",
    "SELECT id, rank() OVER (ORDER BY id DESC), lag(town) OVER (ORDER BY id) FROM places ORDER BY id",
    "SELECT twice FROM made",
    "SELECT NULL, true, 1::int2, 2::int8, 1.5::numeric, 1.5::float8, 'x'::text, '\\x00ff'::bytea, E'a\\tb\\n\"c\"\\\\'",
    "SELECT '2020-02-03'::date, '04:05'::time, '2020-02-03 04:05Z'::timestamptz, '1 day 2 h'::interval",
    "SELECT '{1,2}'::int[], '{a,NULL,\"b c\"}'::text[], ROW(1, 'x'), int4range(1, 5), '{[1,2)}'::int4multirange",
    "SELECT '{\"a\": [1, null]}'::json, '{\"a\": 1}'::jsonb, 'a=>1'::hstore, 'B'::citext, B'101', '$2.50'::money",
    "SELECT '10.0.0.0/8'::cidr, '00000000-0000-0000-0000-000000000001'::uuid, point(1, 2), 'a b'::tsvector",
    "SELECT n, repeat('y', n) FROM generate_series(0, 300) n",
    "SELECT",
    "SELECT id FROM places WHERE false",
]
#: Beside other statements, what is computed counts as computed from everything that the text reads.
MIXED = frozenset({"text of several", "cursor in one text"})
#: Each said the same: changes, failures, what is said beside rows.
SAID = [
    "UPDATE places SET town = 'Pisa' WHERE id = 2 RETURNING *",
    "INSERT INTO places VALUES (9, 'Bari') RETURNING id, town",
    "DELETE FROM places WHERE id > 1 RETURNING town",
    "INSERT INTO places VALUES (1, 'Bari')",
    "INSERT INTO places VALUES (8, NULL)",
    "SELECT 'ada'::int",
    "SELECT 1 / 0",
    "SELECT nosuch FROM places",
    "SELECT town::int FROM places",
    "SELECT nosuch FROM people",
    "SELECT 1 / (id - 1) FROM people",
    "DO $$BEGIN END$$",
    "EXPLAIN (COSTS OFF) SELECT * FROM places",
    "SHOW DateStyle",
    "SET DateStyle = 'German'; SELECT '2020-02-03'::date",
    "COPY places TO STDOUT; COPY places (town) TO STDOUT (FORMAT csv, HEADER)",
    "COPY places TO STDOUT (FORMAT binary)",
    "LISTEN c; NOTIFY c; COMMIT",
    'LISTEN "a.b"; NOTIFY "a.b"; COMMIT',
    "SAVEPOINT s; SELECT 1; ROLLBACK TO s; RELEASE s",
    "CREATE TEMP TABLE t (x int); INSERT INTO t VALUES (1)",
    "DECLARE c CURSOR FOR SELECT town FROM places ORDER BY id; FETCH 2 FROM c; MOVE 1 FROM c; CLOSE c",
]


def told(messages: list[bytes]) -> list[bytes]:
    """Without the process id of a notification; what is copied in one piece, its messages may be cut elsewhere."""
    found: list[bytes] = []
    for each in messages:
        if each[:1] == b"d" and found and found[-1][:1] == b"d":
            found[-1] += each[5:]
        else:
            found.append(each[:5] + each[9:] if each[:1] == b"A" else b"d" + each[5:] if each[:1] == b"d" else each)
    return found


def both(leaks: Leaks, steps: Steps) -> tuple[list[bytes], list[bytes]]:
    """What comes through the gateway, and what the server says."""
    with leaks.direct() as client:
        direct = answers(client, steps)
    with leaks.through() as client:
        return told(answers(client, steps)), told(direct)


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_the_same(leaks: Leaks, way: str) -> None:
    """In every way, under every setting."""
    different = []
    for number, sql in enumerate(QUERIES):
        if way in MIXED and ("people" in sql or "made" in sql):
            continue
        setting = query(f"SET LOCAL {SETTINGS[number % len(SETTINGS)]}")
        through, direct = both(leaks, [setting, *WAYS[way](sql)])
        different += [f"{sql}: {a!r} for {b!r}" for a, b in zip(through, direct, strict=True) if a != b][:1]
    assert not different, "\n".join(different)


@pytest.mark.parametrize("sql", SAID)
def test_what_is_said_is_the_same(leaks: Leaks, sql: str) -> None:
    """Tags, errors, notifications, too."""
    direct, through = both(leaks, [query(sql)])
    assert through == direct
