"""A unit comes back bit for bit, or counts as never written."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from artc.artifact import Coordinate, Warp
from artc.checkpoints.codecs import CODECS
from artc.checkpoints.units import NOWHERE, Unit, Units
from artc.learning.local_error import LocalError, LocalErrors
from artc.learning.matching import Matched
from artc.learning.methods import Learned
from artc.learning.reached import Reached
from artc.sampling.bank import BankBatch

DTYPES = st.sampled_from([np.float64, np.float32, np.int64, np.bool_])
ARRAYS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SAMPLE = Unit(arrays={"b": np.array([[1.5, -0.0]]), "a": np.arange(3)}, facts={"cost": [7, 0.25], "kind": "it"})


def same(one, other):
    return one.facts == other.facts and {name: (a.dtype, a.shape, a.tobytes()) for name, a in one.arrays.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in other.arrays.items()
    }


@given(st.dictionaries(st.sampled_from("abc"), ARRAYS), st.dictionaries(st.text(), FACTS, max_size=3))
def test_a_unit_comes_back_bit_for_bit(tmp_path_factory, found, facts):
    units, unit = Units(tmp_path_factory.getbasetemp()), Unit(arrays=found, facts=facts)
    units.keep("one", unit)
    assert same(units.kept("one"), unit)


def test_numbers_that_json_does_not_have_and_scalars_of_numpy_come_back_too(tmp_path):
    units = Units(tmp_path)
    units.keep(
        "one", Unit(arrays={}, facts={"x": [math.inf, -math.inf, np.float64(0.1), np.int64(3)], "nan": math.nan})
    )
    facts = units.kept("one").facts
    assert facts["x"] == [math.inf, -math.inf, 0.1, 3]
    assert math.isnan(facts["nan"])


def test_a_part_of_an_array_is_kept_as_it_looks(tmp_path):
    units, whole = Units(tmp_path), np.arange(12.0).reshape(3, 4)
    for part in (whole.T, whole[:, ::2], whole[::-1], np.asfortranarray(whole)):
        units.keep("one", Unit(arrays={"x": part}, facts={}))
        np.testing.assert_array_equal(units.kept("one").arrays["x"], part)


def test_a_unit_cut_short_anywhere_was_never_written(tmp_path):
    units = Units(tmp_path)
    units.keep("one", SAMPLE)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert units.kept("one") is None
    file.write_bytes(content)
    assert same(units.kept("one"), SAMPLE)


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_a_unit_with_any_byte_changed_was_never_written(tmp_path, flip):
    units = Units(tmp_path)
    units.keep("one", SAMPLE)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        assert units.kept("one") is None, (place, content[place : place + 20])


@pytest.mark.parametrize(
    ("here", "there"),
    [(b'"shape":[1,2]', b'"shape":[2,1]'), (b'"dtype":"F64"', b'"dtype":"I64"'), (b'"a":{', b'"c":{')],
)
def test_an_array_of_the_same_bytes_and_another_form_was_never_written(tmp_path, here, there):
    units = Units(tmp_path)
    units.keep("one", SAMPLE)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    assert content.count(here) == 1
    file.write_bytes(content.replace(here, there))
    assert units.kept("one") is None


def test_a_unit_is_the_answer_to_its_own_key_only(tmp_path):
    units = Units(tmp_path)
    units.keep("one", SAMPLE)
    (tmp_path / "one.safetensors").rename(tmp_path / "two.safetensors")
    assert units.kept("one") is units.kept("two") is None


def test_the_latest_of_a_key_stays_and_can_be_let_go_of(tmp_path):
    units = Units(tmp_path)
    for number in (1, 2):
        units.keep("one", Unit(arrays={}, facts={"number": number}))
    assert units.kept("one").facts == {"number": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["one.safetensors"]
    units.forget("one")
    units.forget("never")
    assert (units.kept("one"), list(tmp_path.iterdir())) == (None, [])


def test_a_unit_is_a_file_that_others_can_read(tmp_path):
    from safetensors import safe_open

    Units(tmp_path).keep("one", SAMPLE)
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["facts"]) == SAMPLE.facts
        assert file.get_tensor("b").tolist() == [[1.5, -0.0]]


def test_nowhere_keeps_nothing():
    NOWHERE.keep("one", SAMPLE)
    NOWHERE.forget("one")
    assert NOWHERE.kept("one") is None


# --------------------------------------------------------------------------------------------- results

WARP = Warp(clock=(0.0, 1 / 3, 1.0), sigma=(80.0, 0.1 + 0.2, 0.0), offset=0.002)
RESULTS = [
    torch.tensor([[1 / 3, -0.0], [5e-324, 1e300]], dtype=torch.float64),
    torch.empty((0, 2), dtype=torch.float64),
    BankBatch(
        stiffness=np.random.default_rng(0).random((2, 3)),
        statistics=np.random.default_rng(1).random((2, 4, 5)),
        sketches=np.random.default_rng(2).random((2, 4, 6)).astype(np.float32),
        ends=torch.rand((1, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    ),
    Learned(
        warp=WARP,
        origin="online",
        progress={3: np.array([0.0, 0.1, 0.7, 1.0]), 12: np.linspace(0, 1, 13)},
        config={"rate": 0.1, "steps": 96},
        diagnostics={"paper": {"3": {"failures": ["ran away"], "spread": 1 / 7}}},
    ),
    Matched(sigmas=(80.0, 1 / 3, 0.0), error=0.1, start=1 / 7, walks=41),
    Reached(found={"euler": ((80.0, 0.0), (80.0, 1 / 3, 0.0)), "dpmpp_2m": ((80.0, 0.0),)}),
    LocalErrors(
        coordinate=Coordinate(0.002, 80.0),
        found={
            "heun": LocalError(clock=np.array([0.0, 1 / 3, 1.0]), exponent=3.1),
            "dpmpp_2m": LocalError(clock=np.array([0.0, 1 / 7, 1.0]), exponent=2.2),
        },
    ),
]


def plain(value):
    """A result as something that compares bit for bit."""
    if isinstance(value, torch.Tensor):
        return (value.dtype, tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, np.ndarray):
        return (value.dtype, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    slots = getattr(type(value), "__slots__", None)
    return (type(value).__name__, *(plain(getattr(value, name)) for name in slots)) if slots else value


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_comes_back_bit_for_bit(result, tmp_path):
    codec, units = CODECS[type(result).__name__], Units(tmp_path)
    units.keep("it", codec.encode(result))
    assert plain(codec.decode(units.kept("it"), torch.device("cpu"))) == plain(result)
