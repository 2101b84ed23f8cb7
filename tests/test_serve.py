"""The sockets that HTTP workers listen on."""

import socket
import sys
from contextlib import ExitStack

import pytest

from fhir_server.serve import PortInUse, listen, listen_apart

CONNECTIONS = 64


def test_one_worker_or_another_system_has_one_socket() -> None:
    (listener,) = listen_apart("127.0.0.1", 0, 1)
    with listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections among sockets of one port")
def test_connections_are_spread() -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen_apart("127.0.0.1", 0, 2)]
        address = listeners[0].getsockname()
        assert listeners[1].getsockname() == address
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(address))
        counts = [0, 0]
        for number, listener in enumerate(listeners):
            listener.settimeout(0.2)
            try:
                while True:
                    stack.enter_context(listener.accept()[0])
                    counts[number] += 1
            except TimeoutError:
                pass
        assert sum(counts) == CONNECTIONS
        # Each goes to either with the same chance: fewer than 8 of 64 come up once in 10^10 times.
        assert min(counts) >= 8, counts


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_is_noticed(count: int, shared: bool) -> None:
    with listen("127.0.0.1", 0, one_of_many=shared) as other, pytest.raises(PortInUse):
        listen_apart("127.0.0.1", other.getsockname()[1], count)
