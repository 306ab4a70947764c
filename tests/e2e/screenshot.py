"""An HTML file as a phone and a desktop show it: pictures, and what the browser noticed on the way.

`python tests/e2e/screenshot.py [REPORT.html [OUT_DIR]]` writes report-390.png and report-1280.png and fails when the
page scrolls sideways, asks the network for anything or makes the console complain. Chromium is found on PATH or
named by BIOMED_R1_CHROMIUM; it is driven over its debugging pipe (the DevTools protocol), so nothing else is needed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = (390, 1280)
TIMEOUT = 120  # seconds for one look; a browser that hangs is ended
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PROBE = """({
  width: document.documentElement.scrollWidth, view: window.innerWidth, height: document.documentElement.scrollHeight,
  wide: [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
    && e.getBoundingClientRect().right > WIDTH + 1 && e.getBoundingClientRect().width > 0)
    .map(e => e.tagName + '.' + e.className).slice(0, 5),
  clipped: [...document.querySelectorAll('svg[role=img] text')].filter(e => {
    const t = e.getBoundingClientRect(), f = e.closest('svg[role=img]').getBoundingClientRect();
    return t.left < f.left - 1.5 || t.right > f.right + 1.5;}).map(e => e.textContent).slice(0, 5),
  overlapping: [...document.querySelectorAll('svg[role=img] text.note')].filter(e => {
    const n = e.previousElementSibling.getBoundingClientRect();
    const t = e.getBoundingClientRect();
    return n.width > 0 && n.right > t.left && n.bottom > t.top + 2;}).map(e => e.textContent).slice(0, 5)
})"""


@dataclass(frozen=True)
class Look:
    """What one width showed: page size in CSS pixels, elements that stick out, requests and complaints."""

    view: int
    width: int
    height: int
    wide: list[str]
    clipped: list[str]
    overlapping: list[str]
    requests: list[str]
    complaints: list[str]


def find_chromium() -> str | None:
    """The browser's path, or None where there is none."""
    named = os.environ.get("BIOMED_R1_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page of a browser over its debugging pipe: messages are JSON, each ended by a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._in, self._out = to_browser, os.fdopen(from_browser, "rb", buffering=0)
        self._buffer, self._number, self.events = b"", 0, list[dict[str, Any]]()
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = self._out.read(1 << 20)
            if not chunk:
                raise RuntimeError("the browser ended before it answered")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def open_tab(chromium: str) -> Iterator[Tab]:
    """A fresh browser with a profile of its own, gone afterwards."""
    child_in, to_browser = os.pipe()
    from_browser, child_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="screenshot-", ignore_cleanup_errors=True) as profile:
        # The browser reads commands from descriptor 3 and writes answers to 4; the shell puts the pipes there.
        script = f'exec "$0" "$@" 3<&{child_in} 4>&{child_out}'
        browser = subprocess.Popen(
            ["bash", "-c", script, chromium, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(child_in, child_out),
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": profile},  # whatever it leaves behind goes with the profile
        )
        os.close(child_in)
        os.close(child_out)
        watchdog = threading.Timer(TIMEOUT, browser.kill)
        watchdog.start()
        try:
            yield Tab(to_browser, from_browser)
        finally:
            watchdog.cancel()
            browser.kill()
            browser.wait()
            os.close(to_browser)


def look(
    chromium: str, page: Path, width: int, picture: Path | None = None, dark: bool = False, top: int | None = None
) -> Look:
    """Open `page` at `width` pixels, as a phone below 600; writes a PNG of it, or of its `top`, where asked."""
    with open_tab(chromium) as tab:
        phone = width < 600
        size = {"width": width, "height": 844 if phone else 900, "deviceScaleFactor": 2 if phone else 1}
        tab.call("Emulation.setDeviceMetricsOverride", **size, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme])
        tab.call("Page.navigate", url=page.resolve().as_uri())
        tab.wait_for("Page.loadEventFired")
        seen = tab.evaluate(PROBE.replace("WIDTH", str(width)))
        if picture is not None:
            height = min(top or seen["height"], seen["height"])
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(base64.b64decode(shot["data"]))
        requests, complaints = _noticed(tab.events, page.resolve().as_uri())
    return Look(**seen, requests=requests, complaints=complaints)


def _noticed(events: list[dict[str, Any]], url: str) -> tuple[list[str], list[str]]:
    """Requests for anything but the page itself and inline data; console errors and warnings."""
    requests, complaints = [], []
    for event in events:
        params, method = event.get("params", {}), event.get("method")
        if method == "Network.requestWillBeSent" and params["request"]["url"] != url:
            if not params["request"]["url"].startswith("data:"):
                requests.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            complaints.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            complaints.append(str(params["exceptionDetails"].get("text")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            complaints.append(str(params["args"]))
    return requests, complaints


def newest_report() -> Path | None:
    """The report of the latest run on this machine."""
    home = Path(os.environ.get("BIOMED_R1_HOME", ".biomed-r1"))
    return max(home.rglob("report.html"), key=lambda path: path.stat().st_mtime, default=None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Pictures of a report at phone and desktop width.")
    parser.add_argument("page", type=Path, nargs="?", help="HTML file (default: the newest report of a run here)")
    parser.add_argument("out", type=Path, nargs="?", help="folder for the pictures (default: beside the page)")
    parser.add_argument("--top", type=int, metavar="PIXELS", help="only this much of the page, from its top")
    asked = parser.parse_args(arguments)
    page, chromium = asked.page or newest_report(), find_chromium()
    if page is None or not page.is_file():
        print(f"{page or 'no report'}: not found; name an HTML file, or make one with `make run`", file=sys.stderr)
        return 2
    if chromium is None:
        print(f"no browser: install one of {', '.join(NAMES)} or set BIOMED_R1_CHROMIUM", file=sys.stderr)
        return 2
    bad = False
    for width in WIDTHS:
        picture = (asked.out or page.parent) / f"{page.stem}-{width}.png"
        seen = look(chromium, page, width, picture, top=asked.top)
        problems = [*seen.wide, *seen.clipped, *seen.overlapping, *seen.requests, *seen.complaints]
        bad = bad or bool(problems) or seen.width > width
        print(f"{picture}: the page is {seen.width} x {seen.height} px", *problems, sep="\n  ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
