"""What the tests of the real hosts share: whether the hosts are there, and one ComfyUI for all of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import browser
from tests.hosts.comfyui import HOSTS, Server, make_base, serving

HERE = Path(__file__).resolve().parent
WRITTEN = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)  # before markers select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    there = (HOSTS / ".installed").exists()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hosts)
            if not there:
                item.add_marker(pytest.mark.skip(reason="the real hosts are not installed: run make test-hosts"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed is shown with what the server wrote meanwhile."""
    report = yield
    server = getattr(item, "funcargs", {}).get("comfyui")
    if server is not None and report.when == "setup":
        item.stash[WRITTEN] = len(server.log)
    if server is not None and report.failed:
        report.sections.append(("ComfyUI wrote", server.log[item.stash.get(WRITTEN, 0) :][-3000:]))
    return report


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ComfyUI with our node pack and the toy nodes, running as long as the tests do."""
    with serving(make_base(tmp_path_factory.mktemp("comfyui") / "base")) as server:
        yield server


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Pipe]:
    """A browser for the tests of one file."""
    if browser.CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: the page was not tried")
    with browser.browsing(tmp_path_factory.mktemp("browser")) as pipe:
        yield pipe


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are kept, if the tester names a folder."""
    folder = Path(os.environ.get("ARTC_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
