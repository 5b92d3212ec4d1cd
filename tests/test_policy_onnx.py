import hashlib
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest

import artc
from artc.artifact import writing
from artc.artifact.policy import CPU, CUDA, FEATURES, INPUTS, IR_VERSION, OPSET, OUTPUT, open_policy, policy_record
from artc.errors import ArtifactError, InputError, OutputError
from artc.learning.state_onnx import policy_onnx
from tests.golden.example import example
from tests.policies import trained, wild


@pytest.fixture(scope="module")
def content():
    return policy_onnx(trained().policy)


@pytest.fixture(scope="module")
def artifact(content):
    return example(policy=policy_record(content))


def states(policy, count, rng):
    """Made-up states over the whole range, as the float32 numbers that the graph is given: by input name."""
    sigma = policy.warp.at(rng.uniform(0, 0.99999, count))
    sigma[:20], sigma[20:60] = policy.warp.sigma_max, np.geomspace(policy.warp.sigma_max, 1e-6, 40)
    clock = rng.uniform(0, 0.999, count)
    clock[:40] = 0
    clock_next = clock + rng.uniform(1e-3, 1, count) * (1 - clock)
    clock_next[30:100] = 1
    before = np.minimum(sigma * rng.uniform(1, 5, count), policy.warp.sigma_max)
    change = np.abs(rng.normal(0, 1, count))
    before[100:150], change[100:150] = sigma[100:150], 0
    statistics = np.abs(rng.normal(1, 1, (5, count))) * np.stack(
        [np.sqrt(sigma**2 + 1), np.ones(count), sigma, np.sqrt(sigma**2 + 1), np.ones(count)]
    )
    statistics[:3, 150:160] = 0
    statistics[3:] *= rng.choice([-1.0, 1.0], (2, count))
    values = (clock, clock_next, sigma, before, *statistics, change)
    return {name: value.astype(np.float32) for name, value in zip(INPUTS, values, strict=True)}


def in_numpy(policy, given):
    wide = [given[name].astype(np.float64) for name in INPUTS]
    return policy.next_sigma(*wide[:4], np.stack(wide[4:9], axis=-1), wide[9])


@pytest.mark.parametrize("kind", ["trained", "wild"])
def test_the_graph_is_the_policy_over_the_whole_range_and_at_its_ends(kind):
    policy = trained().policy if kind == "trained" else wild(trained().policy)
    session = open_policy(example(policy=policy_record(policy_onnx(policy))))
    given = states(policy, 4000, np.random.default_rng(0))
    found, expected = session.next_sigma(given), in_numpy(policy, given)
    assert found.dtype == np.float32
    assert (found[given["clock_next"] == 1] == 0).all()
    positive = expected > 0
    assert positive.sum() > 3500
    np.testing.assert_allclose(found[positive], expected[positive], rtol=1e-6)


def test_the_same_policy_gives_the_same_bytes_and_the_graph_says_what_it_takes(content):
    assert policy_onnx(trained().policy) == content
    graph = onnx.load_from_string(content)
    assert (graph.ir_version, graph.opset_import[0].version) == (IR_VERSION, OPSET)
    assert [node.name for node in graph.graph.input] == list(INPUTS)
    assert [node.name for node in graph.graph.output] == [OUTPUT]
    assert {node.type.tensor_type.elem_type for node in (*graph.graph.input, *graph.graph.output)} == {
        onnx.TensorProto.FLOAT
    }


def test_one_sample_and_an_empty_batch_are_batches_too(artifact):
    given = states(trained().policy, 300, np.random.default_rng(1))
    whole = open_policy(artifact).next_sigma(given)
    for size in (0, 1):
        part = open_policy(artifact).next_sigma({name: value[:size] for name, value in given.items()})
        assert part.tolist() == whole[:size].tolist()


# ------------------------------------------------------------------------------------ beside the artifact


