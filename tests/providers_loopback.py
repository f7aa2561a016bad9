"""A web server on the loopback that answers as a test says, and a world in which nobody really waits."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from engine.data.providers.patience import Bucket
from engine.data.providers.port import Surroundings

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


@dataclass(frozen=True)
class Asked:
    """One request, its query with the first value of each name."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What is sent back; `cut` promises so many bytes more than come, `drop` closes the line unanswered."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    drop: bool = False


def as_json(value: object, status: int = 200) -> Reply:
    return Reply(json.dumps(value).encode(), status)


Answers = Callable[[Asked], Reply]


class Loopback:
    """Remembers what was asked. Faults are sent first, one for each request."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.faults: list[Reply] = []
        self.url = ""

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.faults.pop(0) if self.faults else self.answers(asked)


@contextmanager
def serving(answers: Answers) -> Iterator[Loopback]:
    """Serve on a free port until the block ends."""
    loopback = Loopback(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = loopback.answer(Asked(unquote(parts.path), query, headers))
            if reply.drop:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.cut))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = self.close_connection or reply.cut > 0

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class World:
    """Time that stands still but while somebody sleeps."""

    def __init__(self, now: int, seed: int = 7) -> None:
        self.start = now
        self.slept: list[float] = []
        self.generator = np.random.default_rng(seed)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(
            now=lambda: self.start,
            monotonic=lambda: sum(self.slept),
            sleep=self.sleep,
            generator=self.generator,
        )

    @property
    def bucket(self) -> Bucket:
        return Bucket(1e9, monotonic=lambda: sum(self.slept), sleep=self.sleep)

    @property
    def waits(self) -> list[float]:
        """Waits between attempts, without those of the bucket."""
        return [seconds for seconds in self.slept if seconds > 0.5]
