"""The schema without jsonschema: the same verdicts on every file and on every value that a field could hold."""

import copy
import json
import sys

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artc.artifact import loads
from artc.artifact.schema import ANNOTATIONS, KEYWORDS, schema_violations
from artc.artifact.validation import schema
from artc.errors import ArtifactError
from tests.golden.example import golden_document

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, -1.5, 2.0, 1e-9, 1.5, 10**7, "", "ve", "sha256:" + "a" * 64, "a" * 64, "1.0", "9.x"]),
    st.lists(st.sampled_from([0, 1, -1.0, "a", None]), max_size=3),
    st.dictionaries(st.sampled_from(["scale", "calls", "x"]), st.sampled_from([1, -1, "a"]), max_size=2),
)


def places(value, path=()):
    """Every place in a document, the document itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


PLACES = list(places(golden_document()))


def paths(document):
    """Where the two say that something is wrong."""
    ours = {path for path, _ in schema_violations(document, SCHEMA)}
    theirs = {error.json_path for error in VALIDATOR.iter_errors(document)}
    return ours, theirs


def changed(place, value=None, *, remove=False):
    document = copy.deepcopy(golden_document())
    at = document
    for key in place[:-1]:
        at = at[key]
    if remove:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return document


def test_the_schema_uses_no_keyword_that_is_not_run():
    def used(part, named=False):
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [] if named else [key]
                yield from used(value, not named and key in ("properties", "$defs"))
        elif isinstance(part, list):
            for item in part:
                yield from used(item)

    assert set(used(SCHEMA)) <= KEYWORDS | ANNOTATIONS


# On both sides of every limit, which few values of a document are on.
RULES = [
    ({"type": "integer"}, [1, 1.0, 1.5, True, "1", None]),
    ({"type": ["number", "null"]}, [1, 1.5, False, None, "a", []]),
    ({"type": "boolean"}, [True, 1, 0.0]),
    ({"minimum": 2}, [1.9, 2, 2.0, 3, True, "a"]),
    ({"maximum": 2}, [1, 2, 2.0, 2.1, "abc"]),
    ({"exclusiveMinimum": 2}, [1, 2, 2.0, 2.1, None]),
    ({"minLength": 2}, ["a", "ab", "abc", 1]),
    ({"maxLength": 2}, ["a", "ab", "abc", 3]),
    ({"minItems": 2}, [[1], [1, 1], [1, 1, 1], "a"]),
    ({"maxItems": 2}, [[1], [1, 1], [1, 1, 1], "abc"]),
    ({"pattern": "b+$"}, ["abb", "ba", 3]),
    ({"const": "a"}, ["a", "b", None]),
    ({"enum": ["a", "b"]}, ["a", "c", None, {}]),
    ({"required": ["a", "b"]}, [{"a": 1, "b": 1}, {"a": 1}, [], "a"]),
    ({"properties": {"a": {"type": "null"}}}, [{"a": None}, {"a": 1}, {"b": 1}, []]),
    ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, [{"a": 1}, {"b": 1}, {"b": None}]),
    ({"items": {"minimum": 2}}, [[2, 3], [1, 3, 1], 1, {"a": 1}]),
    ({"$ref": "#/$defs/low", "minimum": 2}, [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("rule", "values"), RULES, ids=lambda rule: str(rule)[:40])
def test_a_keyword_is_judged_as_jsonschema_judges_it(rule, values):
    rule = {**rule, "$defs": {"low": {"maximum": 3}}}
    verdicts = set()
    for value in values:
        ours = sorted(path for path, _ in schema_violations(value, rule))
        assert ours == sorted(error.json_path for error in jsonschema.Draft202012Validator(rule).iter_errors(value))
        verdicts.add(bool(ours))
    assert verdicts == {True, False}


def test_every_keyword_is_among_them():
    assert {key for rule, _ in RULES for key in rule} == KEYWORDS


def test_a_good_document_has_no_violations():
    assert paths(golden_document()) == (set(), set())


@given(st.sampled_from(PLACES), VALUES)
def test_a_changed_value_is_judged_as_jsonschema_judges_it(place, value):
    ours, theirs = paths(changed(place, value))
    assert ours == theirs


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_missing_field_is_judged_as_jsonschema_judges_it(place):
    ours, theirs = paths(changed(place, remove=True))
    assert ours == theirs


@pytest.mark.parametrize("document", [None, 3, "art-schedule", [], {}])
def test_something_else_is_no_artifact(document):
    ours, theirs = paths(document)
    assert ours == theirs == {"$"}


def test_reading_without_jsonschema_refuses_the_same(monkeypatch):
    bad = json.dumps(changed(("model", "domain"), "vp"))
    with pytest.raises(ArtifactError) as with_library:
        loads(bad)
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ArtifactError) as without:
        loads(bad)
    assert (without.value.code, without.value.path) == (with_library.value.code, with_library.value.path)
    assert without.value.code == "schema"
