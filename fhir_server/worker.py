"""A worker process of ``praxis serve``: ``python -m fhir_server.worker http FD``, ``… mllp`` or ``… inbox``.

It reads its database's address from standard input, which the parent opens late: what is imported meanwhile costs no time. When
standard input ends, the parent has died and the worker stops too, so that no worker outlives its database.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

import uvicorn
import uvloop

from fhir_server.main import Application
from fhir_server.settings import Settings

GRACE_SECONDS = 10


def _stop_with_parent() -> None:
    """Wait for the end of standard input, then stop this process as SIGTERM would."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _read_address() -> str:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            sys.exit(0)  # the parent gave up before the database was there
        line += part
    threading.Thread(target=_stop_with_parent, name="stop-with-parent", daemon=True).start()
    return line.decode().strip()


def serve_http(settings: Settings, descriptor: int) -> None:
    """Serve HTTP on a listening socket inherited from the parent."""
    listener = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        Application(settings, _read_address()),
        http="httptools",
        loop="auto",
        ws="none",
        interface="asgi3",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=settings.base_url is not None,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
        backlog=2048,
        log_config=None,
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_feed(settings: Settings, kind: str) -> None:
    """Listen for HL7 v2 messages, or process the inbox."""
    from fhir_server import feed  # noqa: PLC0415 - HTTP workers do not need it

    run = feed.listen if kind == "mllp" else feed.process_inbox
    uvloop.run(run(settings, _read_address()))


def main(arguments: list[str]) -> None:
    """Run one worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Ctrl-C reaches the whole group; the parent decides when its workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings()
    if arguments[0] == "http":
        serve_http(settings, int(arguments[1]))
    else:
        serve_feed(settings, arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
