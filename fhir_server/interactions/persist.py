"""Trying a write again when another request was faster, https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from fhir_server.errors import Conflict
from fhir_server.interactions.context import Context, instant

T = TypeVar("T")

ATTEMPTS = 6
# No further attempt is begun after this many seconds: waiting for locks may have taken long already.
PATIENCE = 5.0
# A batch, or an operation that takes long, writes at the instant of the write: what looks for recent changes by
# ``last_updated`` (store.full_text) must not miss one that comes with an old instant.
STALE = timedelta(seconds=20)


async def persist(context: Context, attempt: Callable[[Context], Awaitable[T]]) -> T:
    """Run an attempt; when it meets a concurrent write, run it again from the start.

    The first attempt takes no locks ahead of its write. Later ones are told that the resource is ``contended``: they lock
    its row first, so that under load they queue instead of failing each other again and again.
    """
    until = time.monotonic() + PATIENCE
    if instant() - context.now > STALE:
        context = replace(context, now=instant())
    for number in range(ATTEMPTS):
        try:
            return await attempt(context if number == 0 else replace(context, now=instant(), contended=True))
        except Conflict:
            if number + 1 == ATTEMPTS or time.monotonic() > until:
                raise
            await asyncio.sleep(random.uniform(0.001, 0.005) * 2**number)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")
