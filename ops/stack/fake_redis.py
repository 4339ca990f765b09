"""fakeredis as a process: `python -m ops.stack.fake_redis --port N`. In memory, loopback only, without a password."""

import argparse
import signal
import sys
import threading

from ops.stack.ports import HOST


def main() -> None:
    """Serve until SIGTERM."""
    from fakeredis import TcpFakeServer  # lazy: only machines without Redis need the package

    parser = argparse.ArgumentParser(prog="fake_redis")
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    server = TcpFakeServer((HOST, port))
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
