"""An API of answers written down, for tests of the verbs that speak to it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typer.testing import CliRunner, Result

from ops.cli.main import app


class Scripted:
    """An API on loopback that answers what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, list[Any]] = {}
        self.url = ""

    def answer(self, method: str, path: str, *documents: Any) -> None:
        """What is answered there, one after the other; the last again and again."""
        self.answers[f"{method} {path}"] = list(documents)

    def verb(self, *words: str, answered: str | None = None) -> Result:
        """Run a verb against this API."""
        arguments = [*words, "--url", self.url, "--key", "cn_live_x"]
        return CliRunner().invoke(app, arguments, input=answered)


@contextmanager
def open_scripted() -> Iterator[Scripted]:
    """Listens until the block ends."""
    scripted = Scripted()

    class Door(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            scripted.asked.append((self.command, self.path, body))
            answers = scripted.answers[f"{self.command} {self.path.partition('?')[0]}"]
            document = json.dumps(answers.pop(0) if len(answers) > 1 else answers[0]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # names of the standard library

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield scripted
    server.shutdown()
    server.server_close()
