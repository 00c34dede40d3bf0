"""Hostile names of objects: what looks like a permitted one is not, and what is forbidden stays so."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostiary.core import Access, Action, Operation, Shape, Verdict, naming
from ostiary.policy import CedarPolicy
from tests.policy.kit import SOURCE, TARGET, Write, decide, does, who

CUSTOMERS = 'permit(principal, action, resource in Object::"orders/public.customers");'
ALL_BUT_SECRET = (
    'permit(principal, action, resource in Target::"orders");'
    'forbid(principal, action, resource in Object::"orders/secret");'
    '@approval("dba") forbid(principal, action, resource == Object::"orders/public.orders");'
)


def read(policy: CedarPolicy, resource: str) -> Verdict:
    """The verdict on reading an object by its full name."""
    shape = Shape((Access(Operation.READ, resource),), "s", {"has_where": True, "dynamic": False})
    return policy.rights(who("g"), TARGET, SOURCE).decide(Action(shape, "")).verdict


def test_hierarchy(under: Write) -> None:
    """A permit reaches down, not up and not aside."""
    policy = under(CUSTOMERS)
    assert read(policy, "orders/public.customers") is Verdict.ALLOW
    assert read(policy, "orders/public.customers.email") is Verdict.ALLOW
    for other in ("orders", "orders/public", "orders/public.orders", "orders/customers", "orders/other.customers"):
        assert read(policy, other) is Verdict.DENY


@pytest.mark.parametrize(
    "resource",
    [
        'orders/"public.customers".x',
        'orders/public."customers.x"',
        'orders/public."customers"',
        'orders/"public".customers',
        'orders/public."customers".email',
        "orders/public.customers/x",
        "orders/public/customers",
        "orders/public.customers.",
        "orders/public.customers..email",
        "orders/.public.customers",
        "orders/ public.customers",
        "orders/public.customers ",
        "orders/public.customers\0",
        "orders/public.customers\n",
        "orders/Public.Customers",
        "orders/public.\u0441ustomers",  # Cyrillic
        "orders/public.customers\u200b",
        "orders/public.customer\u017f",  # long s
        "Orders/public.customers",
        "orders//public.customers",
        "orders/orders/public.customers",
        "other/public.customers",
        "public.customers",
        "",
        "orders/",
        'orders/public.customers"',
        'orders/") || true || resource in Object::"orders/public.customers',
        'orders/public.customers", "parents": [{"type": "Object", "id": "orders/public.customers"}], "x": "',
        "orders/__entity",
        "orders/__proto__.customers",
        "orders/?.customers",
        "orders/" + "a" * 10_000,
        "orders/public.customers." + "a" * 10_000,
        "orders/public.customers" + ".a" * 40,
        "orders/public.customers.\ud800",
    ],
)
def test_look_alikes_are_not_permitted(under: Write, resource: str) -> None:
    """Quotes, dots, slashes, JSON, look-alikes and lengths do not lead into a permitted object."""
    assert read(under(CUSTOMERS), resource) is Verdict.DENY


@pytest.mark.parametrize(
    "name", ['public."odd.name"', 'public."a/b"', 'public."a""b"', "__proto__.x", "public.\u0441", 'public."?"']
)
def test_odd_names_can_be_permitted(under: Write, name: str) -> None:
    """A policy writes an odd name as it is, with the quotes escaped for Cedar."""
    escaped = name.replace('"', '\\"')
    policy = under(f'permit(principal, action, resource in Object::"orders/{escaped}");')
    assert read(policy, f"orders/{name}") is Verdict.ALLOW
    assert read(policy, f"orders/{name}.c") is Verdict.ALLOW
    assert read(policy, "orders/public.name") is Verdict.DENY


def test_a_forbid_reaches_everything_below(under: Write) -> None:
    """No spelling of a thing in a forbidden schema gets out of it."""
    policy = under(ALL_BUT_SECRET)
    for parts in [
        ("secret",),
        ("secret", "t"),
        ("secret", "a.b"),
        ("secret", "a/b"),
        ("secret", 'a"b', "c"),
        ("secret", ""),
    ]:
        assert read(policy, f"orders/{naming.join(*parts)}") is Verdict.DENY
    assert read(policy, "orders/" + naming.join("secret.t", "x")) is Verdict.ALLOW


def test_unresolved_names(under: Write) -> None:
    """`?.t` may be a table of any schema: only the target's permit covers it, and every schema's forbid does."""
    assert read(under('permit(principal, action, resource in Object::"orders/public");'), "orders/?.t") is Verdict.DENY
    assert read(under('permit(principal, action, resource in Target::"orders");'), "orders/?.t") is Verdict.ALLOW
    policy = under(ALL_BUT_SECRET)
    assert read(policy, "orders/?.t") is Verdict.DENY
    one = 'permit(principal, action, resource in Target::"orders");'
    held = '@approval("dba") forbid(principal, action == Action::"read", resource == Object::"orders/public.orders");'
    quoted = 'forbid(principal, action, resource == Object::"orders/\\"odd.schema\\".x");'
    elsewhere = 'forbid(principal, action, resource == Object::"other/public.z");'
    policy = under(one + held + quoted + elsewhere)
    assert read(policy, "orders/?.orders") is Verdict.HOLD
    assert read(policy, "orders/?.x") is Verdict.DENY
    assert read(policy, "orders/?.z") is Verdict.ALLOW
    assert read(policy, "orders/?.customers") is Verdict.ALLOW
    assert decide(policy, does("delete ?.orders")).verdict is Verdict.ALLOW


def test_sentences_show_hostile_names_harmlessly(under: Write) -> None:
    """A reason is one printable, bounded line."""
    policy = under(CUSTOMERS)
    for name in ("a\nb", "a\x1b[2J", "\u202eabc", "x" * 900, "x" * 9000):
        reason = decide(policy, does(f"read {name}")).reason
        assert reason.isprintable()
        assert len(reason) < 700


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from('ab."/?'), max_size=4), min_size=1, max_size=3))
def test_permitted_is_what_begins_alike(under: Write, parts: list[str]) -> None:
    """A permit on schema `a` covers exactly the things whose outermost part is `a`."""
    policy = under('permit(principal, action, resource in Object::"orders/a");')
    expected = Verdict.ALLOW if parts[0] == "a" else Verdict.DENY
    assert read(policy, f"orders/{naming.join(*parts)}") is expected
