"""The pages a person opens first: status at ``/``, what the API offers at ``/docs``, and health for monitors."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from conformance.capability import INTERACTIONS
from conformance.decode import encode
from conformance.definitions import FHIR_VERSION, resource_types
from conformance.openapi import openapi
from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.errors import FhirError
from fhir_server.interactions.context import Server
from fhir_server.search.registry import SearchParameters, described_parameters
from fhir_server.store.counts import count_by_type

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem;color:#1d2733}
h1{font-size:1.8rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}a{color:#0b62a8}
code,pre{background:#f1f4f7;border-radius:4px}code{padding:.1rem .3rem}pre{padding:.8rem;overflow:auto}
table{border-collapse:collapse;width:100%}.num{text-align:right}.warn{background:#fff4d6;padding:.6rem .8rem;border-radius:4px}
td,th{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #e3e8ed;vertical-align:top}"""


def _page(title: str, body: str) -> HTMLResponse:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return HTMLResponse(
        f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>"
    )


def try_commands(base_url: str) -> list[str]:
    """Return three commands that show the server at work."""
    return [
        f"curl '{base_url}/Patient?_count=3&_pretty=true'",
        f"curl '{base_url}/Appointment?status=noshow&date=gt2020&_count=2&_pretty=true'",
        f"curl '{base_url}/Encounter/$suggest-codes?text=Type+2+diabetes,+no+chest+pain&_pretty=true'",
    ]


def make_pages(server: Server, base_path: str) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse)
    async def status(request: Request) -> HTMLResponse:
        """Show what is running, what is in it (only while authentication is off) and what to try."""
        base_url = f"{request.url.scheme}://{request.url.netloc}{base_path}"
        parts = [
            f"<h1>Praxis</h1><p>FHIR {FHIR_VERSION} server, version {escape(version('praxis-fhir'))}</p>",
            f'<p>FHIR base: <code>{escape(base_url)}</code> · <a href="/docs">API docs</a> · '
            f'<a href="{base_path}/metadata?_pretty=true">CapabilityStatement</a> · <a href="/health">Health</a></p>',
        ]
        if server.auth:
            parts.append(
                "<p>Requests need a token: <code>praxis token create NAME</code>, then "
                "<code>Authorization: Bearer …</code>.</p>"
            )
        else:
            parts.append('<p class="warn">Authentication is off. The server listens on this machine only.</p>')
            async with server.database.session() as session:
                counts = await count_by_type(session, DEFAULT_TENANT)
            rows = "".join(f'<tr><td>{t}</td><td class="num">{n:,}</td></tr>' for t, n in counts.items())
            parts.append(f"<h2>What is in it</h2><table>{rows or '<tr><td>nothing yet</td></tr>'}</table>")
        commands = "".join(f"<pre>{escape(c)}</pre>" for c in try_commands(base_url))
        parts.append(f"<h2>Try</h2>{commands}")
        return _page("Praxis", "".join(parts))

    @router.get("/docs", response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        """List every interaction, search parameter and operation, from the registries."""
        operations = "".join(
            f"<tr><td><code>${escape(o.definition['code'])}</code></td>"
            f"<td>{escape(', '.join(o.definition.get('resource', ['system'])))}</td>"
            f"<td>{escape(o.definition.get('description', ''))}</td></tr>"
            for o in server.operations.values()
        )
        parameters = described_parameters(server.tenant_parameters.of(DEFAULT_TENANT))
        resources = "".join(
            f'<tr id="{name}"><td><a href="{base_path}/{name}?_pretty=true">{name}</a></td>'
            f"<td>{escape(', '.join(f'{p.code} ({p.type})' for p in parameters.get(name, ())))}</td></tr>"
            for name in resource_types()
        )
        interactions = ", ".join(f"<code>{i}</code>" for i in INTERACTIONS)
        return _page(
            "Praxis API",
            f"<h1>API</h1><p>Every resource type: {interactions}; <code>batch</code> and <code>transaction</code> at the base. "
            f'The whole, for machines: <a href="{base_path}/metadata?_pretty=true">CapabilityStatement</a>, '
            '<a href="/openapi.json">OpenAPI</a> (<code>?type=Patient</code> for some types only).</p>'
            f"<h2>Operations</h2><table>{operations}</table><h2>Resource types and their search parameters</h2>"
            f"<table>{resources}</table>",
        )

    @lru_cache(maxsize=4)
    def description(parameters: SearchParameters, base_url: str, names: tuple[str, ...]) -> bytes:
        return encode(
            openapi(
                software_version=version("praxis-fhir"),
                base_url=base_url,
                resource_types=names,
                search_parameters=described_parameters(parameters),
                operations=[operation.definition for operation in server.operations.values()],
            )
        )

    @router.get("/openapi.json")
    async def describe(request: Request, types: Annotated[list[str] | None, Query(alias="type")] = None) -> Response:
        """Describe the FHIR API in OpenAPI 3.1: all resource types, or those that ``type`` names."""
        names = resource_types() if types is None else tuple(dict.fromkeys(types))
        unknown = [name for name in names if name not in resource_types()]
        if unknown:
            return JSONResponse({"reason": f"{unknown[0][:64]} is not a FHIR R4 resource type."}, status_code=404)
        base_url = f"{request.url.scheme}://{request.url.netloc}{base_path}"
        parameters = server.tenant_parameters.of(DEFAULT_TENANT)
        return Response(description(parameters, base_url, names), media_type="application/json")

    @router.get("/health")
    async def health() -> JSONResponse:
        """Answer 200 while the database answers, else 503."""
        try:
            async with server.database.session() as session:
                await session.fetch("SELECT 1")
        except FhirError as error:
            return JSONResponse({"status": "unavailable", "reason": str(error)}, status_code=error.status)
        return JSONResponse({"status": "ok", "version": version("praxis-fhir")})

    return router
