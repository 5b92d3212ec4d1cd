"""Whatever a file holds, reading it gives a network or one sentence; it runs nothing, is quick, and fits in memory."""

import functools
import json
import os
import pickle
import random
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from artc.errors import InputError
from artc.models.snapshots import unpickling
from artc.models.snapshots.file_kind import MAX_BYTES
from artc.models.snapshots.legacy_tensor import StorageRecord, TensorRecord, read_tensors
from artc.models.snapshots.machine import _INSTRUCTIONS
from artc.models.snapshots.source import Source
from artc.models.snapshots.unpickling import EDMFile, read_edm
from tests.edm_attacks import ATTACKS, CANARY, CONFIG, STATE, network, put, text, valid
from tests.edm_defects import DEFECTS
from tests.edm_pickle import Call, Raw, dumps, golden, snapshot

FILES = ATTACKS | DEFECTS


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path(CANARY).exists()


def refusal(content, name="network.pkl"):
    Path(name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_edm(name)
    return str(caught.value)


def outcome(content, name="network.pkl"):
    """'read' or 'refused'; any other exception fails the test."""
    Path(name).write_bytes(content)
    try:
        return "read" if isinstance(read_edm(name), EDMFile) else None
    except InputError:
        return "refused"


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_or_broken_file_is_refused_in_one_sentence(name):
    content, message = FILES[name]
    said = refusal(content)
    assert message in said
    assert said.startswith("'network.pkl' ")
    assert said.isprintable()
    assert len(said) < 300


def test_what_these_files_change_is_all_that_is_wrong_with_them():
    assert [outcome(content) for content in (valid(3), valid(4), dumps({"ema": network()}))] == ["read"] * 3


def test_the_canary_would_sing():
    """Proves that an attack is alive: Python's own reader runs it."""
    content = dumps(Call("posix.system", f"touch {CANARY}"))
    assert "posix.system" in refusal(content)
    assert not Path(CANARY).exists()
    pickle.loads(content)
    assert Path(CANARY).exists()
    Path(CANARY).unlink()


def test_the_source_in_the_file_is_alive_and_stays_text():
    with pytest.raises(SystemExit):
        exec(snapshot(CONFIG, STATE)["ema"].args[0]["module_src"])
    assert outcome(valid()) == "read"


def test_a_memo_that_pretends_to_be_huge_costs_nothing():
    """Python's reader would allocate an array of four thousand million places."""
    assert outcome(valid(3, x=Raw(b"N" + put(2**31 - 1)))) == "read"


def test_attributes_that_nobody_reads_may_be_anything_inert():
    odd = {"a": [1, (2, {"b": {3}})], "c": b"x" * 1000, "d": torch.zeros(3), 7: Raw(text("deep") + b"\x85" * 1000)}
    assert outcome(valid(ema=network(odd), loss_fn=None)) == "read"


def test_numbers_that_do_not_fit_in_memory(monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "empty", full)
    assert "needs 40 bytes of memory, more than there are" in refusal(valid())


def test_a_reader_without_memory(monkeypatch):
    def full(*args):
        raise MemoryError

    monkeypatch.setattr(unpickling, "read_pickle", full)
    Path("network.pkl").write_bytes(valid())
    with pytest.raises(InputError, match="needs more memory than there is"):
        read_edm("network.pkl")


def test_a_file_that_shrinks_while_it_is_read():
    storage = StorageRecord(dtype="float32", itemsize=4, numel=9, start=0)
    record = TensorRecord(storage=storage, offset=0, size=(9,), stride=(1,))
    with pytest.raises(InputError, match="became shorter while it was read"):
        read_tensors(Source(BytesIO(b"\0" * 35), 36), {"w": record})


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """What a process that may have 500 MB, and imports nothing of torch, says of every file here."""
    folder = tmp_path_factory.mktemp("files")
    for number, (content, _) in enumerate(FILES.values()):
        (folder / f"{number}.pkl").write_bytes(content)
    code = f"""
import json, pathlib, re, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000))
try:
    bytearray(600_000_000)
except MemoryError:
    limit = True
from artc.errors import InputError
from artc.models.snapshots.unpickling import read_edm
said, seconds = [], []
for number in range({len(FILES)}):
    start = time.process_time()
    try:
        said.append(repr(read_edm(f"{{number}}.pkl")))
    except InputError as error:
        said.append(str(error))
    seconds.append(time.process_time() - start)
peak = 1024 * int(re.search("VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
print(json.dumps([limit, peak, said, seconds, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert not (folder / CANARY).exists()
    return json.loads(done.stdout)


def test_refusing_takes_little_memory_and_no_torch(limited):
    limit, peak, said, _, torch_was_imported = limited
    assert limit
    assert peak < 100_000_000  # measured: 24 MB
    assert not torch_was_imported
    for name, sentence in zip(FILES, said, strict=True):
        assert FILES[name][1] in sentence


def test_refusing_takes_little_time(limited):
    seconds = limited[3]
    assert max(seconds) < 3.0  # measured: 0.2 s; the bound leaves room for slow machines
    assert sum(seconds) / len(seconds) < 0.1  # measured: 0.004 s


# What is no pickle of EDM at all.


def zipped(name):
    torch.save(STATE, name)
    assert zipfile.is_zipfile(name)


def sparse(name):
    with Path(name).open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)


KINDS = {
    "is a zip archive": zipped,
    "is a checkpoint in torch's legacy format": lambda name: torch.save(
        STATE, name, _use_new_zipfile_serialization=False
    ),
    "is a safetensors file": lambda name: save_file(STATE, name),
    "is a web page, not a model": lambda name: Path(name).write_text("\n <!doctype html><html><body>404</body></html>"),
    "is a Git LFS pointer": lambda name: Path(name).write_text("version https://git-lfs.github.com/spec/v1\noid ..."),
    "is JSON, not a model": lambda name: Path(name).write_text('{"format": "artc"}'),
    "is compressed with gzip": lambda name: Path(name).write_bytes(b"\x1f\x8b\x08\0"),
    "is an HDF5 file": lambda name: Path(name).write_bytes(b"\x89HDF\r\n\x1a\n"),
    "is no pickle": lambda name: Path(name).write_text("To be, or not to be"),
    "is no pickle, and so": lambda name: Path(name).write_bytes(b"\x80"),
    "is a pickle of protocol 2": lambda name: Path(name).write_bytes(pickle.dumps({"ema": None}, 2)),
    "is a pickle of protocol 5": lambda name: Path(name).write_bytes(pickle.dumps({"ema": None}, 5)),
    "is a pickle of protocol 255": lambda name: Path(name).write_bytes(b"\x80\xff."),
    "is empty": lambda name: Path(name).write_bytes(b""),
    "is a folder": lambda name: Path(name).mkdir(),
    "is no regular file": os.mkfifo,
    "is larger than 8 GB": sparse,
}


@pytest.mark.parametrize("message", KINDS)
def test_another_kind_of_file_is_called_by_its_name(message):
    KINDS[message]("given.pkl")
    with pytest.raises(InputError, match=rf"^'given.pkl' {re.escape(message)}") as caught:
        read_edm("given.pkl")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.pkl", r"There is no file 'missing\.pkl'"),
        ("a\0b", r"Cannot read 'a\\x00b': embedded null"),
        ("x" * 1000, "Cannot read .*: File name too long"),
    ],
)
def test_a_path_to_nothing(path, message):
    with pytest.raises(InputError, match=message):
        read_edm(path)


# Damage of every kind.


@functools.cache
def real(protocol=4):
    config, state = golden("edm_adm_cond")
    return dumps(snapshot(config, state), protocol)


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_file_cut_short_anywhere(protocol):
    content = valid(protocol)
    for end in [*range(2, len(content), 13), len(content) - 1]:
        assert refusal(content[:end])
    content = real(protocol)
    for end in range(2, len(content), len(content) // 15):
        assert refusal(content[:end])


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed):
    """Bits, bytes and whole stretches changed, removed, repeated and swapped."""
    chance = random.Random(seed)
    outcomes = []
    for _ in range(150):
        content = bytearray(valid(chance.choice((3, 4))))
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            at, to = sorted(chance.randrange(2, len(content)) for _ in range(2))
            to = min(to, at + 40)
            match chance.randrange(5):
                case 0:
                    content[at] ^= 1 << chance.randrange(8)
                case 1:
                    content[at] = ord(chance.choice(list(_INSTRUCTIONS)))
                case 2:
                    del content[at:to]
                case 3:
                    content[at:at] = content[at:to]
                case 4:
                    content[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
        outcomes.append(outcome(bytes(content)))
    assert set(outcomes) <= {"read", "refused"}
    assert outcomes.count("refused") > 75


OPERANDS = st.one_of(
    st.sampled_from(sorted(_INSTRUCTIONS)),
    st.builds(
        text, st.sampled_from(["ema", "posix", "system", "torch._utils", "_rebuild_tensor_v2", "state", "builtins"])
    ),
    st.binary(max_size=4),
)


@settings(max_examples=300)
@given(st.sampled_from([b"\x80\x03", b"\x80\x04"]), st.lists(OPERANDS, max_size=40))
def test_programs_that_nobody_wrote(tmp_path_factory, header, parts):
    path = tmp_path_factory.mktemp("program") / "x.pkl"
    assert outcome(header + b"".join(parts) + b".", path) == "refused"
