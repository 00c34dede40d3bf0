"""The masking service: `gate.ports.Masking` over a configuration that is replaced as a whole."""

from collections import OrderedDict

from ostiary.core import Action, Parameter, Refusal, Shape, Target
from ostiary.gate.ports import Rights
from ostiary.masking.classes import ClassMap
from ostiary.masking.flows import Flows
from ostiary.masking.model import MaskingConfig
from ostiary.masking.plan import Book, Masker
from ostiary.masking.scan import Scanner
from ostiary.masking.transforms import Transforms

MASKED = "[masked]"
#: Characters of a bind value, and bind values, that records and approvers are shown.
MAX_VALUE = 512
MAX_VALUES = 256
_KEPT_TEXTS = 1024
_MAX_KEPT_TEXT = 8192


class ColumnMasking:
    """Masks by class and by detector. Raises ValueError when a transform lacks what it needs (see MaskingConfig)."""

    def __init__(self, config: MaskingConfig) -> None:
        #: In force.
        self.config = config
        #: Grows with the configuration; answers change with the rights, too.
        self.version = 1
        self._books: dict[str, Book] = {}
        self._flows: dict[str, Flows] = {}
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()

    def adopt(self, config: MaskingConfig) -> bool:
        """Put another configuration into force; False when it is the same. Maskers made before keep to theirs."""
        if config == self.config:
            return False
        self.config = config
        self._books = {}
        self._flows = {}
        self._texts.clear()
        self.version += 1
        return True

    def _book(self, target: str) -> Book:
        book = self._books.get(target)
        if book is None:
            config = self.config
            transforms = Transforms(target, config.key)
            scanner = Scanner(config.detection.get(target, config.default_detection), transforms)
            book = Book(ClassMap(target, config.classification), config.rules, transforms, scanner)
            self._books[target] = book
        return book

    def required(self, target: Target) -> bool:
        """True when the target has a class that masks, or a detector."""
        book = self._book(target.name)
        return bool(book.masking) or book.scanner.on

    def masker(self, rights: Rights, target: Target, action: Action) -> Masker:
        """A masker for the results of one action."""
        return Masker(self._book(target.name), rights.may_unmask, action)

    def forbidden(self, rights: Rights, target: Target, shape: Shape) -> Refusal | None:
        """See `gate.ports.Masking`."""
        flows = self._flows.get(target.name)
        if flows is None:
            flows = self._flows[target.name] = Flows(self._book(target.name))
        return flows.forbidden(shape, rights.may_declassify)

    def parameters(self, target: Target, action: Action) -> tuple[str | None, ...]:
        """Bind values as text; nobody's rights lift anything here: records outlive who made them.

        A value that may belong to a classified column is `[masked]`. What is known of it decides, best first: the
        columns it meets (`Shape.inputs`), else everything the command touches.
        """
        book = self._book(target.name)
        parameters = action.parameters
        shown: list[str | None] = []
        for parameter, meets in zip(parameters[:MAX_VALUES], book.inputs(action.shape, len(parameters)), strict=False):
            if parameter.value is None:
                shown.append(None)
            elif meets.classified and not (parameter.inert and meets.text_only):
                shown.append(MASKED)
            else:
                shown.append(_shown(book.scanner, parameter, parameter.value))
        if len(parameters) > MAX_VALUES:
            shown.append(f"({len(parameters) - MAX_VALUES} more)")
        return tuple(shown)

    def text(self, target: Target, text: str) -> str:
        """A statement's text with what the detectors found replaced. Recent texts are remembered."""
        key = (target.name, text)
        known = self._texts.get(key)
        if known is not None:
            return known
        book = self._book(target.name)
        data = text.encode("utf-8", "replace")
        new, label = book.scanner.text(data)
        shown = new.decode("utf-8", "replace") if label else text
        if len(text) <= _MAX_KEPT_TEXT:
            self._texts[key] = shown
            if len(self._texts) > _KEPT_TEXTS:
                self._texts.popitem(last=False)
        return shown


def _shown(scanner: Scanner, parameter: Parameter, value: bytes) -> str:
    if parameter.binary and parameter.inert:
        return f"0x{value[:64].hex()}"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"(binary, {len(value)} bytes)"
    if parameter.binary and not text.replace("\n", " ").replace("\t", " ").isprintable():
        return f"(binary, {len(value)} bytes)"
    # Masked before it is cut: half a card number is not found.
    text = scanner.text(value)[0].decode("utf-8", "replace")
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}… ({len(value)} bytes)"