def test_a_policy_is_written_beside_the_artifact_under_its_name_and_read_with_it(artifact, content, tmp_path):
    artifact.save(tmp_path / "mine.art.json")
    assert (tmp_path / "mine.art.onnx").read_bytes() == content
    read = artc.load(tmp_path / "mine.art.json")
    assert (read.policy.file, read.policy.sha256) == ("mine.art.onnx", hashlib.sha256(content).hexdigest())
    assert (read.policy.inputs, read.policy.features, read.policy.output) == (INPUTS, FEATURES, OUTPUT)
    assert read.policy.content == content
    assert read == writing.named_for(artifact, tmp_path / "mine.art.json")


def test_an_artifact_saved_elsewhere_takes_its_policy_along(artifact, content, tmp_path):
    artifact.save(tmp_path / "mine.art.json")
    (tmp_path / "other").mkdir()
    artc.load(tmp_path / "mine.art.json").resampled([7]).save(tmp_path / "other" / "yours.art.json")
    assert (tmp_path / "other" / "yours.art.onnx").read_bytes() == content
    assert artc.load(tmp_path / "other" / "yours.art.json").policy.file == "yours.art.onnx"


def test_a_file_that_is_there_is_replaced_by_force_alone(artifact, content, tmp_path):
    (tmp_path / "mine.art.onnx").write_bytes(b"another policy")
    with pytest.raises(OutputError, match="exists already"):
        artifact.save(tmp_path / "mine.art.json")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.art.onnx"]
    assert (tmp_path / "mine.art.onnx").read_bytes() == b"another policy"
    artifact.save(tmp_path / "mine.art.json", force=True)
    assert artc.load(tmp_path / "mine.art.json").policy.content == content


def test_a_document_never_lies_there_without_its_policy(artifact, tmp_path, monkeypatch):
    written = []

    def crashing(path, *_, **__):
        written.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_whole", crashing)
    with pytest.raises(KeyboardInterrupt):
        artifact.save(tmp_path / "mine.art.json")
    assert written == ["mine.art.onnx"]


def test_a_policy_file_that_was_changed_is_refused(artifact, tmp_path):
    artifact.save(tmp_path / "mine.art.json")
    (tmp_path / "mine.art.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="SHA-256"):
        artc.load(tmp_path / "mine.art.json")


# --------------------------------------------------------------------------------------- what can go wrong


def test_without_onnxruntime_the_error_says_what_to_install(artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install .*artc\[cpu\]"):
        open_policy(artifact)


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install .*artc\[cpu\]"):
        policy_onnx(trained().policy)


def test_an_artifact_without_a_policy_or_its_file_is_refused(artifact):
    with pytest.raises(InputError, match="has no policy"):
        open_policy(example())
    with pytest.raises(InputError, match="file of its own"):
        open_policy(replace(artifact, policy=replace(artifact.policy, content=None)))


def test_a_file_that_is_no_graph_is_refused_in_one_line():
    with pytest.raises(InputError, match="cannot load the policy") as caught:
        open_policy(example(policy=policy_record(b"policy")))
    assert "\n" not in str(caught.value)


def test_a_graph_with_other_inputs_is_refused(content):
    graph = onnx.load_from_string(content)
    graph.graph.input[0].name = "time"
    for node in graph.graph.node:
        node.input[:] = ["time" if name == "clock" else name for name in node.input]
    with pytest.raises(InputError, match="upgrade artc"):
        open_policy(example(policy=policy_record(graph.SerializeToString())))


@pytest.mark.parametrize(
    ("device", "there", "wanted"),
    [
        ("cuda", [CUDA, CPU], [(CUDA, {"device_id": "0"}), CPU]),
        ("cuda:1", [CUDA, CPU], [(CUDA, {"device_id": "1"}), CPU]),
        ("cpu", [CUDA, CPU], [CPU]),
        ("cuda", [CPU], [CPU]),
    ],
)
def test_the_cuda_provider_is_asked_for_on_cuda_where_it_is_there(artifact, device, there, wanted, monkeypatch):
    import onnxruntime

    asked, real = [], onnxruntime.InferenceSession

    def session(file, options, providers):
        asked.extend(providers)
        return real(file, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_policy(artifact, device)
    assert asked == wanted
