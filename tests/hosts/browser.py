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


class Page:
    """One tab of the browser."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self.process, self.commands, self.answers = process, commands, answers
        self.numbers, self.pending, self.session = itertools.count(1), b"", None
        self.said: list[str] = []
        """What the page threw or wrote to its console as an error."""

    def send(self, method: str, within: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + within
        while True:
            answer = self._next(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise ScriptError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.said.append(details.get("exception", {}).get("description") or details["text"])

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.pending:
            if not select.select([self.answers], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError("The browser does not answer.")
            if not (read := os.read(self.answers, 1 << 20)):
                raise TimeoutError("The browser is gone.")
            self.pending += read
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

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
def browsing(profile: Path, width: int = 1600, height: int = 900, scale: float = 1.0) -> Iterator[Page]:
    """A browser with one empty page of that many CSS pixels; ended however this ends."""
    assert CHROMIUM
    (reads, commands), (answers, writes) = os.pipe(), os.pipe()
    flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    flags += ["--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-gpu"]
    flags += ["--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US", f"--window-size={width},{height}"]
    flags += ["--no-sandbox"] if os.getuid() == 0 else []
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(reads), str(writes), CHROMIUM, *flags, "about:blank"],
        pass_fds=(reads, writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(reads)
    os.close(writes)
    page = Page(process, commands, answers)
    try:
        target = page.send("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page.send("Page.enable")
        page.send("Runtime.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        page.send("Emulation.setDeviceMetricsOverride", **size)
        yield page
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(commands)
        os.close(answers)
