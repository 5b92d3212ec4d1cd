"""One GET over HTTP: redirects are followed with care, and every failure is a sentence.

Proxies are those of the environment. A redirect may lead to http or https alone, never from https back to http, and not
through more than a few stations.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse, InvalidURL
from ssl import SSLCertVerificationError
from typing import cast
from urllib import request
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit

from artc import __version__
from artc.errors import DownloadError, InputError

REDIRECTS = 5
CHUNK = 1 << 18

_HEADERS = {"User-Agent": f"artc/{__version__}", "Accept-Encoding": "identity"}
_FOLLOWED = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)


def check_address(url: str, *, hint: str = "") -> None:
    """Raise InputError for what is no whole http or https address."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # such as a port that is no number
        sound = False
    if not sound or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise InputError(f"{url!r} is not an http or https address.", hint=hint)


@contextmanager
def get(url: str, headers: Mapping[str, str], timeout: float) -> Iterator[HTTPResponse]:
    """The reply to a GET, after redirects: 200, 206 (a part of the file) or 416 (there is no such part).

    `timeout` is in seconds, for connecting and for each silence after that. Raises DownloadError otherwise.
    """
    place = url
    for _ in range(REDIRECTS + 1):
        reply = _open(place, headers, timeout)
        with closing(reply):
            if reply.status not in _FOLLOWED:
                _refuse(reply, place)
                yield reply
                return
            place = _next(place, reply)
    raise DownloadError(f"{url} redirects more than {REDIRECTS} times.")


def pieces(reply: HTTPResponse, length: int, url: str, timeout: float) -> Iterator[bytes]:
    """So many bytes of the body, as they come; raises a passing DownloadError when there are not as many."""
    while length > 0:
        try:
            # Unlike `read`, which waits for all, it loses nothing of what came before a cut.
            piece = reply.read1(min(CHUNK, length))
        except (OSError, HTTPException) as error:
            raise _explained(url, error, timeout) from error
        if not piece:
            raise _cut(url)
        length -= len(piece)
        yield piece


def _open(url: str, headers: Mapping[str, str], timeout: float) -> HTTPResponse:
    opener = request.OpenerDirector()
    # Nothing but these, so that neither file:// nor ftp:// has anyone to open it.
    for handler in (request.ProxyHandler(), request.HTTPHandler(), request.HTTPSHandler()):
        opener.add_handler(handler)
    wanted = request.Request(url, headers={**_HEADERS, **headers})  # noqa: S310 - checked, here and at every redirect
    try:
        return cast("HTTPResponse", opener.open(wanted, timeout=timeout))
    except (OSError, HTTPException, ValueError) as error:
        raise _explained(url, error, timeout) from error


def _refuse(reply: HTTPResponse, url: str) -> None:
    host, status = urlsplit(url).hostname, reply.status
    if status in (404, 410):
        raise DownloadError(f"There is no file at {url} ({status} {reply.reason}).")
    if status in (401, 403):
        raise DownloadError(f"{host} refuses to give {url} ({status} {reply.reason}).")
    if status not in (200, 206, 416):
        passing = status in _PASSING or status >= 500
        raise DownloadError(f"{host} fails to give {url} ({status} {reply.reason}).", passing=passing)
    kind = reply.headers.get_content_type()
    if status != 416 and kind in ("text/html", "application/xhtml+xml"):
        raise DownloadError(f"{url} gives a web page in place of the file; it may be a log-in page of the network.")
    if reply.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{host} gives {url} in an encoding that was not asked for.")


def _next(url: str, reply: HTTPResponse) -> str:
    location = reply.headers.get("Location", "")
    try:
        target = urljoin(url, quote(location, safe=string.punctuation, encoding="iso-8859-1", errors="replace"))
        check_address(target)
    except (ValueError, InputError):
        raise DownloadError(f"{url} redirects to {location!r}, which is not an http or https address.") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise DownloadError(f"{url} redirects from https to {target}, where anyone could change the file.")
    return target


def _explained(url: str, error: Exception, timeout: float) -> DownloadError:
    """The sentence for an exception of the standard library."""
    host = urlsplit(url).hostname
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, SSLCertVerificationError):
        why = reason.verify_message.rstrip(".")
        return DownloadError(f"The certificate of {host} cannot be trusted: {why}.")
    if isinstance(reason, TimeoutError):
        # Who does not even take a connection is not asked again: the wait was long enough.
        return DownloadError(f"{host} did not answer for {timeout:g} s.", passing=reason is error)
    if isinstance(error, URLError):
        return DownloadError(f"Cannot reach {host}: {getattr(reason, 'strerror', None) or reason}.")
    if isinstance(error, (InvalidURL, ValueError)):
        return DownloadError(f"{url!r} is not an address that can be opened.")
    return _cut(url)


def _cut(url: str) -> DownloadError:
    return DownloadError(f"{urlsplit(url).hostname} broke off the connection.", passing=True)
