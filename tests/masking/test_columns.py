"""Which columns are masked, for whom, and how."""

import itertools

import pytest

from ostiary.core import Action, Column, Result, ResultKind, Secret, ValueKind
from ostiary.masking import Classification, ClassRule, Detection, Detector, MaskingConfig, Transform
from ostiary.protocols.postgres.values import codec_of
from tests.masking.fakes import (
    CLASSIFICATION,
    EMAIL,
    KEY,
    RULES,
    TARGET,
    Cells,
    FakeRights,
    action,
    column,
    masking,
    run,
)

ADA: list[bytes | None] = [b"ada.lovelace@example.com", None]
ADA_PARTIAL: list[bytes | None] = [b"a***@e***.com", None]
ADA_REDACTED: list[bytes | None] = [b"[redacted]", None]
GONE: list[bytes | None] = [None, None]


def test_a_classified_column_takes_its_class_transform() -> None:
    """The column is masked whatever it is called in the result; its neighbour is not."""
    got = run(masking(), [column("x", EMAIL), column("email", "orders/public.customers.name")], [ADA, [b"Ada", b"B"]])
    assert got == [ADA_PARTIAL, [b"Ada", b"B"]]


@pytest.mark.parametrize(
    ("obj", "masked"),
    [
        ("orders/public.customers.email", True),
        ("orders/public.Customers.email", False),
        ("orders/public.customers.email2", False),
        ("orders/public.customers_archive.email", False),
        ("billing/public.customers.email", False),
        ("orders/private.customers.email", False),
    ],
)
def test_names_compare_as_the_server_spells_them(obj: str, masked: bool) -> None:
    """Case counts, and so does every part."""
    assert run(masking(), [column("c", obj)], [ADA], action("public.orders")) == [ADA_PARTIAL if masked else ADA]


@pytest.mark.parametrize("entry", ["public.people", "public"])
def test_a_relation_or_schema_classifies_all_its_columns(entry: str) -> None:
    """An entry above a column covers it; one for the column itself decides alone."""
    service = masking(
        classification=(Classification("orders", entry, "pii"), Classification("orders", "public.people.id", "open")),
        rules={"pii": ClassRule(Transform.REDACT), "open": ClassRule(Transform.KEEP)},
    )
    columns = [column("name", "orders/public.people.name"), column("id", "orders/public.people.id")]
    assert run(service, columns, [ADA, ADA]) == [ADA_REDACTED, ADA]


def test_quotes_around_odd_names_do_not_matter() -> None:
    """A name that one side forgot to quote is masked all the same."""
    service = masking(classification=(Classification("orders", 'public."odd.name".email', "pii.email"),))
    assert run(service, [column("c", "orders/public.odd.name.email")], [ADA]) == [ADA_PARTIAL]
    assert run(service, [column("c", 'orders/public."odd.name".email')], [ADA]) == [ADA_PARTIAL]


def test_a_class_without_a_rule_is_redacted() -> None:
    """A misspelt class masks."""
    assert run(masking(rules={}), [column("c", EMAIL)], [ADA]) == [ADA_REDACTED]


@pytest.mark.parametrize(("weaker", "stronger"), list(itertools.pairwise(Transform)))
def test_of_several_classes_the_strongest_transform_wins(weaker: Transform, stronger: Transform) -> None:
    """In the order in which the transforms stand; but a token could be revealed to who may see its class alone."""
    service = masking(
        classification=tuple(Classification("orders", "public.customers.born", name) for name in "ab"),
        rules={"a": ClassRule(stronger), "b": ClassRule(weaker)},
    )
    masker = service.masker(FakeRights(), TARGET, action("public.customers"))
    dates = column("c", "orders/public.customers.born", codec=codec_of(1082, -1, 0), kind=ValueKind.OPAQUE)
    texts = column("d", "orders/public.customers.born")
    masker.mask(Result(ResultKind.ROWS, (dates, texts), Cells([b"1984-02-29"], [b"lovelace@example.org"])))
    of_dates = {Transform.DATE_SHIFT, Transform.GENERALISE}
    of_texts = set(Transform) - {Transform.DATE_SHIFT, Transform.GENERALISE, Transform.TOKEN}
    assert masker.masked["c"] == f"a: {stronger if stronger in of_dates else Transform.NULL}"
    assert masker.masked["d"] == f"a: {stronger if stronger in of_texts else Transform.REDACT}"


