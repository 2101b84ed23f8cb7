"""The log file stays small and tells why a server failed."""

from pathlib import Path

from fhir_server.store.embedded.server_log import ServerLog


def test_the_reason_is_the_last_fatal_message_of_the_present_run(tmp_path: Path) -> None:
    """Messages of former runs do not count, nor do those after the fatal one."""
    log = ServerLog(tmp_path / "postgres.log")
    with log.open() as file:
        file.write(b"2024-01-01 UTC [1] FATAL:  former reason\n")
    with log.open() as file:
        assert log.last_reason() == ""
        file.write(b"2024-01-02 UTC [2] LOG:  starting\n")
        assert log.last_reason().endswith("starting")
        file.write(b"2024-01-02 UTC [2] FATAL:  disk on fire\n2024-01-02 UTC [2] LOG:  shutting down\n")
        assert log.last_reason() == "disk on fire"


def test_a_large_file_makes_way_while_the_server_writes_on(tmp_path: Path) -> None:
    """The open file is emptied in place; its content is kept once."""
    log = ServerLog(tmp_path / "postgres.log")
    with log.open() as file:
        file.write(b"x" * (11 * 1024 * 1024))
        log.limit_size()
        file.write(b"2024-01-02 UTC [2] PANIC:  new reason\n")
        assert log.last_reason() == "new reason"
        log.limit_size()
    former = tmp_path / "postgres.log.1"
    assert former.stat().st_size == 11 * 1024 * 1024
    assert former.stat().st_mode & 0o777 == 0o600
    assert log.path.stat().st_size < 100
