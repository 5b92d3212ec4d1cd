"""`--model-arg name=value`: what a value is, and that it never is code."""

import pytest

from artc.cli.options import parse_arguments
from artc.errors import InputError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", None),
        ("None", None),
        ("true", True),
        ("TRUE", True),
        ("false", False),
        ("64", 64),
        ("-0.5", -0.5),
        ("1e-3", 0.001),
        ("3,32,32", (3, 32, 32)),
        ("(3, 0.5)", (3, 0.5)),
        ("[1, 2]", [1, 2]),
        ("unet", "unet"),
        ("'64'", "64"),
        ("runs/a=b.pt", "runs/a=b.pt"),
        ("", ""),
        ("nonesuch", "nonesuch"),
        ("__import__('os')", "__import__('os')"),
        # What no artifact can record stays the text that it is.
        ("2+3j", "2+3j"),
        ("{1, 2}", "{1, 2}"),
        ("{'a': 1}", "{'a': 1}"),
        ("b'bytes'", "b'bytes'"),
        ("1e999", "1e999"),
        ("9007199254740993", "9007199254740993"),
        ("((1, 2), 3)", "((1, 2), 3)"),
        ("(1, {2})", "(1, {2})"),
        ("(" * 2000, "(" * 2000),
    ],
)
def test_a_value_is_a_number_a_word_or_a_few_of_them(text, value):
    found = parse_arguments([f"a={text}"])
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_arguments_are_named_once_each():
    assert parse_arguments(None) == {}
    assert parse_arguments(["a=1", "b=none", "size_2=x"]) == {"a": 1, "b": None, "size_2": "x"}
    with pytest.raises(InputError, match=r"--model-arg 'a=2' is given twice\."):
        parse_arguments(["a=1", "a=2"])


@pytest.mark.parametrize("word", ["a", "", "=1", "a b=1", "2a=1", "a-b=1"])
def test_what_is_no_argument_is_refused(word):
    with pytest.raises(InputError, match=r"is not of the form name=value\. Such as --model-arg size=64\."):
        parse_arguments([word])
