"""Canonical JSON (RFC 8785) and the digest made from it.

Two documents with the same values have the same canonical bytes, however they are laid out: fields sorted by their
UTF-16 code units, no white space, strings with the fewest escapes, and numbers as ECMAScript prints them. Python and
ECMAScript agree on the digits of a float, the shortest that read back as the same number, and differ only in where they
put the point. The digest of an artifact is

    "sha256:" + hex(SHA-256(canonical JSON of the document without its fields "digest" and "created"))

so that the same run, made twice, has the same digest, whatever the clock said.

Not every JSON text has canonical bytes. RFC 8785 asks for I-JSON (RFC 7493): finite numbers, integers that a float64
holds exactly, text without lone surrogates, no field twice. `ijson_defects` finds what is not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from artc.artifact.codec import child
from artc.errors import ArtifactError

OUTSIDE_DIGEST = frozenset({"digest", "created"})

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 64


class RepeatedField(dict[str, Any]):
    """An object whose text has a field twice: kept by the parser until its path is known."""

    name = ""


def digest(document: Mapping[str, Any]) -> str:
    """Digest of an artifact's document, such as "sha256:9f86..."; raises what `canonical` raises."""
    content = {name: value for name, value in document.items() if name not in OUTSIDE_DIGEST}
    return "sha256:" + hashlib.sha256(canonical(content)).hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical UTF-8 bytes of plain JSON values (RFC 8785); raises ArtifactError for what is not I-JSON."""
    for defect in ijson_defects(value):
        raise defect
    return _text(value).encode()


def ijson_defects(value: Any, path: str = "$", depth: int = 0) -> Iterator[ArtifactError]:
    """Every value that I-JSON cannot carry, each with its own code and JSON path, in document order."""
    if depth > MAX_DEPTH:
        yield ArtifactError("nesting", path, f"nested more than {MAX_DEPTH} deep.")
    elif isinstance(value, dict):
        if isinstance(value, RepeatedField):
            yield ArtifactError("duplicate-key", child(path, value.name), "the field is there twice.")
        for key, item in value.items():
            yield from _string_defects(key, path)
            yield from ijson_defects(item, child(path, key), depth + 1)
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from ijson_defects(item, child(path, k), depth + 1)
    elif isinstance(value, str):
        yield from _string_defects(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield ArtifactError("non-finite", path, f"{value} is not a number that JSON has.")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        yield ArtifactError("integer", path, "an integer beyond 2**53 - 1, which other readers would round.")


def _string_defects(text: str, path: str) -> Iterator[ArtifactError]:
    if not text.isascii() and any("\ud800" <= mark <= "\udfff" for mark in text):
        yield ArtifactError("surrogate", path, "text with half a surrogate pair is not Unicode.")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        fields = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    # Strings, integers, true, false and null: here Python writes what ECMAScript writes.
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A float as ECMAScript's Number::toString writes it (ECMA-262, 6.1.6.1.20)."""
    if value == 0:
        return "0"  # also for -0
    shortest = float.__repr__(value)
    if "e" not in shortest:  # from 0.0001 up to 1e16 the two agree but for a whole number's ".0"
        return shortest.removesuffix(".0")
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.DIGITS * 10**point, with DIGITS free of zeros at either end.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
