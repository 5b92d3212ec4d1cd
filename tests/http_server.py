"""A real HTTP server on this machine that serves one file, and misbehaves on request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = b"\x80\x04" + bytes(range(256)) * 2048 + b"."
"""Half a megabyte that begins and ends as a pickle does."""


@dataclass
class Server:
    """What is served, how, and what was asked for; to be changed at any time between two requests."""

    content: bytes = FILE
    etag: str | None = '"one"'
    modified: str | None = None
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers; they replace those that the server would send."""
    ranges: bool = True
    heeds_if_range: bool = True
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests, before there is any file."""
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Of the next bodies: how many bytes to send before the connection breaks."""
    hold_at: int | None = None
    """After so many bytes of the file the server waits for `release`."""
    release: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]

    @property
    def url(self) -> str:
        return f"{self.address}/model.pkl"


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine, to the end of the block."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                answer(self, state)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.release.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def answer(handler: BaseHTTPRequestHandler, state: Server) -> None:
    asked = {name.lower(): value for name, value in handler.headers.items()}
    state.requests.append((handler.path, asked))
    if state.statuses:
        send(handler, state.statuses.pop(0), {"Content-Length": "0"})
    elif handler.path in state.redirects:
        send(handler, 302, {"Location": state.redirects[handler.path], "Content-Length": "0"})
    else:
        send_file(handler, state, asked)


def send_file(handler: BaseHTTPRequestHandler, state: Server, asked: dict[str, str]) -> None:
    validators = {"ETag": state.etag, "Last-Modified": state.modified}
    headers = {name: value for name, value in validators.items() if value is not None}
    headers["Content-Type"] = state.kind
    total = len(state.content)
    same = not state.heeds_if_range or asked.get("if-range") in (None, state.etag, state.modified)
    begin = int(asked["range"].removeprefix("bytes=").removesuffix("-")) if "range" in asked else None
    if begin is not None and state.ranges and same:
        if begin >= total:
            send(handler, 416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"})
            return
        status, body = 206, state.content[begin:]
        headers["Content-Range"] = f"bytes {begin}-{total - 1}/{total}"
    else:
        status, body = 200, state.content
    headers["Content-Length"] = str(len(body))
    send(handler, status, headers | state.headers)
    if state.cuts:
        handler.wfile.write(body[: state.cuts.pop(0)])
        return
    held = len(body) if state.hold_at is None else max(0, state.hold_at - (total - len(body)))
    handler.wfile.write(body[:held])
    if held < len(body):
        state.release.wait(20)
        handler.wfile.write(body[held:])


def send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
