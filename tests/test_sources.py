"""What `--model` may be: names, files, folders and Python, told apart without torch and refused with a way on."""

import hashlib
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import artc
from artc.errors import InputError, UnknownNameError
from artc.models.edm.networks import build
from artc.models.published.catalogue import PUBLISHED
from artc.models.python_source import load_python
from artc.models.ranges import Range
from artc.models.sources import Source, load, model_for, parse, source_of
from tests.edm_pickle import write_edm
from tests.toy_models import vp_model

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("mnist", "name", "mnist"),
        ("edm-cifar10", "published", "edm-cifar10"),
        ("edm:runs/net.pkl", "edm", "runs/net.pkl"),
        ("edm:C:\\nets\\net.pkl", "edm", "C:\\nets\\net.pkl"),
        ("diffusers:some/folder", "diffusers", "some/folder"),
        ("my_pkg.my_mod:make", "python", "my_pkg.my_mod:make"),
        ("my_mod:Space.make", "python", "my_mod:Space.make"),
        ("python:my_mod:make", "python", "my_mod:make"),
    ],
)
def test_the_forms_of_model(text, kind, place):
    assert parse(text) == (kind, place)


def test_a_wrong_name_lists_the_close_ones_and_the_forms():
    with pytest.raises(UnknownNameError, match="edm-cifar10"):
        parse("edm-cifar-10")
    with pytest.raises(UnknownNameError, match="MODULE:ATTRIBUTE"):
        parse("zzzzzz")
    for text in ("edm:", "diffusers:", ":x", "a-b:c", "a:b-c", ""):
        with pytest.raises((UnknownNameError, InputError)):
            parse(text)


def test_a_file_or_folder_without_its_prefix_is_told_apart(tmp_path):
    file = tmp_path / "net.pt"
    file.touch()
    with pytest.raises(InputError, match=r"is a file.*--model edm:.*net\.pt"):
        parse(str(file))
    with pytest.raises(InputError, match=r"no model .*, nor a file.*edm:FILE\.pkl"):
        parse("not-there.pkl")
    with pytest.raises(InputError, match=r"is a folder.*--model diffusers:"):
        parse(str(tmp_path))


def test_options_that_make_no_sense_for_a_source_are_refused():
    with pytest.raises(UnknownNameError, match="float32"):
        Source(kind="edm", place="x", precision="float23")
    with pytest.raises(InputError, match="--model-arg"):
        Source(kind="edm", place="x", arguments={"size": 3})
    with pytest.raises(InputError, match="precision"):
        Source(kind="name", place="mnist", precision="bfloat16")


def test_a_name_is_loaded_on_the_range_that_is_asked_for():
    model = load(Source(kind="name", place="mixture-1d", range=Range(sigma_max=200.0)), CPU)
    assert (model.info.sigma_max, model.notices) == (200.0, ())
    model = load(Source(kind="name", place="mnist", range=Range(sigma_max=200.0)), CPU)
    assert model.info.sigma_max == 80.0
    assert "not 200" in model.notices[0]


def test_an_artifact_finds_its_model_again_and_no_other(tmp_path):
    source = Source(kind="name", place="mixture-1d", range=Range(sigma_max=20.0))
    artifact = artc.compile(load(source, CPU), nfe=[3], method="closed-form", trajectories=16)
    again = model_for(artifact, source_of(artifact), CPU)
    assert again.info == artifact.model
    with pytest.raises(InputError, match="not the model that the artifact was made for"):
        model_for(artifact, source_of(artifact, "gaussian"), CPU)
    for change in ({"sha256": "0" * 64}, {"shape": (15,)}, {"domain": "flow", "sigma_max": 1.0}):
        other = replace(artifact.model, **change)
        with pytest.raises(InputError, match="not the model that the artifact was made for"):
            model_for(SimpleNamespace(model=other, provenance=artifact.provenance), source, CPU)


def test_an_artifact_never_names_the_python_to_run(tmp_path):
    artifact = artc.compile(vp_model(), nfe=[3], method="closed-form", trajectories=16)
    for name in ("python:os:system", "python:callable", "ftp:x"):
        hostile = replace(artifact, model=replace(artifact.model, source=name))
        with pytest.raises(InputError, match="does not load by itself"):
            source_of(hostile)


def module(folder, name, text, monkeypatch):
    (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)


MAKER = """
import torch, artc
def make(size=4, device="cpu", spread=0.5):
    print("made on", device)
    def denoiser(x, sigma):
        return spread**2 / (spread**2 + sigma[:, None] ** 2) * x
    return artc.score_model(denoiser, shape=(size,), sigma_min=0.002, sigma_max=80, device=device, dtype=torch.float64)
ready = make(2)
number = 3
def wrong(): return None
def broken(): return {}["key"]
class Space:
    make = staticmethod(make)
"""


