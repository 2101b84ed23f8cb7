"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe_machine(dsn: str | None = None) -> dict[str, str]:
    """Return processor, cores, memory, kernel, Python and, if its DSN is known, PostgreSQL."""
    processors = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", processors)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _postgresql(dsn),
        "commit": _commit(),
    }


def _postgresql(dsn: str | None) -> str:
    if dsn is None:
        return "unknown"
    import psycopg  # noqa: PLC0415 - needed only when the database is ours to ask

    with psycopg.connect(dsn) as connection:
        return str((connection.execute("SHOW server_version").fetchone() or ("unknown",))[0])


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return asked.stdout.strip() or "unknown"
