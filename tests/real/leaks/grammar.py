"""Queries that show classified values in some disguise, made up from a seed."""

import random

from tests.real.leaks.canaries import LETTERS

_ROTATED = LETTERS[1:] + LETTERS[0]
#: (from what, columns whose text shows a canary) of each relation; `t` is its alias.
_TEXTS = [
    "t.email", "t.nick", "t.code", "t.alias", "t.name", "t.phone", "t.tax", "t.tags[1]", "(t.home).street",
]  # fmt: skip
_CAST = [
    "t.seen", "t.ssn", "t.pin", "t.pay", "t.rate", "t.cash", "t.ref", "t.addr", "t.net", "t.doc", "t.docb", "t.tags",
    "t.nums", "t.home", "t.span", "t.spans", "t.days", "t.mood", "t.words", "t.flags", "t.spot", "t.born", "t.stay",
    "t.clock",
]  # fmt: skip
_JSON = ["t.docb ->> 'k'", "t.docb #>> '{a,0}'", "t.doc ->> 'k'", "jsonb_path_query_first(t.docb, '$.a[0]') #>> '{}'"]
_BLOBS = ["encode(t.blob, 'escape')", "convert_from(t.blob, 'UTF8')", "encode(t.blob, 'hex')"]
_ROWS = ["to_json(t)::text", "row_to_json(t)::text", "t::text", "to_jsonb(t) ->> 'email'", "format('%s', t)"]
#: Text to text, each still showing what it is given.
_TEXT_OPS = [
    "reverse({})", "upper({})", "lower({})", "initcap({})", "({} || '')", "('<' || {} || '>')", "concat({}, '!')",
    "concat_ws('-', 'a', {}, 'b')", "substr({}, 1, 20)", "left({}, 30)", "right({}, 14)",
    "substring({} from 2 for 12)", "overlay({} placing '' from 1 for 1)", "lpad({}, 40, '.')", "rpad({}, 40, '.')",
    "trim({})", "ltrim({}, '#')", "replace({}, '@', '#')",
    f"translate({{}}, '{LETTERS + LETTERS.upper()}', '{_ROTATED + _ROTATED.upper()}')",
    "encode(convert_to({}, 'UTF8'), 'hex')", "encode(convert_to({}, 'UTF8'), 'base64')", "({})::varchar",
    "({})::bytea::text", "quote_literal({})", "quote_nullable({})", "quote_ident({})", "format('%s', {})",
    "format('%I', {})", "format('%L', {})", "to_json({})::text", "to_jsonb({}) #>> '{{}}'",
    "xmlelement(name x, {})::text", "regexp_replace({}, '^', '_')",
    "array_to_string(regexp_split_to_array({}, ''), '-')", "array_to_string(ARRAY[{}], ',')", "(ARRAY['x', {}])[2]",
    "coalesce(NULL, {})", "nullif({}, 'x')", "greatest({}, '')", "least({}, '~~~~')",
    "CASE WHEN true THEN {} ELSE '' END",
    "(SELECT string_agg(ascii(c)::text, ' ') FROM regexp_split_to_table({}, '') c)", "split_part({} || '|x', '|', 1)",
    "(SELECT string_agg(to_hex(ascii(c)), '') FROM regexp_split_to_table({}, '') c)", "(SELECT {})", "(VALUES ({}))",
    "(SELECT string_agg(substr({}, n, 1), '.' ORDER BY n) FROM generate_series(1, 40) n)", "repeat({}, 2)",
    "(SELECT string_agg('\\x' || to_hex(ascii(c)), '') FROM regexp_split_to_table({}, '') c)", "(ROW({}, 1))::text",
    "json_build_object('v', {})::text", "jsonb_build_array({})::text", "json_object(ARRAY['v', {}])::text",
    "unistr({})", "hstore('v', {})::text", "({})::citext::text", "normalize({})", "string_to_array({}, ',')::text",
    "to_ascii({}, 'LATIN1')", "convert_from(convert_to({}, 'LATIN1'), 'LATIN1')", "substring({} from '^(.*)$')",
    "regexp_substr({}, '.+')", "(regexp_match({}, '(.*)'))[1]", "array_to_json(ARRAY[{}])::text",
    "xmlforest({} AS v)::text", "xmlcomment({})::text",
]  # fmt: skip
#: A query around one text expression `{x}` over `{f}`.
_FRAMES = [
    "SELECT {x} FROM {f}", "SELECT id, {x} AS plan FROM {f}", "SELECT * FROM (SELECT {x} AS v FROM {f}) q",
    "SELECT max({x}) FROM {f}", "SELECT string_agg({x}, ',') FROM {f}", "SELECT array_agg({x}) FROM {f}",
    "SELECT json_agg({x}) FROM {f}", "SELECT DISTINCT {x} FROM {f}", "SELECT {x}, count(*) FROM {f} GROUP BY 1",
    "SELECT json_object_agg(id, {x}) FROM {f}", "SELECT first_value({x}) OVER (ORDER BY id) FROM {f}",
    "SELECT lag({x}, 0) OVER (ORDER BY id) FROM {f}", "SELECT mode() WITHIN GROUP (ORDER BY {x}) FROM {f}",
    "WITH w AS (SELECT {x} AS v FROM {f}) SELECT v FROM w",
    "WITH w AS MATERIALIZED (SELECT {x} AS v FROM {f}) TABLE w", "SELECT 'a' UNION ALL SELECT {x} FROM {f}",
    "SELECT {x} FROM {f} EXCEPT SELECT 'a'", "SELECT v.y FROM {f} CROSS JOIN LATERAL (SELECT {x} AS y) v",
    "SELECT (SELECT {x} FROM {f} LIMIT 1)", "SELECT ARRAY(SELECT {x} FROM {f})",
    "SELECT town, {x} FROM {f} JOIN places p USING (id)",
    "SELECT p.id, (SELECT {x} FROM {f} WHERE t.id = p.id) FROM places p", "SELECT {x} FROM {f} ORDER BY 1 LIMIT 1",
    "SELECT row_to_json(q) FROM (SELECT {x} AS v FROM {f}) q", "SELECT q FROM (SELECT {x} AS v FROM {f}) q",
    "SELECT substr({x}, n, 1) FROM {f}, generate_series(1, 60) n WHERE id = 1 ORDER BY n",
    "SELECT n, ascii(substr({x}, n, 1)) FROM {f}, generate_series(1, 60) n WHERE id = 1 ORDER BY n",
    "SELECT x FROM {f}, regexp_split_to_table({x}, '') x WHERE id = 1",
    "SELECT x FROM {f}, LATERAL unnest(ARRAY[{x}]) AS x", "SELECT (unnest(ARRAY[{x}, 'b'])) FROM {f}",
    "WITH RECURSIVE w(v, n) AS (SELECT {x}, 1 FROM {f} UNION ALL SELECT v, n + 1 FROM w WHERE n < 2) SELECT v FROM w",
    "SELECT CASE WHEN id > 0 THEN {x} END FROM {f}", "VALUES ((SELECT min({x}) FROM {f}))",
    "SELECT xmlagg(xmlelement(name v, {x})) FROM {f}", "SELECT query FROM (SELECT {x} FROM {f}) AS s(query)",
    "SELECT min({x}) FILTER (WHERE id = 1) FROM {f}", "SELECT q.* FROM {f} LEFT JOIN LATERAL (SELECT {x}) q ON true",
    "SELECT k, {x} FROM {f} RIGHT JOIN (SELECT id, plan AS k FROM places) o USING (id)",
    "SELECT {x} FROM {f} GROUP BY GROUPING SETS ((1), ())", "SELECT ({x})::varchar(60) COLLATE \"C\" FROM {f}",
]  # fmt: skip
#: Errors that quote it, and changes that return it.
_FAILING = [
    "SELECT ({x})::int FROM {f}", "SELECT ({x})::date FROM {f}", "SELECT ({x})::uuid FROM {f}",
    "SELECT ({x})::inet FROM {f}", "SELECT ({x})::json FROM {f}", "SELECT ({x})::interval FROM {f}",
    "SELECT ({x})::short FROM {f}", "SELECT ({x})::humour FROM {f}", "SELECT ({x})::regclass FROM {f}",
    "SELECT ('{{' || {x})::int[] FROM {f}", "SELECT ({x})::point FROM {f}", "SELECT tell({x}) FROM {f}",
    "SELECT note({x}) FROM {f}", "SELECT 'x' ~ ('(' || {x}) FROM {f}", "SELECT ({x})::tsquery FROM {f}",
    "SELECT set_config('work_mem', {x}, true) FROM {f}", "SELECT current_setting({x}) FROM {f}",
    "SELECT to_date({x}, 'YYYY') FROM {f}", "SELECT ('(' || {x})::address FROM {f}",
    "SELECT ('[' || {x})::int4range FROM {f}", "SELECT decode({x}, {x}) FROM {f}", "SELECT ({x})::jsonpath FROM {f}",
    "SELECT now() AT TIME ZONE {x} FROM {f}", "SELECT date_part({x}, now()) FROM {f}",
    "SELECT ({x})::regtype FROM {f}", "SELECT ({x})::numeric FROM {f}", "SELECT ({x})::macaddr FROM {f}",
    "SELECT ({x})::bool FROM {f}", "INSERT INTO places SELECT id + 10, {x} FROM {f} RETURNING town",
    "UPDATE places p SET town = {x} FROM {f} WHERE p.id = t.id RETURNING town",
    "INSERT INTO places SELECT id, {x} FROM {f}",
    "UPDATE places SET plan = ({x}), id = NULL FROM {f} WHERE t.id = places.id",
    "DELETE FROM places p USING {f} WHERE p.id = t.id RETURNING {x}",
    "INSERT INTO places VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET town = (SELECT max({x}) FROM {f}) RETURNING *",
]  # fmt: skip


