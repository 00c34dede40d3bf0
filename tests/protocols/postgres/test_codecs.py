"""Properties of the codecs: chunks make no difference, garbage is frames or an error, what is taken is given back."""

import csv
import io
from base64 import b64decode
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg._copy_base import _parse_row_text
from psycopg._py_transformer import Transformer

from ostiary.core import Column, Secret, ValueKind
from ostiary.protocols.postgres import bind as binding
from ostiary.protocols.postgres.copied import CopyRows, Form
from ostiary.protocols.postgres.copying import CopyOut
from ostiary.protocols.postgres.framing import BACKEND, FRONTEND, MAX_MESSAGE, Framer, message
from ostiary.protocols.postgres.results import columns_of, encode_fields, fields_of
from ostiary.protocols.postgres.rows import DataRows, encode_row
from ostiary.protocols.postgres.scram import MAX_ITERATIONS, ScramClient, md5_password
from ostiary.sql import CopyOptions
from ostiary.wire.contract import ProtocolError
from tests.protocols.postgres.playbook import bind, copy_data, row_description

CELLS = st.one_of(st.none(), st.binary(max_size=20))
#: Text as COPY meets it: what it escapes, quotes and separates by is likely.
TEXT = st.text(
    st.one_of(st.sampled_from('\\",;\t\n\r\b\v\f|N.'), st.characters(exclude_characters="\0", codec="utf-8"))
)
VALUES = st.one_of(st.none(), TEXT.map(str.encode))


def tables(cells: st.SearchStrategy[bytes | None]) -> st.SearchStrategy[list[list[bytes | None]]]:
    """Rows of equal width, at least one."""
    return st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=5)
    )


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at those places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


# ---------------------------------------------------------------- framing

MESSAGES = st.lists(
    st.builds(message, st.sampled_from([b"D", b"d", b"C", b"T", b"E"]), st.binary(max_size=30)), max_size=8
)


@given(MESSAGES, st.lists(st.integers(0, 400), max_size=12))
def test_any_chunking_gives_the_same_frames(messages: list[bytes], cuts: list[int]) -> None:
    """Runs may be split elsewhere; the frames, their order and their number are the same."""
    framer = Framer.of_target()
    frames = [frame for chunk in chunked(b"".join(messages), cuts) for frame in framer.feed(chunk)]
    assert b"".join(frame for _, frame, _ in frames) == b"".join(messages)
    assert sum(count for _, _, count in frames) == len(messages)
    assert all(frame[0] == kind and (count == 1 or kind in b"Dd") for kind, frame, count in frames)
    assert framer.pending == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5), st.booleans())
def test_garbage_is_frames_or_an_error(data: bytes, cuts: list[int], of_client: bool) -> None:
    """Nothing is lost, nothing is made up, and no other exception comes out."""
    framer = Framer.of_client() if of_client else Framer.of_target()
    seen = b""
    try:
        for chunk in chunked(data, cuts):
            seen += b"".join(frame for _, frame, _ in framer.feed(chunk))
    except ProtocolError:
        return
    assert data.startswith(seen)
    assert framer.pending == len(data) - len(seen)


