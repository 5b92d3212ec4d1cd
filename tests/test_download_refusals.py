"""Whatever a server or the network does wrong is told in one sentence, and never taken for the file."""

import socket
import ssl
from urllib.error import URLError

import pytest

from artc.errors import DownloadError, InputError
from artc.models.published import web
from artc.models.published.download import TRIES
from tests.cli import names_in
from tests.downloading import SIZE, fetch, refused
from tests.http_server import FILE

pytestmark = pytest.mark.usefixtures("direct")


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
