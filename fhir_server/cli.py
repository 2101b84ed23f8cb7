"""The command line ``praxis``. Every refusal is one line on standard error with the way out, and a status other than 0."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import version as distribution_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from ai.cli import app as ai_app
from fhir_server.auth.caller import DEFAULT_TENANT
from fhir_server.errors import FhirError
from fhir_server.instance import default_processes, opened
from fhir_server.settings import Settings
from fhir_server.store.embedded import BackupError, EmbeddedPostgresError
from fhir_server.store.migrate import SchemaMismatch

if TYPE_CHECKING:
    from fhir_server.interactions.operation_context import OperationContext
    from fhir_server.jobs.load import Progress, Summary
    from fhir_server.store.database import Session

T = TypeVar("T")
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Praxis: a FHIR R4 server for clinics and networks.",
)
db = typer.Typer(no_args_is_help=True, help="Back up, restore and check the database.")
token = typer.Typer(no_args_is_help=True, help="Access tokens for clients.")
packages = typer.Typer(no_args_is_help=True, help="FHIR packages: implementation guides and their definitions.")
terminology = typer.Typer(no_args_is_help=True, help="Code systems from the releases of their publishers.")
app.add_typer(db, name="db")
app.add_typer(token, name="token")
app.add_typer(packages, name="packages")
app.add_typer(terminology, name="terminology")
app.add_typer(ai_app, name="ai")
console = Console()


class OutputFormat(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"


DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the embedded database lives.")]


def fail(message: str) -> NoReturn:
    """End the program with one line on standard error."""
    typer.echo(f"praxis: {message}", err=True)
    raise typer.Exit(1)


def read_settings(**options: Any) -> Settings:
    """Return the settings, with the options that were given before the environment's."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        # What is given here goes before the environment; names without an option come from there.
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        name = f"--{where.replace('_', '-')}" if where in given else f"PRAXIS_{where.upper()}"
        fail(f"{name + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the errors an operator can cause or cure into one line."""
    from fhir_server.serve import PortInUse  # noqa: PLC0415

    try:
        yield
    except (EmbeddedPostgresError, BackupError, SchemaMismatch, FhirError, PortInUse) as error:
        fail(str(error))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"praxis {distribution_version('praxis-fhir')}")
        raise typer.Exit


@asynccontextmanager
async def _own_data() -> AsyncIterator[OperationContext]:
    """Open this installation's data to the AI commands."""
    from fhir_server.auth.caller import Caller, Grant  # noqa: PLC0415
    from fhir_server.interactions.context import Context, instant  # noqa: PLC0415
    from fhir_server.interactions.operation_context import OperationContext  # noqa: PLC0415
    from fhir_server.main import open_server  # noqa: PLC0415

    settings = read_settings()
    with one_line_errors(), opened(settings) as dsn:
        async with open_server(settings, dsn) as server:
            caller = Caller("praxis ai", DEFAULT_TENANT, (Grant(),))
            yield OperationContext(Context(server, caller, "", instant()))


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback handles it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = _own_data


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="HTTP worker processes.")] = None,
    data_dir: DataDir = None,
    mllp_port: Annotated[int | None, typer.Option(help="Port for HL7 v2 messages over MLLP; 0 turns it off.")] = None,
    auth: Annotated[str | None, typer.Option(help="on or off; off only on a loopback host.")] = None,
) -> None:
    """Start the server."""
    from fhir_server import serve as server  # noqa: PLC0415

    if auth not in (None, "on", "off"):
        fail(f"--auth is on or off, not {auth}")
    settings = read_settings(
        host=host,
        port=port,
        workers=workers,
        data_dir=data_dir,
        mllp_port=mllp_port,
        auth=None if auth is None else auth == "on",
    )
    with one_line_errors():
        server.serve(settings, lambda ready_port, dsn: _announce(settings, ready_port, dsn))


