"""A web server that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from mofore.data.ucf101 import Archive


@dataclass
class Web:
    """What is served, and how badly; ``drops`` and ``statuses`` are used up, one for each GET."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    drops: list[int | None] = field(default_factory=list)  # end the body after that many bytes
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    lie: int = 0  # added to the length that is announced
    content_type: str = "application/octet-stream"
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # method, Range
    address: str = ""

    def archive(self, name: str, folder: str = "UCF-101") -> Archive:
        return Archive(f"{self.address}/{name}", "--videos-url", folder)


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            web.asked.append((self.command, self.headers["Range"]))
            content = web.files.get(unquote(Path(self.path).name))
            status = web.statuses.pop(0) if body and web.statuses else 200
            if content is None or status != 200:
                self.send_error(404 if content is None else status)
            elif (begin := self.beginning()) > len(content):
                self.send_error(416)
            else:
                self.send_content(content, begin, body)

        def beginning(self) -> int:
            asked, condition = self.headers["Range"], self.headers["If-Range"]
            if asked is None or not web.ranges or condition != web.etag:
                return 0
            return int(asked.removeprefix("bytes=").removesuffix("-"))

        def send_content(self, content: bytes, begin: int, body: bool) -> None:
            total = len(content) + web.lie
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
            if web.etag:
                self.send_header("ETag", web.etag)
            self.send_header("Content-Type", web.content_type)
            self.send_header("Content-Length", str(total - begin))
            self.end_headers()
            end = web.drops.pop(0) if body and web.drops else None
            if body:
                self.wfile.write(content[begin:] if end is None else content[begin : begin + end])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.address = f"http://127.0.0.1:{server.server_port}/data"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
