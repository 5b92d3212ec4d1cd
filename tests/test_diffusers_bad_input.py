import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from artc.errors import ArtcError, InputError
from artc.models.diffusers.folder import load_folder
from artc.models.diffusers.parts import noising, scheduler_of
from artc.models.diffusers.pipeline import from_pipeline
from tests.tiny_diffusers import CPU, WEIGHTS, ddpm, diffusers, edit, offline, save  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path, diffusers.DDPMScheduler())


# ----------------------------------------------------------------------------------------------- bad folders


def drop_key(folder):
    tensors = load_file(folder / "unet" / WEIGHTS)
    tensors.pop("conv_out.bias")
    save_file(tensors, folder / "unet" / WEIGHTS)


def only_pickle(folder):
    torch.save(load_file(folder / "unet" / WEIGHTS), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / "unet" / WEIGHTS).unlink()


SPOILED = {
    "no such folder": (shutil.rmtree, "There is no folder .*tiny. artc fetches no"),
    "empty": (lambda f: [shutil.rmtree(f), f.mkdir()], r"has no model_index.json or config.json"),
    "no unet": (lambda f: (f / "model_index.json").write_text("{}"), r"model_index.json names no unet"),
    "foreign unet": (lambda f: edit(f / "model_index.json", unet=["evil", "Net"]), r"names a unet of kind \['evil"),
    "text unet": (
        lambda f: edit(f / "model_index.json", unet=["diffusers", "UNet2DConditionModel"]),
        "takes prompts. .*from_pipeline",
    ),
    "other network": (lambda f: edit(f / "unet" / "config.json", _class_name="VQModel"), "holds a VQModel"),
    "no config": (lambda f: (f / "unet" / "config.json").unlink(), "unet has no config.json"),
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), "has no scheduler/scheduler_config.json"),
    "broken json": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json cannot be read as JSON"),
    "json list": (lambda f: (f / "model_index.json").write_text("[]"), "holds no JSON object"),
    "only a pickle": (only_pickle, r"only as a pickle, diffusion_pytorch_model.bin: .*safe_serialization=True"),
    "no weights": (lambda f: (f / "unet" / WEIGHTS).unlink(), f"has no {WEIGHTS}"),
    "damaged weights": (lambda f: (f / "unet" / WEIGHTS).write_bytes(b"\0" * 40), "cannot read the network"),
    "missing weight": (drop_key, "not those of its config.json: missing keys conv_out.bias"),
    "other weights": (
        lambda f: edit(f / "unet" / "config.json", block_out_channels=[8, 16]),
        "cannot read the network",
    ),
    "no size": (lambda f: edit(f / "unet" / "config.json", sample_size=None), "sample_size = None. Write the size"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_folder_is_refused_with_a_sentence(name, folder):
    spoil, complaint = SPOILED[name]
    spoil(folder)
    with pytest.raises(InputError, match=complaint):
        load_folder(folder, CPU)


def test_a_network_that_makes_other_channels_is_refused(tmp_path):
    with pytest.raises(InputError, match="makes 1 channels of 2"):
        load_folder(save(tmp_path, ddpm(), out_channels=1), CPU)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prediction_type": "flow_prediction"}, "Unknown prediction_type 'flow_prediction'"),
        ({"_class_name": "UNet2DModel"}, "has no scheduler 'UNet2DModel'"),
        ({"_class_name": "os.system"}, r"has no scheduler 'os.system'"),
        ({"_class_name": None}, "has no scheduler None"),
        ({"_class_name": "EDMEulerScheduler"}, "cannot tell from EDMEulerScheduler which timestep"),
        ({"beta_schedule": "hand-made"}, "cannot make the DDPMScheduler of scheduler_config.json: hand-made"),
        ({"trained_betas": [0.5, 0.0, 0.5]}, "must hold two levels or more and fall strictly"),
    ],
)
def test_a_scheduler_that_says_too_little_is_refused(changes, complaint):
    config = {"_class_name": "DDPMScheduler", "beta_schedule": "linear"} | changes
    with pytest.raises(ArtcError, match=complaint):
        noising(scheduler_of(config))


def test_without_diffusers_the_user_is_told_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r'needs the package diffusers.*pip install "artc\[diffusers\]"'):
        load_folder(folder, CPU)
    with pytest.raises(InputError, match=r'pip install "artc\[diffusers\]"'):
        from_pipeline(SimpleNamespace(), prompt_embeds=torch.zeros((1, 2, 8)))
