"""Records to JSON and back: one small typed codec for every dataclass of the artifact.

The annotations of a record are its format. Each field is written under its own name, in the order of its declaration;
a number annotated `float` is written as a float even when Python holds an int or a NumPy scalar, so that a document is
the same however it was made. The field `extra` holds what the document has and the record does not know, fields of a
newer minor version, and is written back after the known fields. A field marked `optional` is left out where it is
None, and one marked `unwritten` always.

Decoding trusts its input: it runs after the schema and the checks of meaning.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from artc.errors import ArtifactError

Record = TypeVar("Record")

EXTRA = "extra"

_hints: Callable[[type], dict[str, Any]] = functools.cache(typing.get_type_hints)  # most of the time of a reading


def to_document(record: Any, path: str = "$") -> dict[str, Any]:
    """Return a record as plain JSON values: dict, list, str, int, float, bool and None.

    Raises ArtifactError for a value that JSON does not have, or an extra field that takes the name of a known one.
    """
    hints = fields_of(type(record))
    taken = hints.keys() & record.extra.keys()
    if taken:
        raise ArtifactError("extra", path, f"extra fields take the names of known ones: {', '.join(sorted(taken))}.")
    left_out = {name for name in optional_fields(type(record)) if getattr(record, name) is None}
    known = {
        name: _encode(getattr(record, name), hint, child(path, name))
        for name, hint in hints.items()
        if name not in left_out
    }
    return {**known, **_plain(record.extra, path)}


def from_document(kind: type[Record], document: Mapping[str, Any]) -> Record:
    """Build a record of `kind` from a document that the schema has accepted; unknown fields go to `extra`."""
    hints = fields_of(kind)
    optional = optional_fields(kind)
    known = {
        name: _decode(document[name], hint) for name, hint in hints.items() if name in document or name not in optional
    }
    extra = {name: value for name, value in document.items() if name not in hints}
    make: Callable[..., Record] = kind
    return make(**known, extra=extra)


def fields_of(kind: type) -> dict[str, Any]:
    """The fields that a record has in a document, in order, with their resolved annotations."""
    hints = _hints(kind)
    written = (field.name for field in dataclasses.fields(kind) if not field.metadata.get("unwritten"))
    return {name: hints[name] for name in written if name != EXTRA}


def optional_fields(kind: type) -> frozenset[str]:
    """The fields that a document leaves out where they are None."""
    return frozenset(field.name for field in dataclasses.fields(kind) if field.metadata.get("optional"))


def child(path: str, key: str | int) -> str:
    """Extend a JSON path by an object's field or an array's index."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]"


def _encode(value: Any, hint: Any, path: str) -> Any:
    hint = _not_none(hint)
    if value is None:
        return None
    if dataclasses.is_dataclass(hint):
        return to_document(value, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if arguments[0] is float:
            return list(map(float, value))
        return [_encode(item, arguments[0], child(path, k)) for k, item in enumerate(value)]
    if origin is Mapping:
        return {str(key): _encode(item, arguments[1], child(path, str(key))) for key, item in value.items()}
    if hint is float:
        return float(value)
    return _plain(value, path)


def _decode(value: Any, hint: Any) -> Any:
    hint = _not_none(hint)
    if value is None:
        return None
    if dataclasses.is_dataclass(hint):
        return from_document(typing.cast(type, hint), value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return (
            tuple(map(float, value)) if arguments[0] is float else tuple(_decode(item, arguments[0]) for item in value)
        )
    if origin is Mapping:
        return {key: _decode(item, arguments[1]) for key, item in value.items()}
    if hint in (float, int):  # JSON Schema takes 5.0 for an integer, and 80 for a number
        return hint(value)
    return value


def check_plain(value: Any) -> None:
    """Raise ArtifactError for a free-form value that no artifact could hold, such as an infinity."""
    from artc.artifact.canonical import ijson_defects

    for defect in ijson_defects(_plain(value, "$"), "$"):
        raise defect


def _plain(value: Any, path: str) -> Any:
    """A free-form value, such as a configuration, with NumPy scalars made plain and tuples made lists."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, child(path, str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, child(path, k)) for k, item in enumerate(value)]
    raise ArtifactError("value", path, f"JSON has no value for a {type(value).__name__}.")


def _not_none(hint: Any) -> Any:
    """`X | None` as X: None is None in every field that allows it."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(argument for argument in typing.get_args(hint) if argument is not type(None))
    return hint