class Grammar:
    """A source of queries. Equal seeds, equal queries."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def _base(self) -> tuple[str, str]:
        """(text expression, from what)."""
        pick = self.chance.choice
        match self.chance.randrange(10):
            case 0:
                return pick(["t.a", "t.b", "(t).a", "concat(t.a, t.b)"]), "vault t"
            case 1:
                return "t.token", pick(["shards t", "(SELECT * FROM shards) t", "shard_1 t"])
            case 2:
                return "t.address", pick(["mail t", "kept t", "(SELECT id, email FROM people) AS t(id, address)"])
            case 3:
                return "t.x", "mail_of_mail t"
            case 4:
                return pick(_ROWS), "people t"
            case 5 | 6:
                return f"({pick(_CAST)})::text", "people t"
            case 7:
                return pick(_JSON + _BLOBS), "people t"
            case _:
                return pick(_TEXTS), pick(["people t", "(TABLE people) t", "ONLY people t", "everyone() t"])

    def expression(self) -> tuple[str, str]:
        """A text that shows a canary, and what it is drawn from."""
        text, source = self._base()
        for _ in range(self.chance.randrange(4)):
            text = self.chance.choice(_TEXT_OPS).format(text)
        return text, source

    def query(self) -> str:
        """One that returns rows."""
        text, source = self.expression()
        return self.chance.choice(_FRAMES).format(x=text, f=source)

    def failing(self) -> str:
        """One that changes something, or whose error or notice tells."""
        text, source = self.expression()
        # What a function of the target's own stored is told by RETURNING: test_left has it.
        source = source.replace("everyone()", "people")
        return self.chance.choice(_FAILING).format(x=text, f=source)
