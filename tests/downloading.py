"""Downloads as tests make them: quick to give up, and refused in one sentence."""

import pytest

from artc.errors import DownloadError
from artc.models.published.download import download
from artc.progress import drain
from tests.http_server import FILE

SIZE = len(FILE)


def fetch(url, target, **options):
    return drain(download(url, target, **{"timeout": 5.0, "pause": 0.0, **options}))


def refused(url, target, kind=DownloadError, **options):
    """The sentence of the error; one that ends as sentences do."""
    with pytest.raises(kind) as caught:
        fetch(url, target, **options)
    error = caught.value
    assert error.exit_code == 2
    assert error.message.endswith(".")
    assert not error.hint or error.hint.endswith(".")
    assert not target.exists()
    assert not target.with_name("model.pkl.lock").exists()
    return str(error)