@pytest.mark.parametrize("size", [0, 3, MAX_MESSAGE + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("lead", [b"", message(b"D", b"\0\0")])
def test_hostile_lengths_are_refused_by_the_header_alone(size: int, lead: bytes) -> None:
    """Also behind a run of good messages."""
    with pytest.raises(ProtocolError, match="refused unread"):
        Framer.of_target().feed(lead + b"D" + size.to_bytes(4, "big"))


@pytest.mark.parametrize("of_client", [True, False])
def test_types_of_the_other_direction_are_refused(of_client: bool) -> None:
    """Every byte that is no type of this direction, by its header."""
    known = FRONTEND if of_client else BACKEND
    for kind in set(range(256)) - known:
        with pytest.raises(ProtocolError, match="no place here"):
            (Framer.of_client() if of_client else Framer.of_target()).feed(bytes([kind]) + b"\0\0\0\4")


# ---------------------------------------------------------------- rows


@given(tables(CELLS))
def test_columns_are_picked_out_as_they_were_encoded(table: list[list[bytes | None]]) -> None:
    """Every column of every row, NULL and empty told apart."""
    rows = DataRows(b"".join(map(encode_row, table)), len(table), len(table[0]))
    for index in range(len(table[0])):
        assert rows.column(index) == [cells[index] for cells in table]


@given(tables(CELLS), st.data())
def test_spliced_columns_are_what_encoding_them_gives(table: list[list[bytes | None]], data: st.DataObject) -> None:
    """Replacing is the same as having encoded the replacement, byte for byte."""
    chosen = data.draw(st.sets(st.integers(0, len(table[0]) - 1)))
    new = {i: data.draw(st.lists(CELLS, min_size=len(table), max_size=len(table))) for i in chosen}
    rows = DataRows(b"".join(map(encode_row, table)), len(table), len(table[0])).replaced(new)
    expected = [[new[i][n] if i in new else cell for i, cell in enumerate(cells)] for n, cells in enumerate(table)]
    assert rows.encode() == b"".join(map(encode_row, expected))


@given(st.binary(max_size=40), st.integers(0, 3))
def test_a_malformed_row_is_an_error_and_a_good_one_is_what_we_would_encode(body: bytes, width: int) -> None:
    """No bytes hide in a row that is taken."""
    run = message(b"D", body)
    try:
        cells = [DataRows(run, 1, width).column(index)[0] for index in range(width)]
        spliced = DataRows(run, 1, width).replaced({0: [b"x"]}).encode()
    except ProtocolError:
        return
    assert encode_row(cells) == run
    assert spliced == encode_row([b"x", *cells[1:]] if width else [])


@pytest.mark.parametrize("body", [b"\0\1\0\0\0\1ab", b"\0\1\0\0\0\2a", b"\0\1\0\0", b"\0\2\0\0\0\0", b""])
def test_rows_that_do_not_fit_are_refused_however_they_are_read(body: bytes) -> None:
    """Bytes after the last column, too few, another width: picking and replacing agree."""
    rows = DataRows(message(b"D", body), 1, 1)
    with pytest.raises(ProtocolError):
        rows.column(0)
    with pytest.raises(ProtocolError):
        rows.replaced({0: [b"x"]})


# ---------------------------------------------------------------- descriptions and diagnostics


class NoOrigins:
    """Every column is computed."""

    def origin(self, table_oid: int, attnum: int) -> tuple[str | None, tuple[str, ...]]:
        """Names what it was asked."""
        return f"{table_oid}.{attnum}", ()


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10), max_size=5))
def test_columns_of_a_description(names: list[str]) -> None:
    """Names, origins and kinds, in order; one byte more or less is an error."""
    frame = row_description(*names, table=7)
    found = columns_of(frame, NoOrigins())
    assert [(c.name, c.object, c.kind) for c in found] == [
        (name, f"7.{number}", ValueKind.TEXT) for number, name in enumerate(names, 1)
    ]
    for wrong in (frame + b"\0", frame[:-1]) if names else (frame + b"\0",):
        with pytest.raises(ProtocolError):
            columns_of(wrong, NoOrigins())


@given(st.binary(max_size=60), st.sampled_from([b"E", b"N", b"A"]))
def test_diagnostics_that_are_taken_apart_are_put_together_the_same(body: bytes, kind: bytes) -> None:
    """Or refused: no bytes hide between the fields."""
    frame = message(kind, body)
    try:
        names, cells = fields_of(frame)
    except ProtocolError:
        return
    assert encode_fields(frame, names, cells) == frame


# ---------------------------------------------------------------- COPY


def copy_out(width: int, options: CopyOptions, *, binary: bool = False) -> CopyOut:
    """Text columns."""
    columns = tuple(Column(f"c{i}", None, ValueKind.TEXT) for i in range(width))
    return CopyOut(columns, replace(options, binary=binary))


def copied(table: list[list[bytes | None]], options: CopyOptions, *, binary: bool = False) -> bytes:
    """What our own encoder makes of it: every cell counts as changed."""
    out = copy_out(len(table[0]), options, binary=binary)
    cells = [[out._form.encoded(cell) for cell in row] for row in table]
    if binary:
        return b"".join(copy_data(len(row).to_bytes(2, "big") + b"".join(row)) for row in cells)
    return b"".join(copy_data(options.delimiter.join(row) + b"\n") for row in cells)


