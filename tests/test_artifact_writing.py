import itertools
import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import Policy, dumps, read, write
from artc.artifact.writing import WIDTH, _layout, check_writable, write_whole
from artc.errors import ArtifactError, OutputError
from tests.golden.example import GOLDEN, example

unhurried = settings(deadline=None)  # a busy machine is no defect

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=60,
)


def names_in(folder):
    return [file.name for file in folder.iterdir()]


def test_the_golden_artifact_byte_for_byte(tmp_path):
    example().save(tmp_path / "a.art.json")
    assert (tmp_path / "a.art.json").read_bytes() == GOLDEN.read_bytes()


def test_reading_and_writing_the_golden_artifact_gives_the_same_bytes(tmp_path):
    read(GOLDEN).save(tmp_path / "a.art.json")
    assert (tmp_path / "a.art.json").read_bytes() == GOLDEN.read_bytes()
    assert read(GOLDEN) == example().sealed()


def test_numpy_and_python_numbers_write_the_same(tmp_path):
    plain = example()
    provenance = replace(
        plain.provenance,
        config={**plain.provenance.config, "clock_nodes": np.int64(3), "learning_rate": np.float64(1e-5)},
        diagnostics={"entropy": (np.float64(0.5), 1e23, 1e-7)},
        score_evals=np.int32(31232),
    )
    model = replace(plain.model, sigma_max=63, shape=[1, 2, 2])
    assert dumps(replace(plain, provenance=provenance, model=model)) == dumps(plain)


@unhurried
@given(VALUES)
def test_the_layout_is_json_of_the_same_value(value):
    assert json.loads(_layout(value, indent=0, used=0)) == value


@unhurried
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=20, max_size=300))
def test_numbers_fill_their_lines(numbers):
    lines = _layout({"numbers": numbers}, indent=0, used=WIDTH).splitlines()[2:-2]
    assert all(len(line) <= WIDTH for line in lines)
    # No line would have had room for the first number of the next.
    for line, after in itertools.pairwise(lines):
        assert len(line) + 1 + len(after.split(",")[0].strip()) + 1 > WIDTH


def test_a_long_grid_takes_few_lines():
    assert len(dumps(example().resampled([255])).splitlines()) < len(dumps(example()).splitlines()) + 40


def test_an_existing_file_is_replaced_only_by_force(tmp_path):
    file = tmp_path / "a.art.json"
    file.write_text("precious")
    with pytest.raises(OutputError, match=r"exists already\..*--force"):
        example().save(file)
    assert file.read_text() == "precious"
    example().save(file, force=True)
    assert file.read_bytes() == GOLDEN.read_bytes()
    assert names_in(tmp_path) == ["a.art.json"]


def test_an_existing_file_is_safe_without_hard_links(tmp_path, monkeypatch):
    def unsupported(*_args, **_options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    file = tmp_path / "a.art.json"
    example().save(file)
    with pytest.raises(OutputError, match="exists already"):
        example().save(file)
    assert file.read_bytes() == GOLDEN.read_bytes()
    assert names_in(tmp_path) == ["a.art.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), MemoryError()])
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file_whole_and_nothing_else(tmp_path, monkeypatch, error, moment):
    file = tmp_path / "a.art.json"
    file.write_text("precious")

    def crash(*_args):
        raise error

    monkeypatch.setattr(os, moment, crash)
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        example().save(file, force=True)
    assert file.read_text() == "precious"
    assert names_in(tmp_path) == ["a.art.json"]


def test_of_many_writers_without_force_one_wins(tmp_path):
    file, artifact, outcomes = tmp_path / "a.art.json", example(), []
    barrier = threading.Barrier(8)

    def attempt():
        barrier.wait()
        try:
            artifact.save(file)
            outcomes.append("written")
        except OutputError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["written"]
    assert file.read_bytes() == GOLDEN.read_bytes()
    assert names_in(tmp_path) == ["a.art.json"]


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(OutputError, match=r"There is no folder .*Make it first"):
        example().save(tmp_path / "missing" / "a.art.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="There is no folder"):
        example().save(tmp_path / "file" / "a.art.json")
    with pytest.raises(OutputError, match="is a folder"):
        example().save(tmp_path, force=True)


def test_a_folder_without_permission_says_what_to_do(tmp_path, monkeypatch):
    def denied(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)  # the superuser of a container may write anywhere
    with pytest.raises(OutputError, match=r"is not writable\. Choose another path"):
        example().save(tmp_path / "a.art.json")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_file_has_the_mode_that_the_umask_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        example().save(tmp_path / "a.art.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.art.json").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"diagnostics": {"loss": float("nan")}}, "non-finite", "$.provenance.diagnostics.loss"),
        ({"config": {"a": [object()]}}, "value", "$.provenance.config.a[0]"),
        ({"seed": 2**60}, "integer", "$.provenance.seed"),
        ({"torch": ""}, "schema", "$.provenance.torch"),
        ({"extra": {"seed": 1}}, "extra", "$.provenance"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, changes, code, path):
    provenance = replace(example().provenance, **changes)
    with pytest.raises(ArtifactError) as caught:
        example(provenance=provenance).save(tmp_path / "a.art.json")
    assert (caught.value.code, caught.value.path) == (code, path)
    assert names_in(tmp_path) == []


def test_a_policy_must_lie_beside_before_the_artifact_is_written(tmp_path):
    policy = Policy(file="p.art.onnx", sha256="0" * 64, opset=18, inputs=("x",), output="y", features=("z",))
    with pytest.raises(ArtifactError, match="there is no file"):
        write(example(policy=policy), tmp_path / "a.art.json")
    assert names_in(tmp_path) == []


def test_validation_needs_neither_numpy_nor_torch():
    code = (
        "import sys, artc.artifact as a; "
        f"assert a.violations({str(GOLDEN)!r}) == []; a.read({str(GOLDEN)!r}); "
        "sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_plain_file_is_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # it stands for devices too: /dev/null itself would be gone if this failed as root
    for force in (False, True):
        with pytest.raises(OutputError, match="is a device or the like"):
            check_writable(pipe, force=force)
        with pytest.raises(OutputError, match="is a device or the like"):
            write_whole(pipe, b"x", force=force)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_an_empty_path_is_refused():
    with pytest.raises(OutputError, match="names no file"):
        check_writable("")
