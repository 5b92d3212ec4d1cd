"""What tests of several integrations need."""

import pytest

from tests.integrations.comfyui_stand_ins import stand_ins


@pytest.fixture
def comfy(tmp_path):
    """A stand-in for ComfyUI, its folders below a temporary one."""
    with stand_ins(tmp_path) as host:
        yield host