GENERALISE = Transform.GENERALISE


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ((ClassRule(Transform.TOKEN), ClassRule(Transform.KEEP)), Transform.TOKEN),
        ((ClassRule(Transform.TOKEN), ClassRule(Transform.PARTIAL)), Transform.REDACT),
        ((ClassRule(Transform.TOKEN), ClassRule(Transform.TOKEN)), Transform.REDACT),
        ((ClassRule(Transform.FORMAT_PRESERVING), ClassRule(Transform.FORMAT_PRESERVING)), Transform.REDACT),
        ((ClassRule(Transform.HASH), ClassRule(Transform.HASH)), Transform.HASH),
        ((ClassRule(GENERALISE, first=2), ClassRule(GENERALISE, first=2, text_only=True)), GENERALISE),
        ((ClassRule(GENERALISE, first=2), ClassRule(GENERALISE, first=3)), Transform.REDACT),
    ],
)
def test_two_classes_of_one_transform(rules: tuple[ClassRule, ClassRule], shown: Transform) -> None:
    """Where they do not do the very same, neither hides what the other does."""
    service = masking(
        classification=tuple(Classification("orders", "public.customers.email", name) for name in "ab"),
        rules=dict(zip("ab", rules, strict=True)),
    )
    masker = service.masker(FakeRights(), TARGET, action("public.customers"))
    masker.mask(Result(ResultKind.ROWS, (column("c", EMAIL),), Cells(ADA)))
    assert masker.masked["c"] == f"a: {shown}"
    masker = service.masker(FakeRights({"b"}), TARGET, action("public.customers"))
    masker.mask(Result(ResultKind.ROWS, (column("c", EMAIL),), Cells(ADA)))
    assert masker.masked["c"] == f"a: {rules[0].transform}"


@pytest.mark.parametrize("kind", [ValueKind.STRUCTURED, ValueKind.OPAQUE])
def test_what_is_not_text_is_nulled(kind: ValueKind) -> None:
    """A classified number, date, array or binary value becomes null."""
    assert run(masking(), [column("c", EMAIL, kind)], [ADA]) == [GONE]
    assert run(masking(), [column("c", EMAIL, ValueKind.OPAQUE, inert=True)], [[b"42", b"43"]]) == [GONE]


def test_a_view_column_is_redacted_by_what_it_is_drawn_from() -> None:
    """A view may compute anything from its bases, so no part is shown; an entry for the view's column decides alone."""
    view = Column("c", "orders/public.v.contact", ValueKind.TEXT, origins=("orders/public.customers.id", EMAIL))
    assert run(masking(), [view], [ADA], action("public.v")) == [ADA_REDACTED]
    named = (*CLASSIFICATION, Classification("orders", "public.v.contact", "pii.email"))
    assert run(masking(classification=named), [view], [ADA], action("public.v")) == [ADA_PARTIAL]


COMPUTED = [column("lower"), column("length", None, ValueKind.OPAQUE, inert=True)]
VALUES: list[list[bytes | None]] = [ADA, [b"24", None]]


