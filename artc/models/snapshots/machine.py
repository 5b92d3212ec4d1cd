"""A pickle machine that cannot run anything: opcodes build plain values and inert records, in one pass.

A pickle is a program for a stack machine. Three kinds of its opcodes reach for code: GLOBAL and STACK_GLOBAL name an
object of some module, REDUCE and NEWOBJ call it, BUILD sets its attributes. Python's own machine resolves the name by
importing it. A filter in front of that, a scan of the opcodes or an overridden `find_class`, is a second reader, and
attacks on such filters live where the two read one file differently. Here there is one reader, without any import,
getattr or call of what the file names:

* a name is looked up in a table, and one that is not there ends the reading, by name;
* REDUCE, NEWOBJ and BUILD reach only functions of ours that the table holds, which make inert records;
* an opcode that EDM's files do not use ends the reading: extensions, INST, OBJ, and two dozen others;
* byte strings of any length are not read: a `Span` says where they lie.

What the machine spends is bounded too: by instructions, by text, by open marks, by items on the stack. An instruction
costs no more for a value that the file refers to again and again, so that the time is linear in the instructions; the
functions of the table keep to that. Keys and members of sets are text or integers, because hashing a tuple that is
nested a million deep crashes Python.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from artc.errors import InputError
from artc.models.snapshots.source import Source, text

MAX_INSTRUCTIONS = 300_000  # about 150 for each tensor, of which the published networks have up to 600
MAX_TEXT = 16_000_000  # bytes; the source text of a network has some 40,000
MAX_MARKS = 200  # networks are about 30 deep
MAX_STACK = 20_000  # pickle fills a container in batches of 1,000
MAX_INTEGER = 16  # bytes
SHORT = 16  # bytes: the longest byte string that is read at once


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Global:
    """A name that a file may use, and the functions of ours that stand in for it: of REDUCE, of NEWOBJ."""

    name: str
    call: Callable[[tuple[object, ...]], object] | None = None
    new: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of pickle may contain, how much of it, and what BUILD and persistent ids do there."""

    protocols: tuple[int, ...]
    names: Mapping[str, Global]
    instructions: int = MAX_INSTRUCTIONS
    build: Callable[[object, object], None] | None = None
    persistent: Callable[[object], object] | None = None


def read_pickle(source: Source, dialect: Dialect) -> object:
    """The value of the pickle that starts at the source's position, made of plain values and the dialect's records.

    Nothing that the file names is imported or called. Raises InputError, and nothing else, for bytes that are no pickle
    of the dialect; the sentence names what is wrong.
    """
    machine = _Machine(source, dialect)
    try:
        return machine.run()
    except IndexError:  # of the stack; nothing else is indexed
        raise InputError("takes a value where its instructions have put none; it is damaged.") from None


def shown(name: str) -> str:
    """A name out of the file, fit for a terminal."""
    return name if name.isascii() and name.isprintable() and len(name) <= 120 else ascii(name[:120])


