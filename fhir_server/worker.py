"""What a worker process of ``praxis serve`` runs: an HTTP worker, the MLLP listener, the inbox or the jobs.

It is told its database's address through a pipe, late: what is prepared meanwhile costs no time. When the pipe closes, the parent has
died and the worker stops too, so that no worker outlives its database.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import uvicorn
import uvloop

from fhir_server import feed
from fhir_server.main import Application
from fhir_server.settings import Settings

GRACE_SECONDS = 10
# Decoded resources hold no cycles, so looking for some after every 700 objects only costs time.
COLLECT_AFTER = (50_000, 20, 50)


def _stop_with_parent(parent: Connection) -> None:
    """Wait for the end of the pipe, then stop this process as SIGTERM would."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _await_address(parent: Connection) -> str:
    try:
        address = str(parent.recv())
    except (EOFError, OSError):
        sys.exit(0)  # the parent gave up before the database was there
    threading.Thread(target=_stop_with_parent, args=(parent,), name="stop-with-parent", daemon=True).start()
    return address


def _serve_http(settings: Settings, dsn: str, listener: socket.socket | None) -> None:
    if listener is None:
        raise ValueError("an HTTP worker needs the listening socket")
    config = uvicorn.Config(
        Application(settings, dsn),
        http="httptools",
        loop="uvloop",
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


def _listen_mllp(settings: Settings, dsn: str, _: socket.socket | None) -> None:
    uvloop.run(feed.listen(settings, dsn))


def _process_inbox(settings: Settings, dsn: str, _: socket.socket | None) -> None:
    uvloop.run(feed.process_inbox(settings, dsn))


def _run_jobs(settings: Settings, dsn: str, _: socket.socket | None) -> None:
    # Imported by the only worker that needs it: what all of them import makes the start longer.
    from fhir_server import background  # noqa: PLC0415

    uvloop.run(background.run_jobs(settings, dsn))


KINDS: dict[str, Callable[[Settings, str, socket.socket | None], None]] = {
    "http": _serve_http,
    "mllp": _listen_mllp,
    "inbox": _process_inbox,
    "jobs": _run_jobs,
}


def work(kind: str, settings: Settings, parent: Connection, listener: socket.socket | None) -> None:
    """Run one worker until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Ctrl-C reaches the whole group; the parent decides when its workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.set_threshold(*COLLECT_AFTER)
    KINDS[kind](settings, _await_address(parent), listener)
