"""A download from a real server: whole or not at all, gone on with where it stopped, every failure one sentence."""

import os
import socket
import ssl
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from urllib.error import URLError

import pytest

from artc.errors import ArtcError, DownloadError, InputError, OutputError
from artc.models.published import web
from artc.models.published.download import TRIES, download
from artc.progress import Progress, drain
from tests.cli import environment, names_in
from tests.http_server import FILE, serving

SIZE = len(FILE)


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """No proxy of the tester's stands between."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving() as state:
        yield state


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "model.pkl"


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


# ------------------------------------------------------------------------------------------- all is well


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server, target):
    updates = []
    assert drain(download(server.url, target), updates.append) == target
    assert target.read_bytes() == FILE
    assert names_in(target.parent) == ["model.pkl"]
    assert updates[0] == Progress(done=0, total=SIZE)
    assert [update for update in updates if update.done == update.total] == [updates[-1]]
    ((path, headers),) = server.requests
    assert (path, headers["accept-encoding"], "range" in headers) == ("/model.pkl", "identity", False)
    assert headers["user-agent"].startswith("artc/")


def test_the_mode_is_what_the_umask_leaves(server, target):
    before = os.umask(0o027)
    try:
        fetch(server.url, target)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o640


def test_an_old_file_is_replaced_at_the_very_end(server, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    steps = download(server.url, target)
    assert next(steps).done == 0
    assert target.read_bytes() == b"old"
    drain(steps)
    assert target.read_bytes() == FILE


@pytest.mark.parametrize("target_of", ["/elsewhere.pkl", "elsewhere.pkl", "{address}/elsewhere.pkl", "/else where.pkl"])
def test_redirects_are_followed(server, target, target_of):
    server.redirects = {"/model.pkl": "/second", "/second": target_of.format(address=server.address)}
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert [path for path, _ in server.requests][:2] == ["/model.pkl", "/second"]
    assert server.requests[2][0] == target_of.format(address="").replace(" ", "%20").rjust(14, "/")


def test_the_proxy_of_the_environment_is_used(server, target, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.address)
    fetch("http://models.invalid/model.pkl", target)
    assert target.read_bytes() == FILE
    assert server.requests[0][0] == "http://models.invalid/model.pkl"


# ------------------------------------------------------------------------------------------- cut and resumed


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


# ------------------------------------------------------------------------------------------- lengths and kinds


def test_a_body_shorter_than_its_length_is_never_taken_for_the_file(server, target):
    server.headers = {"Content-Length": str(SIZE + 10)}
    assert "broke off the connection" in refused(server.url, target)


def test_a_length_shorter_than_the_body_is_for_the_check_to_find(server, target):
    def check(file):
        if file.read_bytes()[-1:] != b".":
            raise InputError("It is cut off.")

    server.headers = {"Content-Length": str(SIZE - 10)}
    refused(server.url, target, InputError, check=check)
    assert names_in(target.parent) == []  # so that the next attempt does not go on from it


@pytest.mark.parametrize("length", ["", "-1", "many", "1" * 30])
def test_a_server_that_does_not_say_how_much_is_to_come_is_refused(server, target, length):
    server.headers = {"Content-Length": length}
    assert "does not say how long" in refused(server.url, target)


def test_what_makes_no_model_is_refused(server, target):
    server.kind = "text/html; charset=utf-8"
    assert "gives a web page in place of the file; it may be a log-in page" in refused(server.url, target)
    server.kind, server.headers = "application/octet-stream", {"Content-Encoding": "gzip"}
    assert "an encoding that was not asked for" in refused(server.url, target)
    server.content, server.headers = b"", {}
    assert "is empty" in refused(server.url, target)
    assert names_in(target.parent) == []


def test_a_web_page_does_not_cost_the_part(server, target):
    server.cuts = [1000] + [0] * 100
    refused(server.url, target)
    server.cuts, server.kind, server.ranges = [], "text/html", False
    assert "The 0.0 MB that came are kept" in refused(server.url, target)
    assert target.with_name("model.pkl.part").read_bytes() == FILE[:1000]


# ------------------------------------------------------------------------------------------- statuses


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "There is no file at {url} (404 Not Found)."),
        (410, "There is no file at {url} (410 Gone)."),
        (403, "127.0.0.1 refuses to give {url} (403 Forbidden)."),
        (401, "127.0.0.1 refuses to give {url} (401 Unauthorized)."),
        (400, "127.0.0.1 fails to give {url} (400 Bad Request)."),
        (204, "127.0.0.1 fails to give {url} (204 No Content)."),
    ],
)
def test_a_refusal_of_the_server_is_told_at_once(server, target, status, said):
    server.statuses = [status] * 100
    assert refused(server.url, target) == said.format(url=server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_of_the_server_may_pass(server, target, status):
    server.statuses = [status] * (TRIES - 1)
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    target.unlink()
    server.statuses = [status] * 100
    assert f"127.0.0.1 fails to give {server.url} ({status} " in refused(server.url, target)


def test_the_pauses_grow(server, target, monkeypatch):
    pauses = []
    monkeypatch.setattr("artc.models.published.download.time.sleep", pauses.append)
    server.statuses = [500] * 100
    refused(server.url, target, pause=1.0)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


# ------------------------------------------------------------------------------------------- redirects, addresses


def test_a_redirect_in_a_circle_ends(server, target):
    server.redirects = {"/model.pkl": "/a", "/a": "/model.pkl"}
    assert refused(server.url, target) == f"{server.url} redirects more than 5 times."
    assert len(server.requests) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a/b", "javascript:0", "http://[", "data:,"])
def test_a_redirect_to_anything_but_the_web_is_refused(server, target, location):
    server.redirects = {"/model.pkl": location}
    said = refused(server.url, target)
    assert said == f"{server.url} redirects to {location!r}, which is not an http or https address."


def test_a_redirect_from_https_to_http_is_refused(server):
    server.redirects = {"/model.pkl": f"{server.address}/other"}
    with web._open(server.url, {}, 5.0) as reply:
        with pytest.raises(DownloadError, match=r"redirects from https to http://.*, where anyone could change"):
            web._next("https://example.org/model.pkl", reply)
        assert web._next(server.url, reply) == f"{server.address}/other"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a",
        "/etc/passwd",
        "example.org/a",
        "https:///a",
        "https://[/a",
        "https://a:b/",
        "https://a:0/",
        "http://exa mple.org/a",
        "http://example.org/a\r\nHost: b",
        "",
    ],
)
def test_what_is_no_address_is_refused(url, target):
    assert refused(url, target, InputError).startswith(f"{url!r} is not an http or https address.")
    assert not target.parent.exists()


def test_an_address_that_only_looks_like_one_is_refused(target):
    assert "is not an address that can be opened" in refused("http://a..b/x", target)


# ------------------------------------------------------------------------------------------- the network


def test_a_closed_port_is_told_at_once(target):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert refused(f"http://127.0.0.1:{port}/a", target) == "Cannot reach 127.0.0.1: Connection refused."


def test_an_unknown_host_is_told_at_once(target, monkeypatch):
    asked = []

    def unknown(*arguments, **_):
        asked.append(arguments)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = refused("https://models.invalid/a", target)
    assert said == "Cannot reach models.invalid: Name or service not known."
    assert len(asked) == 1


def test_a_silent_server_is_waited_for_so_long_and_no_longer(server, target):
    server.hold_at = 50_000
    said = refused(server.url, target, timeout=0.05)
    assert said.startswith("127.0.0.1 did not answer for 0.05 s. The 0.1 MB that came are kept; the same command ")
    assert server.ranges_asked == [None] + ["bytes=50000-"] * (TRIES - 1)


def test_a_server_that_never_answers_is_given_up(target):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        said = refused(f"http://127.0.0.1:{deaf.getsockname()[1]}/a", target, timeout=0.02)
    assert said == "127.0.0.1 did not answer for 0.02 s."


@pytest.mark.parametrize(
    ("error", "said", "passing"),
    [
        (URLError(TimeoutError()), "h did not answer for 3 s.", False),
        (TimeoutError(), "h did not answer for 3 s.", True),
        (URLError(OSError("Tunnel connection failed: 403")), "Cannot reach h: Tunnel connection failed: 403.", False),
        (ConnectionResetError(104, "reset"), "h broke off the connection.", True),
        (ssl.SSLError(1, "[SSL] record layer failure"), "h broke off the connection.", True),
    ],
)
def test_each_failure_of_the_network_has_its_sentence(error, said, passing):
    explained = web._explained("https://h/a", error, 3.0)
    assert (explained.message, explained.passing) == (said, passing)


def test_a_certificate_that_cannot_be_trusted_is_named():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate."
    explained = web._explained("https://h/a", URLError(error), 3.0)
    assert explained.message == "The certificate of h cannot be trusted: self-signed certificate."
    assert not explained.passing


# ------------------------------------------------------------------------------------------- the folder


def test_a_full_disk_is_told_before_it_is_full(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("artc.models.published.download.shutil.disk_usage", lambda _: usage(2e9, 2e9, 100_000))
    said = refused(server.url, target, OutputError)
    assert said.startswith(
        f"{str(target.parent)!r} has room for 0 MB, and 1 MB are to come. Make room, or set ARTC_CACHE"
    )


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_told(server, target):
    target.parent.mkdir()
    target.with_name("model.pkl.part").symlink_to("/dev/full")
    assert refused(server.url, target, OutputError).startswith(
        f"Cannot write {str(target)!r}: No space left on device."
    )


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even the superuser may write")
def test_a_folder_that_cannot_be_written_is_told(server):
    said = refused(server.url, Path("/proc/self/model.pkl"), OutputError)
    assert said == "The folder '/proc/self' is not writable. Set ARTC_CACHE to another folder."


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_told(server, target):
    target.parent.mkdir(mode=0o555)
    assert "is not writable. Set ARTC_CACHE" in refused(server.url, target, OutputError)


def test_a_file_in_place_of_the_folder_is_told(server, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    for folder in (tmp_path / "file", tmp_path / "file" / "models"):
        with pytest.raises(OutputError, match=r"is not a folder\. Set ARTC_CACHE to another folder\."):
            fetch(server.url, folder / "model.pkl")
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_folder_in_place_of_the_file_is_told(server, target):
    target.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"Cannot write .*: Is a directory\."):
        fetch(server.url, target)


def test_two_at_once_do_not_meet_and_the_second_is_told(server, target):
    server.hold_at = 100_000
    first = download(server.url, target)
    next(first)
    code = f"""
from pathlib import Path
from artc.errors import OutputError
from artc.models.published.download import download
from artc.progress import drain
try:
    drain(download({server.url!r}, Path({str(target)!r})))
except OutputError as error:
    print(error)
"""
    second = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert (
        second.stdout == f"Another process is fetching {str(target)!r} at this moment. Wait for it, then try again.\n"
    )
    with pytest.raises(OutputError, match="Another process is fetching"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    server.release.set()
    drain(first)
    assert target.read_bytes() == FILE
    assert names_in(target.parent) == ["model.pkl"]


def test_a_lock_left_behind_by_a_crash_stops_nobody(server, target):
    target.parent.mkdir()
    target.with_name("model.pkl.lock").touch()
    fetch(server.url, target)
    assert names_in(target.parent) == ["model.pkl"]


def test_a_file_system_without_locks_is_told(server, target, monkeypatch):
    def unsupported(_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("artc.models.published.lock._lock", unsupported)
    with pytest.raises(ArtcError, match=r"No locks available\. Set ARTC_CACHE to another folder\."):
        fetch(server.url, target)
