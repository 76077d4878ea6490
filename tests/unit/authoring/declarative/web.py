"""A web server that answers what its tests ask about."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site:
    """What the server was asked, and how jobs on it stand."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.looks_until_done = 0
        self.failures = 0
        self.url = ""
        self.elsewhere = ""  # the same server by another name


@contextmanager
def running_site() -> Iterator[Site]:
    """A server on this machine; gone at the end."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            site.asked.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
            status, answer, extra = _answer(site, self.path)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in extra.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    site.elsewhere = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(site: Site, path: str) -> tuple[int, Any, dict[str, str]]:
    if path.startswith("/text"):
        return 200, "plain words", {}
    if path.startswith("/missing"):
        return 404, "no such page here", {}
    if path.startswith("/flaky"):
        site.failures -= 1
        return (503, "busy", {}) if site.failures >= 0 else (200, {"ok": True}, {})
    if path.startswith("/job"):
        site.looks_until_done -= 1
        return 200, {"job": {"state": "running" if site.looks_until_done >= 0 else "done"}, "rows": 7}, {}
    if path.startswith("/away"):
        return 302, "", {"Location": f"{site.elsewhere}/data"}
    if path.startswith("/file"):
        return 302, "", {"Location": "file:///etc/hostname"}
    return 200, {"path": path}, {}
