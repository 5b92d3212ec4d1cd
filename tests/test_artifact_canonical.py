import hashlib
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact.canonical import canonical, digest
from artc.errors import ArtifactError
from tests.golden.example import GOLDEN, example, golden_document

unhurried = settings(deadline=None)  # a busy machine is no defect

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("bits", "text"),
    # RFC 8785, appendix B: IEEE 754 bits and their text.
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_of_the_rfc(bits, text):
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_the_example_of_the_rfc():
    # RFC 8785, section 3.2: input and canonical output.
    document = json.loads(
        r"""{
          "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
          "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
          "literals": [null, true, false]
        }"""
    )
    wanted = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}'
    )
    assert canonical(document) == wanted.encode()


def test_fields_are_sorted_by_utf16_code_units():
    # RFC 8785, section 3.2.3: the emoji's surrogates, d83d, come before fb33, though its code point is larger.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(keys)))) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"
    ]  # fmt: skip


@unhurried
@given(VALUES)
def test_canonical_json_equals_the_reference_implementation(value):
    rfc8785 = pytest.importorskip("rfc8785")
    assert canonical(value) == rfc8785.dumps(value)


@unhurried
@given(VALUES)
def test_canonical_json_keeps_the_values(value):
    # Floats past 2**53 are printed as integers with the shortest digits; JSON has one kind of number.
    assert json.loads(canonical(value), parse_int=float) == json.loads(json.dumps(value), parse_int=float)


@pytest.mark.parametrize(
    ("value", "code", "path"),
    [
        ({"a": [1.0, float("nan")]}, "non-finite", "$.a[1]"),
        ({"a": float("-inf")}, "non-finite", "$.a"),
        ([2**53], "integer", "$[0]"),
        ([-(2**53)], "integer", "$[0]"),
        ({"a b": "\ud800"}, "surrogate", "$['a b']"),
        ({"a": {"\udfff": 1}}, "surrogate", "$.a"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_path(value, code, path):
    with pytest.raises(ArtifactError) as caught:
        canonical(value)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_the_largest_integers_are_carried():
    assert canonical([SAFE, -SAFE]) == b"[9007199254740991,-9007199254740991]"


def test_the_golden_digest_as_the_readme_computes_it():
    rfc8785 = pytest.importorskip("rfc8785")
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    content = {name: value for name, value in document.items() if name not in ("digest", "created")}
    assert document["digest"] == "sha256:" + hashlib.sha256(rfc8785.dumps(content)).hexdigest()
    assert example().sealed().digest == document["digest"]


def test_the_digest_leaves_out_the_clock_and_itself_and_nothing_else():
    document = golden_document()
    original = digest(document)
    for name in document:
        without = {other: value for other, value in document.items() if other != name}
        assert (digest(without) == original) == (name in ("digest", "created"))
