"""A cache folder as tests fill it, and what the store says when it refuses."""

import hashlib

import pytest

from artc.errors import InputError
from artc.models.published.catalogue import PUBLISHED
from tests.http_server import FILE

CIFAR = PUBLISHED["edm-cifar10"]
NAME = "edm-cifar10-32x32-uncond-vp.pkl"
RECORD = f"{NAME}.sha256.json"
DIGEST = hashlib.sha256(FILE).hexdigest()
OTHER = b"\x80other."


def put(cache, content=FILE):
    """A file as the user would put it there."""
    cache.mkdir(exist_ok=True)
    (cache / NAME).write_bytes(content)


def refused(work, kind=InputError):
    with pytest.raises(kind) as caught:
        work()
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")
    return str(caught.value)
