"""Headless Chromium, driven by its own debugging protocol over a pipe: no driver, no port, nothing to install.

Messages are JSON, each ended by a zero byte; the browser reads them on file descriptor 3 and answers on 4.
Protocol: https://chromedevtools.github.io/devtools-protocol
"""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# The pipes have whatever numbers they got: a small program of its own gives them the two that the browser expects.
LAUNCH = "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(os.dup(r), 63); os.dup2(w, 4); os.dup2(63, 3); "
LAUNCH += "os.close(63); os.execv(sys.argv[3], sys.argv[3:])"


class ScriptError(Exception):
    """A script in the page failed: what it threw."""


class Pipe:
    """The way to a running browser and back."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.numbers, self.pending = itertools.count(1), b""
        self.thrown: list[tuple[str, str]] = []
        """What scripts threw that nobody caught: the session of the page, and the text."""
        self.events: list[dict[str, Any]] = []
        """Whatever the browser told unasked, in the domains that are enabled."""

    def send(self, method: str, parameters: dict[str, Any], session: str | None, within: float) -> dict[str, Any]:
        """Send a command and wait for its answer; raises ScriptError when it is refused, TimeoutError without one."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + within
        while (answer := self._next(method, deadline)).get("id") != number:
            self.events += [answer] if "method" in answer else []
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                text = details.get("exception", {}).get("description") or details["text"]
                self.thrown.append((answer["sessionId"], text))
        if "error" in answer:
            raise ScriptError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self, method: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.pending:
            if not select.select([self.answers], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"The browser does not answer to {method}.")
            if not (read := os.read(self.answers, 1 << 20)):
                raise TimeoutError("The browser is gone.")
            self.pending += read
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)


class Page:
    """One tab of the browser, with cookies and storage of its own."""

    def __init__(self, pipe: Pipe, width: int, height: int, scale: float) -> None:
        self.pipe, self.session = pipe, None
        context = self.send("Target.createBrowserContext")["browserContextId"]
        self.target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.send("Page.enable")
        self.send("Runtime.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def send(self, method: str, within: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Send a command to this page and wait for its answer."""
        return self.pipe.send(method, parameters, self.session, within)

    @property
    def thrown(self) -> list[str]:
        """What scripts of this page threw and did not catch."""
        return [text for session, text in self.pipe.thrown if session == self.session]

    def events(self, method: str) -> list[dict[str, Any]]:
        """What the browser told of this page by that method, up to the last answer."""
        return [
            event for event in self.pipe.events if (event.get("sessionId"), event["method"]) == (self.session, method)
        ]

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise; raises ScriptError."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise ScriptError(found["result"].get("description") or found["exceptionDetails"]["text"])
        return found["result"].get("value")

    def wait_for(self, script: str, within: float = 60.0) -> Any:
        """The value of an expression as soon as it is true; what throws is not there yet."""
        deadline, last = time.monotonic() + within, None
        while time.monotonic() < deadline:
            with suppress(ScriptError):
                if last := self.evaluate(script):
                    return last
            time.sleep(0.1)
        raise TimeoutError(f"Not within {within:g} s: {script}; the last value was {last!r}")

    def click(self, x: float, y: float, count: int = 1) -> None:
        """Press and release the left button at a point of the page."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def click_on(self, selector: str) -> None:
        """Click in the middle of the first element that a CSS selector finds."""
        box = self.wait_for(
            f"(b => b && b.width && [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({json.dumps(selector)})?.getBoundingClientRect())"
        )
        self.click(*box)

    def picture(self, path: Path, clip: tuple[float, float, float, float] | None = None) -> Path:
        """Save what the page shows, or x, y, width, height of it, as PNG."""
        area = {"clip": dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)} if clip else {}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", **area)["data"]))
        return path


@contextmanager
def browsing(profile: Path) -> Iterator[Pipe]:
    """A browser without a page yet; ended however this ends."""
    assert CHROMIUM
    (reads, commands), (answers, writes) = os.pipe(), os.pipe()
    flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    flags += ["--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-gpu"]
    flags += ["--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US", "--no-startup-window"]
    flags += ["--no-sandbox"] if os.getuid() == 0 else []
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(reads), str(writes), CHROMIUM, *flags],
        pass_fds=(reads, writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(reads)
    os.close(writes)
    try:
        yield Pipe(commands, answers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(commands)
        os.close(answers)


@contextmanager
def page_of(pipe: Pipe, width: int = 1600, height: int = 1000, scale: float = 1.0) -> Iterator[Page]:
    """A fresh page of that many CSS pixels, `scale` pixels of a picture each; closed without being asked."""
    page = Page(pipe, width, height, scale)
    try:
        yield page
    finally:
        with suppress(OSError, ScriptError):
            page.send("Target.closeTarget", within=10.0, targetId=page.target)