OPTIONS = [
    pytest.param(CopyOptions(), id="text"),
    pytest.param(CopyOptions(delimiter=b"|", null=b"<null>"), id="text with |"),
    pytest.param(CopyOptions(csv=True, delimiter=b",", null=b""), id="csv"),
    pytest.param(CopyOptions(csv=True, delimiter=b";", null=b"", quote=b"'", escape=b"\\"), id="csv with escape"),
]


@pytest.mark.parametrize("options", OPTIONS)
@given(table=tables(VALUES))
def test_copy_values_come_back(options: CopyOptions, table: list[list[bytes | None]]) -> None:
    """What the encoder writes is read as the same values, and unchanged it goes out byte for byte."""
    run = copied(table, options)
    out = copy_out(len(table[0]), options)
    head, batch, tail = out.batch(run, len(table))
    assert (head, tail) == (b"", b"")
    assert batch is not None
    assert len(batch) == len(table)
    assert [batch.column(i) for i in range(len(table[0]))] == [list(c) for c in zip(*table, strict=True)]
    assert batch.replaced({i: batch.column(i) for i in range(out._form.width)}).encode() == run


@given(tables(CELLS))
def test_binary_copy_values_come_back(table: list[list[bytes | None]]) -> None:
    """With signature and trailer as they came."""
    header = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
    run = copied(table, CopyOptions(), binary=True)
    first = run[5 : 1 + int.from_bytes(run[1:5], "big")]
    rest = run[5 + len(first) :]
    out = copy_out(len(table[0]), CopyOptions(), binary=True)
    head, batch, tail = out.batch(copy_data(header + first) + rest + copy_data(b"\xff\xff"), len(table) + 1)
    assert (head, tail) == (copy_data(header), copy_data(b"\xff\xff"))
    assert batch is not None
    assert len(batch) == len(table)
    assert [batch.column(i) for i in range(len(table[0]))] == [list(c) for c in zip(*table, strict=True)]
    assert batch.replaced({i: batch.column(i) for i in range(out._form.width)}).encode() == run


def lines(run: bytes) -> list[bytes]:
    """Bodies of CopyData messages."""
    found = []
    while run:
        size = 1 + int.from_bytes(run[1:5], "big")
        found.append(run[5:size])
        run = run[size:]
    return found


@given(tables(VALUES))
def test_psycopg_reads_masked_text_cells_as_the_same_values(table: list[list[bytes | None]]) -> None:
    """Its own parser of COPY's text format agrees with our encoder."""
    transformer = Transformer()
    transformer.set_loader_types([25] * len(table[0]), psycopg.pq.Format.TEXT)
    read = [_parse_row_text(line, transformer) for line in lines(copied(table, CopyOptions()))]
    assert read == [tuple(None if cell is None else cell.decode() for cell in row) for row in table]


@given(tables(TEXT.map(str.encode)))
def test_python_reads_masked_csv_cells_as_the_same_values(table: list[list[bytes | None]]) -> None:
    """So does the csv module, for everything but NULL, which it does not know."""
    run = copied(table, CopyOptions(csv=True, delimiter=b",", null=b""))
    text = io.StringIO(b"".join(lines(run)).decode(), newline="")
    assert list(csv.reader(text, strict=True)) == [[(cell or b"").decode() for cell in row] for row in table]


@pytest.mark.parametrize("options", OPTIONS)
@given(body=st.binary(max_size=40))
def test_copy_garbage_is_an_error_or_comes_out_as_it_was(options: CopyOptions, body: bytes) -> None:
    """Whatever is taken apart is put together the same."""
    out = copy_out(1 + body.count(options.delimiter) % 3, options)
    run = copy_data(body.removesuffix(b"\n") + b"\n")
    try:
        _, batch, _ = out.batch(run, 1)
        assert batch is not None
        again = batch.replaced({i: batch.column(i) for i in range(out._form.width)})
    except ProtocolError:
        return
    assert again.encode() == run


FORMS = [CopyOptions(), CopyOptions(csv=True, delimiter=b",", null=b""), CopyOptions(binary=True)]


@given(st.binary(max_size=40), st.sampled_from(FORMS), st.integers(0, 3))
def test_no_bytes_are_read_behind_the_end(run: bytes, options: CopyOptions, width: int) -> None:
    """Runs that are no whole messages, whatever lengths they claim: an error, or cells that stand in them."""
    for rows in (DataRows(run, 1, width), CopyRows(run, 1, Form(options, width))):
        try:
            cells = [cell for index in range(width) for cell in rows.column(index)]
        except ProtocolError:
            continue
        assert sum(len(cell or b"") for cell in cells) <= len(run)