def _announce(settings: Settings, port: int, dsn: str) -> None:
    """Print where the server is, what is in it and what to try."""
    from fhir_server.rest.pages import try_commands  # noqa: PLC0415
    from fhir_server.store.counts import count_by_type  # noqa: PLC0415

    base = settings.base_url or f"http://{settings.host}:{port}/fhir"
    console.print(f"Praxis serves FHIR R4 at [bold]{base}[/]", soft_wrap=True)
    console.print(f"Status page: {base.removesuffix('/fhir')}/", soft_wrap=True)
    if settings.mllp_port:
        console.print(f"HL7 v2 messages (MLLP) at {settings.mllp_host}:{settings.mllp_port}")
    if settings.auth:
        console.print(
            "Authentication is on. Make a token with: praxis token create NAME, and send it as Authorization: Bearer"
        )
    else:
        console.print("[yellow]Authentication is off: anyone on this machine can read and write. Loopback only.[/]")
    counts = ask(dsn, lambda session: count_by_type(session, DEFAULT_TENANT))
    content = ", ".join(f"{n:,} {t}" for t, n in list(counts.items())[:12]) or "nothing yet (try: praxis demo)"
    console.print(f"In it: {content}{' …' if len(counts) > 12 else ''}")  # noqa: PLR2004
    console.print("Try:")
    for command in try_commands(base):
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)
    sys.stdout.flush()


def ask(dsn: str, question: Callable[[Session], Awaitable[T]]) -> T:
    """Return what one short conversation with the database gives."""
    from fhir_server.store.database import Database  # noqa: PLC0415

    async def run() -> T:
        database = Database(dsn, max_connections=1)
        await database.open()
        try:
            async with database.session() as session:
                return await question(session)
        finally:
            await database.close()

    return asyncio.run(run())


def _run_load(start: Callable[[Callable[[Progress], None]], Summary], what: str) -> Summary:
    """Run a load under a progress bar and print what became of it."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(now: Progress) -> None:
            text = f"{what}: {now.entries:,} entries, {now.entries_per_second:,.0f}/s"
            bar.update(task, description=text, completed=now.bytes_read, total=now.bytes_total or None)

        return start(show)


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(help="Bundles, NDJSON, folders, .gz, .tgz or .zip files.")],
    data_dir: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="Processes to load with; default one a processor.")] = None,
    bulk: Annotated[
        bool | None,
        typer.Option(
            help="Several times faster, without search indexes meanwhile; default for much into an empty database."
        ),
    ] = None,
) -> None:
    """Load FHIR data. Running it again changes nothing; an interrupted load goes on."""
    from functools import partial  # noqa: PLC0415

    from fhir_server.jobs.load import BULK_WORTH_IT, load_paths  # noqa: PLC0415
    from fhir_server.jobs.load_crew import LoadStoppedError, prepare  # noqa: PLC0415
    from fhir_server.jobs.load_database import open_database  # noqa: PLC0415
    from fhir_server.jobs.load_sources import total_bytes  # noqa: PLC0415
    from fhir_server.store.search_indexes import build_missing, is_clear, without_indexes  # noqa: PLC0415
    from fhir_server.store.statistics import analyze  # noqa: PLC0415

    for path in paths:
        if not path.exists():
            fail(f"{path}: no such file or folder")
    prepare()
    with one_line_errors(), opened(read_settings(data_dir=data_dir), indexes=False) as dsn:
        if bulk is None:
            bulk = total_bytes(paths) >= BULK_WORTH_IT and is_clear(dsn)
        if not bulk:
            build_missing(dsn)
        taken_down = without_indexes(dsn) if bulk else None
        open_target = partial(open_database, dsn)
        try:
            summary = _run_load(
                lambda show: load_paths(paths, open_target, workers=workers, bulk=taken_down, on_progress=show),
                "loading",
            )
        except LoadStoppedError as error:
            fail(str(error))
        ask(dsn, lambda session: analyze(session, summary.entries))
    console.print(
        f"{summary.entries:,} entries stored in {summary.seconds:.1f} s ({summary.entries_per_second:,.0f}/s), "
        f"{summary.known_entries:,} were there already, {summary.failed:,} failed"
    )
    for source, reason in summary.skipped[:20]:
        console.print(f"skipped {source}: {reason}", highlight=False, markup=False)
    for source, reason in summary.failures[:50]:
        console.print(f"failed  {source}: {reason}", highlight=False, markup=False)
    if summary.failed > 50:  # noqa: PLR2004
        console.print(f"… and {summary.failed - 50:,} more")
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def demo(
    data_dir: DataDir = None,
    patients: Annotated[int, typer.Option(min=1, max=20000, help="How many patients.")] = 500,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing when the database holds data.")] = False,
) -> None:
    """Make the demo practice: practitioners, patients and a year of appointments, from a fixed seed."""
    from functools import partial  # noqa: PLC0415

    from conformance.decode import encode  # noqa: PLC0415
    from fhir_server.demo import bundles, generate  # noqa: PLC0415
    from fhir_server.jobs.load import Loader  # noqa: PLC0415
    from fhir_server.jobs.load_crew import prepare  # noqa: PLC0415
    from fhir_server.jobs.load_database import open_database  # noqa: PLC0415
    from fhir_server.jobs.load_sources import Found, OnBytes  # noqa: PLC0415
    from fhir_server.jobs.load_units import units_of  # noqa: PLC0415
    from fhir_server.store.counts import is_empty  # noqa: PLC0415
    from fhir_server.store.statistics import analyze  # noqa: PLC0415

    def source(_: OnBytes) -> Iterator[Found]:
        for number, bundle in enumerate(bundles(generate(patients=patients))):
            yield from units_of(encode(bundle), f"demo practice, part {number + 1}")

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        if not ask(dsn, lambda session: is_empty(session, DEFAULT_TENANT)):
            if if_empty:
                return
            fail("the database holds data already; the demo practice is for an empty one (choose another --data-dir)")
        prepare()
        open_target = partial(open_database, dsn)
        summary = _run_load(
            lambda show: Loader(source, open_target, workers=default_processes(), on_progress=show).run(),
            "making the demo practice",
        )
        ask(dsn, lambda session: analyze(session, summary.entries))
    for where, reason in summary.failures:
        console.print(f"failed  {where}: {reason}", highlight=False, markup=False)
    console.print(f"The demo practice is there: {summary.entries:,} resources in {summary.seconds:.1f} s")
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def reindex(
    types: Annotated[list[str] | None, typer.Argument(metavar="[TYPE]...", help="Resource types; default all.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make the index entries of stored resources anew, while the server runs or not."""
    from fhir_server.background import STATEMENT_SECONDS  # noqa: PLC0415
    from fhir_server.jobs.reindex_now import reindex_now  # noqa: PLC0415
    from fhir_server.main import open_server  # noqa: PLC0415

    async def run(dsn: str, show: Callable[[str], None]) -> str:
        async with open_server(settings, dsn) as server:
            return await reindex_now(server, types or (), settings.base_url or "", show)

    settings = read_settings(data_dir=data_dir, statement_timeout=STATEMENT_SECONDS)
    with one_line_errors(), opened(settings) as dsn, Console(stderr=True).status("reindexing") as status:
        done = asyncio.run(run(dsn, lambda progress: status.update(f"reindexing: {progress}")))
    console.print(done)


