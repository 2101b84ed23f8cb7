"""The composition root of a worker process: settings, database, registries, routes.

The ASGI server calls Application; what is below /fhir goes to FhirEndpoint (plain ASGI, the hot path), the rest to FastAPI
(status page, docs, health).
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

import ai
from fhir_server.auth.authenticate import Authenticate, BearerTokens, Off
from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.interactions.context import Server, instant
from fhir_server.interactions.warm import warm_up
from fhir_server.operations.expunge import EXPUNGE
from fhir_server.operations.registry import register
from fhir_server.operations.standard import STANDARD
from fhir_server.rest.endpoint import FhirEndpoint
from fhir_server.rest.pages import make_pages
from fhir_server.settings import Settings
from fhir_server.store.code_systems import CodeSystems
from fhir_server.store.database import Database
from fhir_server.store.secrets import provide_secret
from fhir_server.validation.policy import parse_policy

BASE_PATH = "/fhir"


@asynccontextmanager
async def open_server(settings: Settings, dsn: str) -> AsyncIterator[Server]:
    """Open the database and put a server's parts together; closes them at the end."""
    database = Database(
        dsn,
        max_connections=settings.connections,
        statement_timeout=settings.statement_timeout,
        pool_timeout=settings.pool_timeout,
        idle_timeout=settings.idle_timeout,
    )
    await database.open()
    try:
        async with database.session() as session:
            cursor_key = await provide_secret(session, DEFAULT_TENANT, "cursor")
        yield Server(
            database=database,
            cursor_key=cursor_key,
            operations=register([*STANDARD, EXPUNGE, *ai.operations(settings.models)]),
            started=instant(),
            auth=settings.auth,
            enforce_references=settings.referential_integrity == "enforce",
            code_systems=CodeSystems(database, settings.data_dir.expanduser().absolute() / "code-systems"),
            validation=parse_policy(settings.validation),
        )
    finally:
        await database.close()


class Application:
    """The ASGI application: sends FHIR requests to the endpoint and everything else to FastAPI."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._fhir: FhirEndpoint | None = None
        self._pages = FastAPI(title="Praxis", docs_url=None, redoc_url=None, openapi_url=None, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, pages: FastAPI) -> AsyncIterator[None]:
        async with open_server(self._settings, self._dsn) as server:
            authenticate: Authenticate = BearerTokens(server.database) if self._settings.auth else Off()
            self._fhir = FhirEndpoint(
                server,
                authenticate,
                base_path=BASE_PATH,
                base_url=self._settings.base_url,
                max_body=self._settings.max_body_bytes,
            )
            pages.include_router(make_pages(server, BASE_PATH))
            warm_up()
            # What is loaded by now stays; leaving it out of collections keeps their pauses short.
            gc.collect()
            gc.freeze()
            yield
            self._fhir = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one connection."""
        if scope["type"] == "http" and self._fhir is not None:
            path = scope["path"]
            if path.startswith(BASE_PATH) and (len(path) == len(BASE_PATH) or path[len(BASE_PATH)] == "/"):
                await self._fhir(scope, receive, send)
                return
        await self._pages(scope, receive, send)