@pytest.mark.parametrize(
    ("what", "masked"),
    [
        (action("public.customers"), True),
        (action("public.orders", "public.customers"), True),
        (action(unknown=True), True),
        (action("public.orders"), False),
        (action(), False),
        (action("public.customers", outputs=(frozenset({EMAIL}), frozenset({EMAIL}))), True),
        (action("public.customers", outputs=(frozenset({"orders/public.customers"}),) * 2), True),
        (action("public.customers", outputs=(frozenset({"orders/?.customers"}),) * 2), True),
        (action("public.customers", outputs=(None, None)), True),
        (action("public.customers", outputs=(frozenset(),)), True),
        (action("public.customers", outputs=(frozenset(), frozenset())), False),
        (action("public.customers", outputs=(frozenset({"orders/public.customers.name"}),) * 2), False),
        (action(unknown=True, outputs=(frozenset(), frozenset())), False),
    ],
)
def test_computed_columns(what: Action, masked: bool) -> None:
    """Computed over a classified column, or nobody can tell: masked, whatever the type."""
    transforms = {"pii.email": ClassRule(Transform.PARTIAL)}
    service = masking(classification=CLASSIFICATION[:1], rules=transforms)
    assert run(service, COMPUTED, VALUES, what) == ([ADA_REDACTED, GONE] if masked else VALUES)


def test_computed_columns_take_the_strongest_class_of_their_sources() -> None:
    """A card column beside the address turns redaction into null."""
    assert run(masking(), COMPUTED, VALUES) == [GONE, GONE]


@pytest.mark.parametrize("transform", sorted(set(Transform) - {Transform.KEEP, Transform.NULL}))
def test_parts_and_hashes_of_computed_values_are_not_shown(transform: Transform) -> None:
    """Else `substr(email, 1, 1) || 'xxxxxxxx'` would give the address away letter by letter."""
    service = masking(classification=CLASSIFICATION[:1], rules={"pii.email": ClassRule(transform)})
    assert run(service, [column("substr")], [[b"axxxxxxxxxx"]]) == [[b"[redacted]"]]


def test_unmask_lifts_its_class_and_no_other() -> None:
    """Who may see addresses sees addresses; cards stay away, and a value computed from both too."""
    rights = FakeRights({"pii.email"})
    columns = [column("email", EMAIL), column("card", "orders/public.customers.card"), column("computed")]
    got = run(masking(), columns, [ADA, [b"4111111111111111", None], ADA], rights=rights)
    assert got == [ADA, GONE, GONE]
    assert run(masking(), [column("computed")], [ADA], rights=FakeRights({"pii.email", "pci.card"})) == [ADA]


def test_plans_are_not_shared_across_rights() -> None:
    """The same service, shape and columns: each gets what it may see, in any order, and a change is followed."""
    service = masking()
    what = action("public.customers")
    columns = [column("email", EMAIL)]
    for unmask in ({"pii.email"}, set(), {"pci.card"}, {"pii.email", "pci.card"}, set()):
        expected = ADA if "pii.email" in unmask else ADA_PARTIAL
        assert run(service, columns, [ADA], what, FakeRights(unmask)) == [expected]
    rights = FakeRights({"pii.email"})
    masker = service.masker(rights, TARGET, what)
    result = Result(ResultKind.ROWS, tuple(columns), Cells(ADA))
    shown, clear = masker.mask(result)
    assert (shown, clear) == (result, False)
    rights.unmask.clear()
    assert masker.mask(result)[0].rows.column(0) == ADA_PARTIAL


def test_clear_is_said_only_when_nobody_needs_masking() -> None:
    """Inert and unclassified: later batches may skip the gate. A text may hold a find, a lifted class may fall."""
    inert = (column("n", "orders/public.orders.n", ValueKind.OPAQUE, inert=True),)
    text = (column("n", "orders/public.orders.note"),)
    rows = Cells([b"1"], haystack_only=True)

    def clear(service_columns: tuple[Column, ...], detection: Detection, unmask: set[str]) -> bool:
        masker = masking(detection).masker(FakeRights(unmask), TARGET, action("public.orders"))
        return masker.mask(Result(ResultKind.ROWS, service_columns, rows))[1]

    assert clear(inert, Detection(), set())
    assert clear(text, Detection({}), set())
    assert clear((), Detection(), set())
    assert not clear(text, Detection(), set())
    assert not clear((column("email", EMAIL),), Detection({}), {"pii.email"})