@pytest.mark.parametrize("options", FORMS)
def test_a_copy_row_of_another_width_is_refused(options: CopyOptions) -> None:
    """One column more, or less, whichever column is asked for; replacing agrees."""
    run = copied([[b"a", b"b"]], options, binary=options.binary)
    for width in (1, 3):
        rows = CopyRows(run, 1, Form(options, width))
        for index in range(width):
            with pytest.raises(ProtocolError):
                rows.column(index)
        with pytest.raises(ProtocolError):
            rows.replaced({0: [b"x"]})


# ---------------------------------------------------------------- Bind


@given(st.lists(CELLS, max_size=5), st.sampled_from(["", "s", "n\u00e4me"]))
def test_bind_is_decoded(values: list[bytes | None], name: str) -> None:
    """Names, values, formats; one byte more or less is an error."""
    frame = bind(name, "p", tuple(values), b"\0\1\0\1")
    bound = binding.decode(frame)
    assert (bound.portal, bound.statement, bound.formats) == ("p", name, (1,))
    assert [(p.value, p.binary) for p in bound.parameters] == [(value, False) for value in values]
    for wrong in (frame + b"\0", frame[:-1]):
        with pytest.raises(ProtocolError):
            binding.decode(wrong)


@given(st.binary(max_size=60))
def test_bind_garbage_is_an_error_or_what_we_would_encode(body: bytes) -> None:
    """No bytes hide in a Bind that is judged."""
    frame = message(b"B", body)
    try:
        bound = binding.decode(frame)
    except ProtocolError:
        return
    binary = [int(p.binary) for p in bound.parameters]
    start = f"{bound.portal}\0{bound.statement}\0".encode()
    values = encode_row([p.value for p in bound.parameters])[5:]
    results = b"".join(n.to_bytes(2, "big") for n in (len(bound.formats), *bound.formats))
    rest = body.removeprefix(start)
    assert rest != body
    assert rest.endswith(values + results)
    formats = rest[: len(rest) - len(values + results)]
    count = int.from_bytes(formats[:2], "big")
    codes = [int.from_bytes(formats[at : at + 2], "big") for at in range(2, len(formats), 2)]
    assert len(codes) == count
    assert binary == [int(code == 1) for code in (codes * len(binary) if count == 1 else codes or [0] * len(binary))]


# ---------------------------------------------------------------- authentication


def test_scram_against_rfc_7677() -> None:
    """The exchange of section 3, but for the user name, which PostgreSQL takes from the startup message."""
    scram = ScramClient(Secret("pencil"), b64decode(b"rOprNGfwEbeRWgbNEkqO"))
    assert scram.first() == b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
    scram._bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    final = scram.final(b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert final == b"c=biws,r=" + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    with pytest.raises(ProtocolError, match="did not prove"):
        scram.verify(b"v=AAAATRVpTnnQVpKYbFYYK0bVhzlwTgzKGBhTrOaoVqk=")
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=AAAA,i=4096",
        b"r=AAAA,s=AAAA,i=4096",
        b"r=AAAAx,s=!,i=4096",
        b"r=AAAAx,s=AAAA,i=0",
        b"r=AAAAx,s=AAAA,i=%d" % (MAX_ITERATIONS + 1),
        b"m=x,r=AAAAx,s=AAAA,i=4096",
    ],
)
def test_challenges_that_the_rfc_forbids(challenge: bytes) -> None:
    """A nonce that does not continue ours, no iterations or too many, an extension that must be understood."""
    with pytest.raises(ProtocolError):
        ScramClient(Secret("pencil"), b"\0\0\0").final(challenge)


def test_a_server_signature_before_the_challenge_proves_nothing() -> None:
    """An empty signature equals none."""
    with pytest.raises(ProtocolError, match="did not prove"):
        ScramClient(Secret("pencil"), b"\0\0\0").verify(b"v=")


def test_md5_vector() -> None:
    """md5(md5("pw" + "ada") + salt), as md5sum computes it."""
    assert md5_password("ada", Secret("pw"), b"\1\2\3\4") == b"md52f78d09189bb1f19c38433d30d99bfbb"
