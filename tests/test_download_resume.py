"""A download that was cut off goes on where it stopped, and never with the part of another file."""

import pytest

from artc.models.published.download import TRIES, download
from artc.progress import Progress, drain
from tests.cli import names_in
from tests.downloading import SIZE, fetch, refused
from tests.http_server import FILE

pytestmark = pytest.mark.usefixtures("direct")


@pytest.mark.parametrize("cut", [1, 1000, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("validator", ["etag", "modified"])
def test_a_cut_connection_is_gone_on_from_where_it_broke(server, target, cut, validator):
    server.etag, server.modified = ('"one"', None) if validator == "etag" else (None, "Mon, 01 Jan 2024 00:00:00 GMT")
    server.cuts = [cut]
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked == [None, f"bytes={cut}-"]
    assert server.requests[1][1]["if-range"] == (server.etag or server.modified)
    assert names_in(target.parent) == ["model.pkl"]


def test_cuts_count_only_in_a_row_without_progress(server, target):
    server.cuts = [1000] * (3 * TRIES)
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked[-1] == f"bytes={3000 * TRIES}-"


def test_a_server_that_brings_nothing_new_is_given_up_and_the_part_kept(server, target):
    server.cuts = [70_000] + [0] * 100
    said = refused(server.url, target)
    assert said.startswith(
        "127.0.0.1 broke off the connection. The 0.1 MB that came are kept; the same command goes on"
    )
    assert len(server.requests) == 1 + (TRIES - 1)
    assert names_in(target.parent) == ["model.pkl.part", "model.pkl.part.json"]
    server.cuts = []
    updates = []
    drain(download(server.url, target), updates.append)
    assert updates[0] == Progress(done=70_000, total=SIZE)
    assert server.ranges_asked[-1] == "bytes=70000-"
    assert target.read_bytes() == FILE


def test_stopping_in_the_middle_keeps_the_part(server, target, monkeypatch):
    monkeypatch.setattr("artc.models.published.download._BETWEEN_UPDATES", 0.0)
    server.hold_at = 100_000
    steps = download(server.url, target)
    next(steps)
    assert next(steps).done > 0
    steps.close()
    kept = target.with_name("model.pkl.part").stat().st_size
    assert names_in(target.parent) == ["model.pkl.part", "model.pkl.part.json"]
    server.hold_at = None
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_validator_nothing_is_trusted_to_be_the_same(server, target, etag):
    server.etag, server.cuts = etag, [1000]
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked == [None, None]


def test_a_server_that_knows_no_ranges_sends_all_again(server, target):
    server.ranges, server.cuts = False, [SIZE - 5, 1000]
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked == [None, f"bytes={SIZE - 5}-", "bytes=1000-"]


def test_a_server_that_knows_no_ranges_and_always_cuts_is_given_up(server, target):
    server.ranges, server.cuts = False, [1000] * 100
    assert "broke off the connection" in refused(server.url, target)
    assert len(server.requests) == TRIES


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("longer", [0, 1000, -400_000])
def test_a_file_that_changed_between_two_parts_is_started_over(server, target, heeds, longer):
    server.cuts = [200_000] + [0] * 100
    refused(server.url, target)
    server.cuts, server.etag, server.heeds_if_range = [], '"two"', heeds
    server.content = FILE[::-1][: SIZE + longer] + b"x" * max(longer, 0)
    fetch(server.url, target)
    assert target.read_bytes() == server.content
    asked = [f"bytes={200_000}-"] + ([] if heeds else [None])
    assert server.ranges_asked[TRIES:] == asked


def test_the_part_of_another_address_is_not_gone_on_from(server, target):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    server.cuts = []
    fetch(f"{server.address}/other.pkl", target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked[-1] is None


@pytest.mark.parametrize("memo", ["", "[]", "{}", '{"url": 1, "validator": 2, "length": "3"}', "\xff"])
def test_a_damaged_memo_means_to_start_over(server, target, memo):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    server.cuts = []
    target.with_name("model.pkl.part.json").write_bytes(memo.encode("latin-1"))
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked[-1] is None


def test_a_part_longer_than_the_file_is_started_over(server, target):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    server.cuts = []
    target.with_name("model.pkl.part").write_bytes(FILE + b"more")
    fetch(server.url, target)
    assert target.read_bytes() == FILE


def test_a_part_that_was_whole_only_gets_its_name(server, target):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    asked = len(server.requests)
    target.with_name("model.pkl.part").write_bytes(FILE)
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"Content-Range": f"bytes 999-{SIZE - 1}/{SIZE}"},
        {"Content-Range": f"bytes 1000-{SIZE - 1}/{SIZE + 1}"},
        {"Content-Range": f"bytes 1000-{SIZE - 1}/*"},
        {"Content-Range": "nonsense"},
        {"Content-Range": ""},
    ],
)
def test_another_part_than_was_asked_for_is_not_taken(server, target, wrong):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    server.cuts, server.headers = [], wrong
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert server.ranges_asked[-2:] == ["bytes=1000-", None]


def test_a_part_where_none_was_asked_for_is_refused(server, target):
    server.statuses = [206] * 100
    assert "gives another part than it was asked for" in refused(server.url, target)
    server.statuses = [416] * 100
    assert "gives another part than it was asked for" in refused(server.url, target)