def test_outlines_are_kept_by_shape_and_columns() -> None:
    """Equal columns under another shape are worked out anew: sources differ."""
    service = masking()
    columns = [column("computed")]
    assert run(service, columns, [ADA], action("public.orders")) == [ADA]
    assert run(service, columns, [ADA], action("public.customers")) == [GONE]
    assert run(service, columns, [ADA], action("public.orders")) == [ADA]


def test_one_action_may_have_several_results() -> None:
    """Each result of a masker is masked by its own columns."""
    masker = masking().masker(FakeRights(), TARGET, action("public.customers"))
    columns = (column("a", EMAIL), column("b", "orders/public.orders.b"))
    for first, second in (columns, columns[::-1], columns):
        got, _ = masker.mask(Result(ResultKind.ROWS, (first, second), Cells(ADA, ADA)))
        expected = {"a": ADA_PARTIAL, "b": ADA}
        assert [got.rows.column(0), got.rows.column(1)] == [expected[first.name], expected[second.name]]


def test_classes_stay_with_their_target_and_relation() -> None:
    """What another target or a relation of a longer name holds makes nothing here unsure."""
    entries = (
        Classification("billing", "public.orders.x", "pii"),
        Classification("orders", "public.orders_2.x", "pii"),
    )
    service = masking(classification=entries)
    assert run(service, COMPUTED, VALUES, action("public.orders")) == VALUES
    assert run(service, COMPUTED, VALUES, action("public.orders_2")) == [ADA_REDACTED, GONE]
    assert not masking(classification=entries[:1]).required(TARGET)


def test_a_class_of_a_whole_schema_does_not_make_its_views_direct() -> None:
    """The view's column is in the class twice; the way that shows less decides."""
    service = masking(
        classification=(Classification("orders", "public", "pii.email"),),
        rules={"pii.email": ClassRule(Transform.PARTIAL)},
    )
    assert run(service, [Column("c", "orders/public.v.c", ValueKind.TEXT, origins=(EMAIL,))], [ADA]) == [ADA_REDACTED]


def test_memos_are_bounded() -> None:
    """Thousands of shapes and column lists do not pile up."""
    service = masking()
    for _ in range(2100):
        run(service, [column("c", EMAIL)], [ADA], action("public.customers"))
    what = action("public.customers")
    for number in range(40):
        run(service, [column(f"c{number}", EMAIL)], [ADA], what)
    letters = "abcdef"
    classes = masking(classification=tuple(Classification("orders", f"public.customers.{c}", c) for c in letters))
    for number in range(64):
        seen = {letter for at, letter in enumerate(letters) if number >> at & 1}
        run(classes, [column("c")], [ADA], what, FakeRights(seen))
    ((outline,),) = (known.values() for known in classes._book("orders")._outlines.values())
    assert len(outline.plans) <= 32
    book = service._book("orders")
    assert len(book._outlines) <= 2048
    assert len(book.outlines(what.shape)) <= 16


def test_required() -> None:
    """Classes that mask or detectors that are on need results to pass here; nothing else does."""
    assert masking().required(TARGET)
    assert masking(Detection(), classification=()).required(TARGET)
    assert not masking(classification=()).required(TARGET)
    assert not masking(rules={n: ClassRule(Transform.KEEP) for n in RULES}).required(TARGET)


@pytest.mark.parametrize(
    ("obj", "data_class"), [("", "pii"), ("public..x", "pii"), ("public.x", ""), ('public."x', "a")]
)
def test_a_classification_that_names_nothing_is_refused(obj: str, data_class: str) -> None:
    """A name that can match nothing would mask nothing."""
    with pytest.raises(ValueError, match="masking"):
        MaskingConfig(classification=(Classification("orders", obj, data_class),))


