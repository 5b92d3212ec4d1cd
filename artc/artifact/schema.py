"""The part of JSON Schema (draft 2020-12) that the schema of an artifact uses, on plain JSON values.

Artifacts are read inside programs to which artc may not bring a library; ComfyUI has no jsonschema. These few lines
run the same normative schema there. `tests/test_schema_subset.py` holds them to jsonschema, verdict for verdict, and
refuses a schema with a keyword that is not in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from artc.artifact.codec import child

Violation = tuple[str, str]
"""A JSON path and what is wrong there."""

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}

LIMITS: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda value: value, lambda value, limit: value >= limit, "is less than the minimum of"),
    "maximum": ("number", lambda value: value, lambda value, limit: value <= limit, "is greater than the maximum of"),
    "exclusiveMinimum": ("number", lambda value: value, lambda value, limit: value > limit, "is not greater than"),
    "minLength": ("string", len, lambda value, limit: value >= limit, "is shorter than"),
    "maxLength": ("string", len, lambda value, limit: value <= limit, "is longer than"),
    "minItems": ("array", len, lambda value, limit: value >= limit, "has fewer items than"),
    "maxItems": ("array", len, lambda value, limit: value <= limit, "has more items than"),
}
"""Keyword: the type it speaks of, what of a value it measures, when that is right, and how to say that it is not."""

KEYWORDS = {
    *LIMITS,
    "$ref",
    "type",
    "const",
    "enum",
    "pattern",
    "required",
    "properties",
    "items",
    "additionalProperties",
}
ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}


def schema_violations(value: Any, schema: Mapping[str, Any]) -> Iterator[Violation]:
    """Everything in which a document differs from a schema that uses no other keywords than `KEYWORDS`."""
    return _violations(value, schema, "$", schema["$defs"])


def _violations(value: Any, schema: Mapping[str, Any], path: str, defs: Mapping[str, Any]) -> Iterator[Violation]:
    if "$ref" in schema:
        yield from _violations(value, defs[schema["$ref"].removeprefix("#/$defs/")], path, defs)
    if "type" in schema:
        allowed = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(TYPES[name](value) for name in allowed):
            yield path, f"{value!r} is not of type {' or '.join(allowed)}"
    if "const" in schema and value != schema["const"]:
        yield path, f"{schema['const']!r} was expected"
    if "enum" in schema and value not in schema["enum"]:
        yield path, f"{value!r} is not one of {schema['enum']!r}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield path, f"{value!r} does not match {schema['pattern']!r}"
    for keyword, (kind, measure, holds, words) in LIMITS.items():
        if keyword in schema and TYPES[kind](value) and not holds(measure(value), schema[keyword]):
            yield path, f"{value!r} {words} {schema[keyword]!r}"
    if isinstance(value, dict):
        yield from _object_violations(value, schema, path, defs)
    elif isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            yield from _violations(item, schema["items"], child(path, place), defs)


def _object_violations(
    value: Mapping[str, Any], schema: Mapping[str, Any], path: str, defs: Mapping[str, Any]
) -> Iterator[Violation]:
    for name in schema.get("required", ()):
        if name not in value:
            yield path, f"{name!r} is a required property"
    known = schema.get("properties", {})
    for name, item in value.items():
        rule = known.get(name, schema.get("additionalProperties"))
        if rule is not None:
            yield from _violations(item, rule, child(path, name), defs)
