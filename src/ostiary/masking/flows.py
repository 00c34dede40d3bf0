"""Values of a class stay where they are of that class, unless policy lets them out."""

from collections.abc import Callable

from ostiary.core import Refusal, RefusalKind, Shape
from ostiary.core.naming import UNRESOLVED
from ostiary.masking.plan import MAX_SHAPES, Book


class Flows:
    """What the commands of one target would let out, remembered by shape."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._leaving: dict[Shape, tuple[tuple[str, str, str], ...]] = {}

    def forbidden(self, shape: Shape, may_declassify: Callable[[str], bool]) -> Refusal | None:
        """Why the command may not run; None when nothing leaves a class that must not."""
        for data_class, source, into in self._leaves(shape):
            if not may_declassify(data_class):
                return Refusal(
                    RefusalKind.POLICY,
                    f'denied: values of class "{data_class}" would be put where they have none: {source} into {into}',
                    f'classify {into} so, or ask for a rule that permits `declassify` on "{data_class}"',
                )
        return None

    def _leaves(self, shape: Shape) -> tuple[tuple[str, str, str], ...]:
        """(class, where from, where to), one for each class."""
        known = self._leaving.get(shape)
        if known is None:
            found: dict[str, tuple[str, str, str]] = {}
            if shape.moves is None:
                for data_class in self._book.masking:
                    found[data_class] = (data_class, "what can't be told", "what can't be told")
            for move in shape.moves or ():
                there = self._book.classes.of_all(name for name in move.into if f"/{UNRESOLVED}." not in name)
                for source in sorted(move.sources):
                    for data_class in (self._book.classes.touching(source) & self._book.masking) - there:
                        found.setdefault(data_class, (data_class, source, move.into[0]))
            known = tuple(found[name] for name in sorted(found))
            if len(self._leaving) >= MAX_SHAPES:
                del self._leaving[next(iter(self._leaving))]
            self._leaving[shape] = known
        return known
