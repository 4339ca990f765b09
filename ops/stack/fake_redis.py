"""fakeredis as a process: `python -m ops.stack.fake_redis --port N`. In memory, loopback only, without a password.

Its own server reads line by line, looks at each connection a hundred times a second, and compiles a script and collects
Lua's garbage at every call; what stands here instead takes a third of that. A connection only answers what it is asked:
nothing of ours subscribes to anything.
"""

import argparse
import signal
import socketserver
import sys
import threading
from typing import Any

from ops.stack.ports import HOST

_READ_BYTES = 1 << 18
_COLLECT = "collectgarbage()"
_COLLECT_EVERY = 1000


class _Lua:
    """A Lua runtime that compiles a script once, and collects garbage at every thousandth call."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[Any, Any] = {}
        self._calls = 0

    def execute(self, script: Any) -> Any:
        """What the script answers."""
        if script == _COLLECT:
            self._calls += 1
            return self._runtime.execute(script) if self._calls % _COLLECT_EVERY == 0 else None
        if script not in self._compiled:
            self._compiled[script] = self._runtime.compile(script)
        return self._compiled[script]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def _server(port: int) -> socketserver.ThreadingTCPServer:
    from fakeredis import FakeRedis, TcpFakeServer  # lazy: only machines without Redis need the package
    from fakeredis._clients._tcp_server import TCPFakeRequestHandler
    from fakeredis.commands_mixins import scripting_mixin

    class Handler(TCPFakeRequestHandler):
        def handle(self) -> None:
            client, stream = self.current_client, self.connection
            stream.setblocking(True)
            fake = client.get_socket()
            try:
                while data := stream.recv(_READ_BYTES):
                    fake.sendall(data)
                    while client.can_read():
                        self._answer()
            except OSError:
                return  # the client is gone, and nobody is there to be told

        def _answer(self) -> None:
            try:
                answer = self.current_client.read_response()
            except OSError:
                raise
            except Exception as error:
                answer = error  # a refusal is an answer like any other
            self.writer.dump(answer)

    server = TcpFakeServer((HOST, port))
    server.RequestHandlerClass = Handler
    shared: Any = server.fake_server
    FakeRedis(server=shared).eval("return 1", 0)  # makes the runtime
    shared._lua_runtime = _Lua(shared._lua_runtime)
    scripting_mixin._check_for_lua_globals = lambda *_: None  # at each call of each script; Redis itself finds them
    return server


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="fake_redis")
    parser.add_argument("--port", type=int, required=True)
    server = _server(parser.parse_args().port)
    server.daemon_threads = True  # its clients' threads must not outlive the listener
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    server.shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