# ---------------------------------------------------------------- detectors over rows


def test_detectors_look_at_what_no_class_masks() -> None:
    """A find in an unclassified column is replaced; `masked` says by what."""
    service = masking(Detection())
    masker = service.masker(FakeRights(), TARGET, action("public.orders"))
    columns = (column("note", "orders/public.orders.note"), column("n", "orders/public.orders.n", inert=True))
    cells = Cells([b"mail ada@example.com", None, b"fine"], [b"1", b"2", b"3"])
    got, clear = masker.mask(Result(ResultKind.ROWS, columns, cells))
    assert got.rows.column(0) == [b"mail a***@e***.com", None, b"fine"]
    assert (dict(masker.masked), clear) == ({"note": "email detector: partial"}, False)


def test_a_batch_without_a_hit_is_never_decoded() -> None:
    """The prefilter alone looks at it, and the very result comes back."""
    masker = masking(Detection()).masker(FakeRights(), TARGET, action("public.orders"))
    result = Result(ResultKind.ROWS, (column("note"),), Cells([b"nothing to see"] * 3, haystack_only=True))
    assert masker.mask(result)[0] is result


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"mail": "ada@example.com", "n": [1, "x"]}', b'{"mail": "a***@e***.com", "n": [1, "x"]}'),
        (b'{"m": "say \\"ada@example.com\\" \\u00e9"}', '{"m": "say \\"a***@e***.com\\" é"}'.encode()),
        (b'{"ada@example.com": 1}', b'{"a***@e***.com": 1}'),
        (b'["4111 1111 1111 1111"]', b'["************1111"]'),
        (b'"ada@example.com"', b'"a***@e***.com"'),
        (b'{"card": 4111111111111111}', None),
        (b'{"m": "ada@example.com"', None),
        (b"{ada@example.com,b}", None),
        (b"4111111111111111", None),
        (b"<a>ada@example.com</a>", None),
        (b"[" * 5000 + b'"ada@example.com"' + b"]" * 5000, None),
        (b'["\\ud800 ada@example.com"]', None),
        (b'["' + b"x" * 1_100_000 + b' ada@example.com"]', None),
        (b'{"m": "nothing"}', b'{"m": "nothing"}'),
    ],
)
def test_finds_in_structured_values(value: bytes, shown: bytes | None) -> None:
    """JSON stays JSON where that can be seen; everything else is nulled."""
    columns = [column("doc", "orders/public.orders.doc", ValueKind.STRUCTURED)]
    got = run(masking(Detection()), columns, [[b'{"clean": 1}', value]], action("public.orders"))
    assert got == [[b'{"clean": 1}', shown]]


def test_finds_in_opaque_values_null_them() -> None:
    """Text in a binary value can be seen but not replaced."""
    columns = [column("b", "orders/public.orders.b", ValueKind.OPAQUE)]
    cell = b"\x01\x00\x00\x00\x00ada@example.com\x00"
    assert run(masking(Detection()), columns, [[cell, b"\x00\x01"]], action("public.orders")) == [[None, b"\x00\x01"]]


def test_a_detector_may_null_the_whole_value() -> None:
    """`null` has no piece to stand for."""
    service = masking(Detection({Detector.EMAIL: Transform.NULL, Detector.CARD: Transform.PARTIAL}))
    cells: list[bytes | None] = [b"x ada@example.com", b"4111111111111111", b"x"]
    assert run(service, [column("c")], [cells], action()) == [[None, b"************1111", b"x"]]


@pytest.mark.parametrize("size", [3, 70_000])
def test_cells_with_nul_bytes_and_large_batches_keep_their_places(size: int) -> None:
    """Joining cells to search them never moves one to another row."""
    filler = b"x" * size
    cells: list[bytes | None] = [
        None,
        b"a\0b",
        b"",
        filler,
        b"ada@example.com\0tail",
        filler,
        None,
        b"bob@example.com",
        b"",
    ]
    expected = [None, b"a\0b", b"", filler, b"a***@e***.com\0tail", filler, None, b"b***@e***.com", b""]
    assert run(masking(Detection()), [column("c")], [cells], action()) == [expected]


