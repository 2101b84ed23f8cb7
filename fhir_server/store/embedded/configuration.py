"""The server settings of the embedded database, chosen for one practice's machine.

They are given on the server's command line at every start and so take precedence over `postgresql.conf`: a newer
Praxis can change them in an existing data directory. https://www.postgresql.org/docs/18/runtime-config.html
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_MEGABYTE = 1 << 20
_FORBIDDEN = frozenset(
    # What keeps committed data, and what keeps everybody else out, is not a matter of taste.
    {"fsync", "full_page_writes", "synchronous_commit", "listen_addresses", "port", "unix_socket_directories"}
    | {"unix_socket_permissions", "cluster_name", "data_directory", "hba_file", "config_file", "external_pid_file"}
    | {"logging_collector"}
)
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


def compose_settings(socket_dir: Path, cluster_name: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """Return all server settings by name: the defaults, then `overrides`, then what is not negotiable.

    Raises ValueError for an override of the latter, or for what cannot be the name of a setting.
    """
    for name, value in overrides.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(f"not a PostgreSQL setting: {name}={value}")
        if name in _FORBIDDEN:
            raise ValueError(f"the embedded PostgreSQL decides {name} itself")
    memory = _read_memory_size()
    return {
        "shared_buffers": _in_megabytes(memory / 8, 64, 1024),
        "effective_cache_size": _in_megabytes(memory / 2, 128, 65536),
        "maintenance_work_mem": _in_megabytes(memory / 32, 64, 512),
        "work_mem": _in_megabytes(memory / 512, 4, 32),
        "max_connections": "100",
        # Dumping and restoring lock every table in one transaction, and there are several for each resource type.
        "max_locks_per_transaction": "256",
        "wal_compression": "pglz",
        "min_wal_size": "128MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "10min",
        # Searches are short; compiling them costs more than it saves, and estimates on skewed codes need finer
        # statistics.
        "jit": "off",
        "default_statistics_target": "200",
        "random_page_cost": "1.1",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.02",
        # Search plans rest on statistics, so a database that fills up gets them soon.
        "autovacuum_naptime": "10s",
        "idle_in_transaction_session_timeout": "60s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": "off",
        # Details and parameters of a failed statement hold patient data.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        **overrides,
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "unix_socket_directories": f'"{socket_dir}"',
        "unix_socket_permissions": "0700",
        "port": "5432",
        "cluster_name": cluster_name,
        "logging_collector": "off",
    }


def _in_megabytes(size: float, least: int, most: int) -> str:
    """Return a size in bytes as a setting, kept within bounds given in megabytes."""
    return f"{min(max(int(size) // _MEGABYTE, least), most)}MB"


def _read_memory_size() -> int:
    """Return the bytes of memory this machine has, or this container may use if that is less."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Absent outside Linux; the word `max` where there is no limit.
    with suppress(OSError, ValueError):
        size = min(size, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return size