@app.command()
def fhirpath(
    expression: Annotated[str, typer.Argument(help="The FHIRPath expression.")],
    file: Annotated[Path, typer.Argument(help="A resource in JSON or XML; - for standard input.")],
) -> None:
    """Evaluate a FHIRPath expression on a resource and print each result as a line of JSON."""
    from fhir_server.commands_fhirpath import evaluate_file  # noqa: PLC0415

    with one_line_errors():
        for line in evaluate_file(expression, file):
            typer.echo(line)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Resources in JSON, XML or .ndjson; - for standard input.")],
    profile: Annotated[list[str] | None, typer.Option("--profile", help="A profile's URL; may be repeated.")] = None,
    package: Annotated[
        list[Path] | None, typer.Option("--package", help="A package (.tgz) with definitions; may be repeated.")
    ] = None,
    format_: Annotated[OutputFormat, typer.Option("--format", help="text or json.")] = OutputFormat.TEXT,
) -> None:
    """Validate files against FHIR R4 and profiles. The status is 0 if all are valid, 1 if not, 2 if some can't be read."""
    from fhir_server.commands_validate import as_json, validate_files  # noqa: PLC0415

    judged = []
    try:
        for one in validate_files(files, profile or (), package or ()):
            judged.append(one)
            for line in one.as_text() if format_ is OutputFormat.TEXT else ():
                typer.echo(line)
    except FhirError as error:
        typer.echo(f"praxis: {error}", err=True)
        raise typer.Exit(2) from error
    if format_ is OutputFormat.JSON:
        typer.echo(as_json(judged))
    if not all(one.valid for one in judged):
        raise typer.Exit(1)


