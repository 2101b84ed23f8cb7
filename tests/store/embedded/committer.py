"""A program that serves a database, commits rows without end, and prints each number once its commit is acknowledged.

Arguments: the data directory, and the first number. It ends cleanly on SIGTERM.
"""

import signal
import sys
import time
from itertools import count
from pathlib import Path

import psycopg

from fhir_server.store.embedded import EmbeddedPostgres


def commit_forever(dsn: str, first: int) -> None:
    """Insert first, first + 1, ... one transaction each; a number whose fate is unknown is never tried again."""
    numbers = count(first)
    while True:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (number int PRIMARY KEY)")
                for number in numbers:
                    connection.execute("INSERT INTO acknowledged VALUES (%s)", (number,))
                    sys.stdout.write(f"{number}\n")
                    sys.stdout.flush()
        except psycopg.OperationalError:
            time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        commit_forever(postgres.dsn, int(sys.argv[2]))
