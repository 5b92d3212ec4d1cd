"""The normative schema cannot drift from the code, nor the README from the schema."""

import dataclasses
import importlib.resources
import re
import typing
from typing import Any

import jsonschema
import pytest

from artc.artifact import BUDGETS, Artifact, codec, types
from artc.artifact.rules import FORMAT, FORMAT_VERSION, FROM_WARP
from artc.artifact.validation import schema
from artc.artifact.warp import Warp
from tests.golden.example import golden_document

SCHEMA = schema()
README = importlib.resources.files("artc.schemas").joinpath("README.md").read_text(encoding="utf-8")
RECORDS = {
    "model": types.ModelInfo,
    "guidance": types.Guidance,
    "schedule": types.Schedule,
    "certificate": types.Certificate,
    "evaluation": types.Evaluation,
    "warp": Warp,
    "stiffness": types.Stiffness,
    "policy": types.Policy,
    "provenance": types.Provenance,
    "created": types.Created,
}
OBJECTS = {"artifact": (SCHEMA, Artifact)} | {name: (SCHEMA["$defs"][name], kind) for name, kind in RECORDS.items()}


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_record_is_in_the_schema():
    declared = {kind for kind in vars(types).values() if dataclasses.is_dataclass(kind)}
    assert declared | {Warp} == set(RECORDS.values())


@pytest.mark.parametrize("name", OBJECTS)
def test_a_record_and_its_schema_have_the_same_fields_in_the_same_order(name):
    part, kind = OBJECTS[name]
    fields = list(codec.fields_of(kind))
    assert list(part["properties"]) == fields
    # The document states every field, also those that Python lets you leave out, but for those marked optional.
    optional = codec.optional_fields(kind)
    assert part["required"] == [field for field in fields if field not in optional]
    assert "extra" in {field.name for field in dataclasses.fields(kind)}
    assert "additionalProperties" not in part


@pytest.mark.parametrize("name", OBJECTS)
def test_a_field_may_be_null_exactly_when_its_annotation_says_so(name):
    part, kind = OBJECTS[name]
    for field, hint in codec.fields_of(kind).items():
        optional = type(None) in typing.get_args(hint)
        assert ("null" in _types(part["properties"][field])) == optional, field


@pytest.mark.parametrize("name", OBJECTS)
def test_a_field_has_the_json_type_of_its_annotation(name):
    part, kind = OBJECTS[name]
    for field, hint in codec.fields_of(kind).items():
        property_schema = part["properties"][field]
        inner = codec._not_none(hint)
        if typing.get_origin(inner) is typing.Literal:
            assert property_schema["enum"] == list(typing.get_args(inner)), field
        elif field != "format":
            assert _types(property_schema) - {"null"} == {_json_type(inner)}, field


def test_every_field_has_a_description():
    for name, (part, _) in OBJECTS.items():
        for field, property_schema in part["properties"].items():
            assert "description" in _resolved(property_schema), (name, field)
            assert "title" in _resolved(property_schema), (name, field)


def test_format_and_version_are_those_of_the_code():
    assert SCHEMA["properties"]["format"]["const"] == FORMAT
    pattern = SCHEMA["properties"]["format_version"]["pattern"]
    assert re.search(pattern, FORMAT_VERSION)
    assert re.search(pattern, "1.17")
    assert not re.search(pattern, "2.0")


def test_origins_from_the_warp_are_origins():
    assert set(typing.get_args(types.Origin)) > FROM_WARP


def test_the_readme_names_every_field_origin_and_solver():
    words = set(re.findall(r"`([^`\n]+)`", README))
    for part, _ in OBJECTS.values():
        assert set(part["properties"]) <= words
    assert {*typing.get_args(types.Origin), *typing.get_args(types.StiffnessMethod), *BUDGETS} <= words


def test_the_golden_document_passes_and_loses_no_field_unnoticed():
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(golden_document())
    for field in SCHEMA["required"]:
        document = golden_document()
        del document[field]
        assert [error.validator for error in validator.iter_errors(document)] == ["required"]


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    return {**_resolved(SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")]), **part}


def _types(part: dict[str, Any]) -> set[str]:
    found = _resolved(part).get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _json_type(hint: Any) -> str:
    if hint in (str, float, int):
        return {str: "string", float: "number", int: "integer"}[hint]
    return "array" if typing.get_origin(hint) is tuple else "object"