def test_a_python_function_makes_the_model_with_its_arguments(tmp_path, monkeypatch, capsys):
    module(tmp_path, "toy_maker", MAKER, monkeypatch)
    model = load_python("toy_maker:make", {"size": 7, "spread": 1.5}, CPU)
    assert model.info.shape == (7,)
    assert (model.info.name, model.info.source) == ("make", "python:toy_maker:make")
    assert model.record == {"arguments": {"size": 7, "spread": 1.5}}
    assert "made on cpu" in capsys.readouterr().err  # stdout is for what artc prints
    assert load_python("toy_maker:ready", {}, CPU).info.shape == (2,)
    assert load_python("toy_maker:Space.make", {}, CPU).info.shape == (4,)


@pytest.mark.parametrize(
    ("place", "arguments", "message"),
    [
        ("no_such_module_at_all:make", {}, "no Python module 'no_such_module_at_all'"),
        ("toy_maker:nothing", {}, "has no 'nothing'"),
        ("toy_maker:make", {"colour": 1}, "unexpected keyword argument 'colour'.*--model-arg"),
        ("toy_maker:number", {}, "gives an int, not an artc.ScoreModel"),
        ("toy_maker:ready", {"size": 1}, "no function"),
        ("toy_maker:wrong", {}, r"gives a NoneType.*artc\.score_model"),
        ("toy_maker:broken", {}, r"raised KeyError: 'key' \(.*toy_maker.py, line \d+\)"),
    ],
)
def test_what_goes_wrong_in_a_python_source_is_one_sentence(tmp_path, monkeypatch, place, arguments, message):
    module(tmp_path, "toy_maker", MAKER, monkeypatch)
    with pytest.raises(InputError, match=message):
        load_python(place, arguments, CPU)


def test_an_import_that_fails_is_blamed_on_the_right_module(tmp_path, monkeypatch):
    module(tmp_path, "needs_more", "import surely_not_installed", monkeypatch)
    with pytest.raises(InputError, match="'surely_not_installed', which needs_more imports"):
        load_python("needs_more:make", {}, CPU)
    module(tmp_path, "half_written", "def make(:", monkeypatch)
    with pytest.raises(InputError, match="Importing half_written raised SyntaxError"):
        load_python("half_written:make", {}, CPU)


def test_a_published_name_is_its_file_in_the_cache_and_no_other_network(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTC_CACHE", str(tmp_path))
    source = Source(kind="published", place="edm-cifar10")
    with pytest.raises(InputError, match="not in the cache"):
        load(source, CPU)
    config = {"precond": "EDMPrecond", "img_resolution": 32, "img_channels": 3, "model_type": "SongUNet"}
    config |= {"model_channels": 4, "channel_mult": [1], "num_blocks": 1, "attn_resolutions": []}
    path = tmp_path / PUBLISHED["edm-cifar10"].file
    write_edm(path, config=config, state=build(config).state_dict())
    model = load(source, CPU)
    assert (model.info.name, model.info.source, model.info.shape) == ("edm-cifar10", "edm-cifar10", (3, 32, 32))
    assert model.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / PUBLISHED["edm-cifar10-cond"].file).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"holds another network: shape \(3, 32, 32\) with 0 classes"):
        load(Source(kind="published", place="edm-cifar10-cond"), CPU)


FACTORIES = """
from dataclasses import replace
import artc
from artc.errors import InputError
def model(**words):
    return artc.score_model(lambda x, sigma: 0 * x, shape=(2,), sigma_min=0.002, sigma_max=80, **words)
def bare(device): return model(device=device)
def usual(device="cpu"): return model(device=device)
def refusing(): raise InputError("The checkpoint is of another year.", hint="Fetch that of this year.")
def named(size=1): return replace(model(device="cpu", name="toys"), record={"trained on": "toys", "size": size})
"""


@pytest.mark.parametrize("factory", ["bare", "usual"])
def test_a_function_that_takes_a_device_gets_the_one_that_was_chosen(tmp_path, monkeypatch, factory):
    module(tmp_path, "toy_factories", FACTORIES, monkeypatch)
    elsewhere = torch.device("meta")
    assert load_python(f"toy_factories:{factory}", {}, elsewhere).device == elsewhere
    # Said by the user, it is as the user said.
    assert load_python(f"toy_factories:{factory}", {"device": "cpu"}, elsewhere).device == CPU


def test_an_error_that_speaks_to_the_user_is_passed_on_as_it_is(tmp_path, monkeypatch):
    module(tmp_path, "toy_factories", FACTORIES, monkeypatch)
    with pytest.raises(InputError) as caught:
        load_python("toy_factories:refusing", {}, CPU)
    assert str(caught.value) == "The checkpoint is of another year. Fetch that of this year."


def test_what_a_made_model_says_of_itself_is_kept(tmp_path, monkeypatch):
    module(tmp_path, "toy_factories", FACTORIES, monkeypatch)
    model = load_python("toy_factories:named", {}, CPU)
    assert (model.info.name, model.info.source) == ("toys", "python:toy_factories:named")
    assert model.record == {"trained on": "toys", "size": 1}
    model = load_python("toy_factories:named", {"size": 5}, CPU)
    assert model.record == {"trained on": "toys", "size": 5, "arguments": {"size": 5}}
