"""A local S3: moto's server in a thread, which writes down what it is asked and can refuse to hand out some objects."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class S3Server:
    """Attributes: ``url``; ``asked``, method, path and range of every request; ``broken``, keys that
    give errors; ``expired``, whether credentials have run out; ``moody``, as said.
    """

    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    expired: bool = False
    moody: int = 0  # of so many requests one fails: by 503, by 500 and by a line that is cut in turns; 0: none
    _cut: Any = None
    moods: list[str] = field(default_factory=list)  # how they have failed

    def environment(self) -> dict[str, str]:
        """What tells S3's tools of it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAOFTHETEST",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "2",
        }

    def objects_read(self) -> list[str]:
        """Keys of the objects of which something was fetched, in order."""
        return [path for method, path, _ in self.asked if method == "GET" and path.count("/") > 1]

    def application(self, whole: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The server's, watched."""

        def watched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            self.asked.append((method, path, environ.get("HTTP_RANGE", "")))
            if self.expired:
                return _refused(method, start)
            if method == "GET" and any(path.endswith(key) for key in self.broken):
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            if self.moody and len(self.asked) % self.moody == 0:
                return self._fail(environ, start)
            return whole(environ, start)

        def cut(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            content = b"".join(whole(environ, start))
            yield content[: len(content) // 2]
            raise ConnectionAbortedError("the line is cut, as the test wants it")

        self._cut = cut
        return watched

    def _fail(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        mood = ("503 Slow Down", "500 Internal Server Error", "cut")[len(self.moods) % 3]
        self.moods.append(mood)
        if mood == "cut" and environ["REQUEST_METHOD"] == "GET":
            return self._cut(environ, start)
        start("503 Slow Down" if mood == "cut" else mood, [("Content-Length", "0")])
        return [b""]


def _refused(method: str, start: Callable[..., Any]) -> Iterable[bytes]:
    """As S3 answers: the reason is in the body, which an answer to HEAD has not."""
    body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    body = b"" if method == "HEAD" else body
    start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def serve(server: S3Server) -> Callable[[], None]:
    """Begin to serve; what is returned ends it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = server.application(DomainDispatcherApplication(create_backend_app))
    listening = make_server("127.0.0.1", 0, application, threaded=True)
    server.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()

    def end() -> None:
        listening.shutdown()
        thread.join()
        listening.server_close()

    return end
