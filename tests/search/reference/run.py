"""Running all examples on a server."""

from __future__ import annotations

import httpx

from tests.search.reference.example import Outcome, Server
from tests.search.reference.page import examples


def outcomes(client: httpx.Client) -> list[Outcome]:
    """Return what an empty server makes of the examples, once it holds their resources."""
    server = Server.fill(client)
    return [server.run(example) for example in examples()]
