"""Does a WHERE clause limit anything? By form alone: `1 = 1` and `$1 = $2` are alike."""

from google.protobuf.message import Message

from ostiary.sql.nodes import unwrap

_AND = 1


def limits(clause: Message) -> bool:
    """False when the condition holds for every row, or may: no column in it, `x = x`, or one OR branch like that."""
    node = unwrap(clause)
    if node is None:
        return False
    match node.DESCRIPTOR.name:
        case "BoolExpr":
            verdicts = [limits(arg) for arg in node.args]
            boolop = node.boolop
            return any(verdicts) if boolop == _AND else all(verdicts)
        case "A_Expr":
            left, right = unwrap(node.lexpr), unwrap(node.rexpr)
            if left is not None and right is not None and _bare(left) == _bare(right):
                return False
        case _:
            pass
    return _has_column(node)


def _bare(node: Message) -> bytes:
    copy = type(node)()
    copy.CopyFrom(node)
    _forget_locations(copy)
    return bytes(copy.SerializeToString(deterministic=True))


def _forget_locations(node: Message) -> None:
    for field, value in node.ListFields():
        if field.name == "location":
            node.ClearField("location")
        elif field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                _forget_locations(child)


def _has_column(node: Message) -> bool:
    if node.DESCRIPTOR.name == "ColumnRef":
        return True
    if node.DESCRIPTOR.name == "SubLink":
        # A subquery of its own columns says nothing of this row unless the left side does.
        return node.HasField("testexpr") and _has_column(node.testexpr)
    for field, value in node.ListFields():
        if field.message_type is not None and any(
            _has_column(child) for child in (value if field.is_repeated else (value,))
        ):
            return True
    return False
