"""The bytes of an untrusted file, read forwards; long payloads are noted and passed over."""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedIOBase

from artc.errors import InputError

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that a file holds and that nobody has read yet."""

    start: int
    length: int


class Source:
    """A stream of known size that never reads, and never allocates, more than it holds."""

    def __init__(self, stream: BufferedIOBase, size: int) -> None:
        self.stream = stream
        self.size = size

    @property
    def position(self) -> int:
        """Where the next byte is read."""
        return self.stream.tell()

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return self.size - self.stream.tell()

    def take(self, count: int) -> bytes:
        """The next `count` bytes; raises InputError when the file ends before."""
        if count > 16 and count > self.left:
            raise _ends_early()
        data = self.stream.read(count)
        if len(data) != count:
            raise _ends_early()
        return data

    def number(self, width: int) -> int:
        """The next `width` bytes as an unsigned little-endian integer; raises InputError when the file ends before."""
        return int.from_bytes(self.take(width), "little")

    def skip(self, length: int) -> Span:
        """Pass over `length` bytes without reading them; raises InputError when the file ends before."""
        if length > self.left:
            raise InputError(f"declares {length} bytes where {self.left} are left; it was cut short or damaged.")
        span = Span(self.position, length)
        self.stream.seek(length, 1)
        return span

    def line(self) -> str:
        """The next line without its end; raises InputError for one that is long, cut short or no UTF-8."""
        data = self.stream.readline(MAX_NAME)
        if not data.endswith(b"\n"):
            raise InputError("holds a name that is cut short or far too long.")
        return text(data[:-1])

    def at(self, span: Span, limit: int) -> bytes:
        """The first `limit` bytes of a span, or all of it; the position stays."""
        position = self.stream.tell()
        self.stream.seek(span.start)
        data = self.take(min(span.length, limit))
        self.stream.seek(position)
        return data


def text(data: bytes) -> str:
    """Bytes as UTF-8; raises InputError where they are not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError("holds text that is not UTF-8; it is damaged.") from None


def _ends_early() -> InputError:
    return InputError("ends in the middle of its data; it was cut short.")