def test_who_may_see_a_class_is_not_stopped_by_a_detector() -> None:
    """An unmasked or kept column is left alone; a detector still looks at its neighbours."""
    columns = [column("email", EMAIL), column("note", "orders/public.customers.note")]
    got = run(masking(Detection()), columns, [ADA, ADA], rights=FakeRights({"pii.email"}))
    assert got == [ADA, ADA_PARTIAL]
    schema = masking(Detection(), classification=(Classification("orders", "public", "pii.email"),))
    assert run(schema, columns, [ADA, ADA], rights=FakeRights({"pii.email"})) == [ADA, ADA]
    lineage = action(
        "public.customers", outputs=(frozenset({EMAIL}), frozenset({EMAIL, "orders/public.customers.note"}))
    )
    got = run(masking(Detection()), [column("a"), column("b")], [ADA, ADA], lineage, FakeRights({"pii.email"}))
    assert got == [ADA, ADA_PARTIAL]


@pytest.mark.parametrize(
    ("charset", "text", "shown"),
    [
        ("latin-1", "é ada@example.com", "é a***@e***.com"),
        ("shift_jis", "ソ ada@example.com", "ソ a***@e***.com"),
        ("shift_jis", "ソ clean", "ソ clean"),
        ("utf-16-le", "ada@example.com", "a***@e***.com"),
    ],
)
def test_detectors_in_other_charsets(charset: str, text: str, shown: str) -> None:
    """Text is searched in its own charset, also where the prefilter can't see it."""
    columns = [column("c", charset=charset)]
    got = run(masking(Detection()), columns, [[text.encode(charset), None]], action())
    assert got == [[shown.encode(charset), None]]


def test_unsure_charsets_are_masked() -> None:
    """An unknown charset is nulled, bytes that do not decode are redacted."""
    assert run(masking(Detection()), [column("c", charset="klingon")], [[b"x", None]], action()) == [GONE]
    assert run(masking(Detection()), [column("c", charset="shift_jis")], [[b"\x81"]], action()) == [[b"[redacted]"]]


def test_targets_have_their_own_detectors() -> None:
    """A target's own list replaces the default one."""
    service = masking(
        Detection(), detection={"orders": Detection({Detector.CARD: Transform.REDACT})}, key=Secret(KEY.reveal())
    )
    got = run(service, [column("c")], [[b"ada@example.com 4111111111111111"]], action())
    assert got == [[b"ada@example.com [redacted]"]]


def test_the_shape_of_a_result_is_kept() -> None:
    """Columns keep their order, names and number; rows their number."""
    masker = masking(Detection()).masker(FakeRights(), TARGET, action("public.customers"))
    columns = (column("a", EMAIL), column("b"), column("c", "orders/public.orders.c"))
    got, _ = masker.mask(Result(ResultKind.ROWS, columns, Cells(ADA, ADA, ADA)))
    assert (got.columns, len(got.rows), got.kind) == (columns, 2, ResultKind.ROWS)


def test_a_prefilter_that_never_helps_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few batches in a row that pass it; what columns hold is found as before."""
    masker = masking(Detection()).masker(FakeRights(), TARGET, action("public.orders"))
    searched: list[Cells] = []

    def haystack(rows: Cells) -> bytes:
        searched.append(rows)
        return b"4111 1111 1111 1111"

    monkeypatch.setattr(Cells, "haystack", haystack)
    for _ in range(10):
        masked, _ = masker.mask(Result(ResultKind.ROWS, (column("note"),), Cells([b"4111 1111 1111 1111"])))
        assert masked.rows.column(0) != [b"4111 1111 1111 1111"]
    assert len(searched) == 4