@db.command()
def backup(file: Annotated[Path, typer.Argument(help="The file to write.")], data_dir: DataDir = None) -> None:
    """Write the whole database to a file, while the server runs or not."""
    from fhir_server.store.embedded import backup as write_backup  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir), schema=False) as dsn:
        write_backup(dsn, file)
    console.print(f"{file}: {file.stat().st_size:,} bytes")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'praxis db backup' wrote.")],
    data_dir: DataDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in the database.")] = False,
) -> None:
    """Bring a backup back; the server must not be running."""
    from fhir_server.store.embedded import restore as read_backup  # noqa: PLC0415
    from fhir_server.store.migrate import migrate  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir), exclusive=True, schema=False) as dsn:
        read_backup(dsn, file, force=force)
        migrate(dsn)
    console.print(f"{file} restored")


@db.command()
def check(data_dir: DataDir = None) -> None:
    """Read every table and report damage; status 1 when there is some."""
    from fhir_server.store.embedded import check as find_damage  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        findings = find_damage(dsn)
    for finding in findings:
        console.print(str(finding))
    if findings:
        raise typer.Exit(1)
    console.print("no damage found")


@token.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Who will use it: shown in lists and the audit trail.")],
    days: Annotated[int, typer.Option(help="Days until it expires; 0 for never.")] = 365,
    allow_expunge: Annotated[
        bool, typer.Option("--allow-expunge", help="Its holder may remove history and resources for good ($expunge).")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a bearer token with access to everything but $expunge and print it; it is shown only now."""
    from fhir_server.auth.tokens import create_token  # noqa: PLC0415

    if not name.strip():
        fail("a token needs a name")
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        text = ask(
            dsn,
            lambda session: create_token(session, DEFAULT_TENANT, name, expires_at=expires, expunge=allow_expunge),
        )
    typer.echo(text)


@token.command("list")
def token_list(data_dir: DataDir = None) -> None:
    """Show who holds tokens."""
    from fhir_server.store.tokens import list_tokens  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        rows = ask(dsn, lambda session: list_tokens(session, DEFAULT_TENANT))
    table = Table("name", "made", "expires", "revoked", "may expunge")
    for row in rows:
        times = (row.created_at, row.expires_at, row.revoked_at)
        shown = (str(when)[:19] if when is not None else "-" for when in times)
        table.add_row(row.subject, *shown, "yes" if row.expunge else "no")
    console.print(table)


@token.command("revoke")
def token_revoke(name: str, data_dir: DataDir = None) -> None:
    """Revoke every token of a name; servers notice within seconds."""
    from fhir_server.store.tokens import revoke_tokens  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        number = ask(dsn, lambda session: revoke_tokens(session, DEFAULT_TENANT, name, datetime.now(UTC)))
    if not number:
        fail(f"there is no valid token of {name}")
    console.print(f"{number} token(s) revoked")


@packages.command("add")
def packages_add(
    files: Annotated[list[Path], typer.Argument(help="Packages (.tgz), each after those that it depends on.")],
    ignore_missing: Annotated[
        bool, typer.Option("--ignore-missing", help="Install although packages that it depends on aren't there.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Install packages, while the server runs or not; servers notice within seconds."""
    from functools import partial  # noqa: PLC0415

    from fhir_server.operations.packages import Content, Installed, install, read_content  # noqa: PLC0415

    settings = read_settings(data_dir=data_dir)

    async def store(session: Session, content: Content) -> Installed:
        async with session.transaction():
            return await install(
                session,
                DEFAULT_TENANT,
                content,
                ignore_missing=ignore_missing,
                subject="praxis packages",
                base_url=settings.base_url or "",
                now=datetime.now(UTC),
            )

    for file in files:
        if not file.is_file():
            fail(f"{file}: no such file")
    with one_line_errors(), opened(settings) as dsn:
        for file in files:
            content = read_content(file.read_bytes())
            done = ask(dsn, partial(store, content=content))
            name = f"{content.package.name}#{content.package.version}"
            console.print(f"{name}: {len(content.resources)} definitions installed", highlight=False)
            if done.search_parameters:
                console.print(f"search parameters that are new: {len(done.search_parameters)}", highlight=False)
            if done.types:
                console.print(f"indexed anew while the server runs: {', '.join(done.types)}", highlight=False)
            for missing in done.missing:
                console.print(f"missing: {missing}", highlight=False, markup=False)
            for note in content.notes:
                console.print(f"left out: {note}", highlight=False, markup=False)


@packages.command("list")
def packages_list(data_dir: DataDir = None) -> None:
    """Show which packages are installed."""
    from fhir_server.store.packages import list_packages  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        installed = ask(dsn, lambda session: list_packages(session, DEFAULT_TENANT))
    table = Table("name", "version", "definitions", "installed", "by", "missing")
    for row in installed:
        when, missing = str(row.installed_at)[:19], ", ".join(row.missing) or "-"
        table.add_row(row.name, row.version, str(row.resources), when, row.subject, missing)
    console.print(table)


@packages.command("remove")
def packages_remove(
    name: Annotated[str, typer.Argument(help="The package's name, or name#version for one of several versions.")],
    data_dir: DataDir = None,
) -> None:
    """Remove a package; servers notice within seconds."""
    from fhir_server.operations.packages import remove  # noqa: PLC0415

    package, _, version = name.partition("#")

    async def delete(session: Session) -> list[str]:
        async with session.transaction():
            return await remove(session, DEFAULT_TENANT, package, version or None)

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        versions = ask(dsn, delete)
    if not versions:
        fail(f"there is no package {name}")
    console.print(f"removed: {', '.join(f'{package}#{v}' for v in versions)}", highlight=False)


@terminology.command("import")
def terminology_import(
    kind: Annotated[str, typer.Argument(help="snomed, loinc, rxnorm, cpt, hcpcs or csv.")],
    file: Annotated[Path, typer.Argument(help="The release: a zip archive, a folder or a file.")],
    version: Annotated[str | None, typer.Option(help="The version, when the file's name doesn't tell it.")] = None,
    url: Annotated[str | None, typer.Option(help="The code system's URL, for csv.")] = None,
    language_refset: Annotated[
        str | None, typer.Option(help="For snomed: the reference set that says which synonym to show; US English.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="For every tenant, not for this one.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Import a release as the current version of its code system, while the server runs or not."""
    from fhir_server.jobs.import_code_system import build_release  # noqa: PLC0415
    from fhir_server.store.code_system_files import EVERY_TENANT, store_file  # noqa: PLC0415

    tenant = EVERY_TENANT if all_tenants else DEFAULT_TENANT
    with one_line_errors(), Console(stderr=True).status("reading") as status, TemporaryDirectory() as folder:
        built = Path(folder) / "built"
        resource = build_release(
            built,
            (kind, file, version),
            lambda count: status.update(f"reading: {count:,} concepts"),
            url=url,
            language_refset=language_refset,
        )
        with opened(read_settings(data_dir=data_dir)) as dsn:
            show = lambda done, of: status.update(f"storing: {done} of {of} MB")  # noqa: E731 - a line of its own
            stored = ask(dsn, lambda session: store_file(session, tenant, built, resource, show))
    console.print(f"{stored.url}|{stored.version}: {stored.concepts:,} concepts", highlight=False, soft_wrap=True)


@terminology.command("list")
def terminology_list(
    shipped: Annotated[bool, typer.Option("--shipped", help="Also what comes with Praxis.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the imported code systems."""
    from conformance.terminology.shipped import code_systems  # noqa: PLC0415
    from fhir_server.store.code_system_files import EVERY_TENANT, list_files  # noqa: PLC0415

    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        files = ask(dsn, lambda session: list_files(session, DEFAULT_TENANT))
    # Lines, not a table: a canonical URL must not be broken.
    for file in files:
        state = "current" if file.current else "there" if file.whole else "interrupted"
        whom = ", all tenants" if file.tenant == EVERY_TENANT else ""
        typer.echo(f"{file.url}|{file.version}  {file.concepts:,} concepts, {file.size / 1e6:.1f} MB, {state}{whom}")
    for listed in code_systems() if shipped else ():
        version = f"|{listed.version}" if listed.version else ""
        typer.echo(f"{listed.url}{version}  {listed.concepts:,} concepts, shipped")


@terminology.command("remove")
def terminology_remove(
    url: Annotated[str, typer.Argument(help="The code system's URL.")],
    version: Annotated[str | None, typer.Option(help="Only this version; default all.")] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="What was imported for every tenant.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove an imported code system; servers notice within seconds."""
    from fhir_server.store.code_system_files import EVERY_TENANT, remove_files  # noqa: PLC0415

    tenant = EVERY_TENANT if all_tenants else DEFAULT_TENANT
    with one_line_errors(), opened(read_settings(data_dir=data_dir)) as dsn:
        number = ask(dsn, lambda session: remove_files(session, tenant, url, version))
    if not number:
        fail(f"{url}{f'|{version}' if version else ''} was not imported")
    console.print(f"{number} file(s) removed")


if __name__ == "__main__":
    app()
