"""Arrays for `values`: elements are decoded, what is around them stays the bytes it came as."""

import re
import struct

from ostiary.core import ValueCodec

_Items = tuple[list[bytes], list[object | None]]

#: An element of the text format, quoted or not.
_ITEM = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^",{}\\]+)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_AROUND = re.compile(rb"[{},]*")
_NULL = b"\xff\xff\xff\xff"
#: Elements of one array.
_MAX_ITEMS = 65536


def text_array(element: ValueCodec) -> ValueCodec:
    """`{1,NULL,"a b"}` (Arrays, Array Input and Output Syntax)."""

    def decode(cell: bytes) -> _Items:
        # The bounds of the dimensions, where they don't begin with one, have no comma or brace in them.
        bounds, equals, body = cell.partition(b"=") if cell[:1] == b"[" else (b"", b"", cell)
        around: list[bytes] = []
        items: list[object | None] = []
        at = 0
        for found in _ITEM.finditer(body):
            between = body[at : found.start()]
            if _AROUND.fullmatch(between) is None or len(items) >= _MAX_ITEMS:
                raise ValueError("not an array")
            around.append(between)
            quoted, bare = found.groups()
            if quoted is not None:
                items.append(element.decode(_ESCAPED.sub(rb"\1", quoted)))
            else:
                items.append(None if bare == b"NULL" else element.decode(bare))
            at = found.end()
        around.append(body[at:])
        if _AROUND.fullmatch(around[-1]) is None or body[:1] != b"{" or body[-1:] != b"}":
            raise ValueError("not an array")
        around[0] = bounds + equals + around[0]
        return around, items

    def encode(value: _Items) -> bytes:
        around, items = value
        out = [around[0]]
        for item, after in zip(items, around[1:], strict=True):
            out += (b"NULL" if item is None else _quoted(element.encode(item)), after)
        return b"".join(out)

    return ValueCodec(element.datum, decode, encode, element.size, array=True)


def _quoted(cell: bytes) -> bytes:
    return b'"' + cell.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def binary_array(element: ValueCodec, oid: int) -> ValueCodec:
    """array_send: number of dimensions, whether there are nulls, type, each one's length and bound, elements."""

    def decode(cell: bytes) -> _Items:
        if len(cell) < 12:
            raise ValueError("not an array")
        dimensions, _, kind = struct.unpack_from("!iiI", cell)
        at = 12 + 8 * dimensions
        if not 0 <= dimensions <= 6 or kind != oid or len(cell) < at:
            raise ValueError("not an array")
        items: list[object | None] = []
        while at < len(cell):
            size = int.from_bytes(cell[at : at + 4], "big", signed=True)
            end = at + 4 + max(size, 0)
            if size < -1 or end > len(cell) or len(items) >= _MAX_ITEMS:
                raise ValueError("not an array")
            items.append(None if size < 0 else element.decode(cell[at + 4 : end]))
            at = end
        return [cell[: 12 + 8 * dimensions]], items

    def encode(value: _Items) -> bytes:
        (header,), items = value
        out = [header]
        for item in items:
            if item is None:
                out.append(_NULL)
            else:
                cell = element.encode(item)
                out += (len(cell).to_bytes(4, "big"), cell)
        return b"".join(out)

    return ValueCodec(element.datum, decode, encode, element.size, array=True)