class _Machine:
    __slots__ = ("below", "dialect", "memo", "source", "stack", "text_left")

    def __init__(self, source: Source, dialect: Dialect) -> None:
        self.source = source
        self.dialect = dialect
        self.stack: list[object] = []
        self.below: list[list[object]] = []  # the stacks under each open mark
        self.memo: dict[int, object] = {}
        self.text_left = MAX_TEXT

    def run(self) -> object:
        header = self.source.take(2)
        if header[0] != 0x80 or header[1] not in self.dialect.protocols:
            raise InputError(f"is no pickle of protocol {' or '.join(map(str, self.dialect.protocols))}.")
        read = self.source.stream.read
        for _ in range(self.dialect.instructions):
            code = read(1)
            instruction = _INSTRUCTIONS.get(code)
            if instruction is not None:
                instruction(self)
            elif code == b".":
                return self.stop()
            elif code:
                raise InputError(f"uses the pickle instruction {_opcode(code)}, which artc never follows.")
            else:
                raise InputError("ends before its last instruction; it was cut short.")
        raise InputError(
            f"has more than {self.dialect.instructions} pickle instructions in a row; EDM models have fewer."
        )

    def stop(self) -> object:
        value = self.stack.pop()
        if self.stack or self.below:
            raise InputError("leaves values behind when it ends; it is damaged.")
        return value

    def push(self, value: object) -> None:
        self.stack.append(value)
        if len(self.stack) > MAX_STACK:
            raise InputError(f"is nested too deeply: more than {MAX_STACK} values are waiting to be put somewhere.")

    def frame(self) -> None:
        if self.source.number(8) > self.source.left:
            raise InputError("ends inside a frame; it was cut short.")

    def mark(self) -> None:
        if len(self.below) == MAX_MARKS:
            raise InputError(f"is nested too deeply: more than {MAX_MARKS} levels.")
        self.below.append(self.stack)
        self.stack = []

    def items(self) -> list[object]:
        """Close the last mark and take what came after it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def string(self, width: int) -> None:
        length = self.source.number(width)
        self.text_left -= length
        if self.text_left < 0:
            raise InputError(f"holds more than {MAX_TEXT} bytes of text, which no EDM model does.")
        self.push(text(self.source.take(length)))

    def octets(self, width: int) -> None:
        length = self.source.number(width)
        self.push(self.source.take(length) if length <= SHORT else self.source.skip(length))

    def integer(self) -> None:
        length = self.source.number(1)
        if length > MAX_INTEGER:
            raise InputError(f"holds an integer of {length} bytes, which no EDM model does.")
        self.push(int.from_bytes(self.source.take(length), "little", signed=True))

    def extend(self, values: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise InputError(f"appends to {_kind(target)}, not to a list.")
        target.extend(values)

    def update(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise InputError(f"sets items of {_kind(target)}, not of a dictionary.")
        if len(items) % 2:
            raise InputError("sets an item without a value; it is damaged.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def add(self) -> None:
        members = self.items()
        target = self.stack[-1]
        if type(target) is not set:
            raise InputError(f"adds members to {_kind(target)}, not to a set.")
        target.update(map(checked_key, members))

    def tuple_of(self, count: int) -> None:
        values = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise InputError("recalls a value that it never stored; it is damaged.")
        self.push(self.memo[index])

    def find(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise InputError("looks for code under a name that is no text, which artc never does.")
        known = self.dialect.names.get(f"{module}.{name}")
        if known is None:
            raise InputError(
                f"asks for {shown(f'{module}.{name}')}, which artc never runs.",
                hint="Nothing was run. Take models only from a source that you trust.",
            )
        self.push(known)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def reduce(self) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if type(target) is not Global or target.call is None or type(arguments) is not tuple:
            raise InputError(f"calls {_kind(target)}, which artc never does.")
        self.push(target.call(arguments))

    def new(self) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if type(target) is not Global or target.new is None or arguments != ():
            raise InputError(f"makes an object of {_kind(target)}, which artc never does.")
        self.push(target.new())

    def build(self) -> None:
        state = self.stack.pop()
        if self.dialect.build is None:
            raise InputError("sets attributes, which artc never does here.")
        self.dialect.build(self.stack[-1], state)

    def persistent(self) -> None:
        if self.dialect.persistent is None:
            raise InputError("uses the pickle instruction BINPERSID, which artc never follows.")
        self.push(self.dialect.persistent(self.stack.pop()))


def checked_key(key: object) -> str | int:
    """A key of a dictionary or a member of a set; raises InputError unless it is text or an integer."""
    if type(key) is str or type(key) is int:
        return key
    raise InputError(f"uses {_kind(key)} as a key, which no EDM model does.")


def _kind(value: object) -> str:
    if type(value) is Global:
        return shown(value.name)
    return f"a value of type {type(value).__name__.lstrip('_')}"


def _opcode(code: bytes) -> str:
    known = (opcode.name for opcode in pickletools.opcodes if opcode.code == code.decode("latin-1"))
    return next(known, f"0x{code.hex()}")


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.source.number(1)),
    b"M": lambda m: m.push(m.source.number(2)),
    b"J": lambda m: m.push(*struct.unpack("<i", m.source.take(4))),
    b"\x8a": _Machine.integer,
    b"G": lambda m: m.push(*struct.unpack(">d", m.source.take(8))),
    b"\x8c": lambda m: m.string(1),
    b"X": lambda m: m.string(4),
    b"C": lambda m: m.octets(1),
    b"B": lambda m: m.octets(4),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.items()),
    b"}": lambda m: m.push({}),
    b"s": _Machine.setitem,
    b"u": lambda m: m.update(m.items()),
    b"\x8f": lambda m: m.push(set()),
    b"\x90": _Machine.add,
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": lambda m: m.push(tuple(m.items())),
    b"q": lambda m: m.put(m.source.number(1)),
    b"r": lambda m: m.put(m.source.number(4)),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": lambda m: m.get(m.source.number(1)),
    b"j": lambda m: m.get(m.source.number(4)),
    b"c": lambda m: m.find(m.source.line(), m.source.line()),
    b"\x93": _Machine.stack_global,
    b"R": _Machine.reduce,
    b"\x81": _Machine.new,
    b"b": _Machine.build,
    b"Q": _Machine.persistent,
}
