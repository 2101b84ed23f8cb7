"""``praxis ai list | train | evaluate | promote | rollback | daily``: models, their training and their held-out figures.

The server's command line mounts ``app``. Where it can reach a server's data, it sets the Typer context's ``obj`` to a
function that opens an ``operations.contract.Context``; without one the commands read files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from ai.artifact import ArtifactError
from ai.entities.commands import evaluate_entities, train_entities
from ai.read_resources import UnreadableDataError

if TYPE_CHECKING:
    from ai.metrics import Figure
    from ai.no_show.bookings import Booking
    from fhir_server.operations.contract import Context

OpenContext = Callable[[], AbstractAsyncContextManager["Context"]]

app = typer.Typer(help="AI models: list, train, evaluate, promote, roll back.", no_args_is_help=True)
train_app = typer.Typer(help="Train a model, or --all.", invoke_without_command=True)
evaluate_app = typer.Typer(help="Print held-out figures with 95 % intervals.", invoke_without_command=True)
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
train_app.command("entities")(train_entities)
evaluate_app.command("entities")(evaluate_entities)
console = Console()

Data = Annotated[Path | None, typer.Option(help="FHIR NDJSON or Bundles (file or folder), or a Vitoria CSV.")]
CodiEsp = Annotated[Path | None, typer.Option(help="CodiEsp folder with train and dev, or one part to test on.")]
Pairs = Annotated[Path | None, typer.Option(help="TSV of label and ICD-10-CM code, with or without an id before.")]
Models = Annotated[Path | None, typer.Option(envvar="PRAXIS_MODELS", help="Folder of this site's own models.")]
Negex = Annotated[Path | None, typer.Option(help="TSV of the NegEx test set.")]


@app.command("list")
def list_models(models: Models = None) -> None:
    """List the models in force: version, hash, training data, card; and the versions kept in the folder."""
    from ai.models.folder import kept  # noqa: PLC0415
    from ai.registry import listings  # noqa: PLC0415

    try:
        found = listings(models)
        versions = {listing.name: kept(models, listing.name) for listing in found} if models is not None else {}
    except ArtifactError as error:
        _fail(str(error))
    for listing in found:
        console.print(f"{listing.name} {listing.version}  ({listing.operation})", highlight=False)
        for name, value in (("sha256", listing.sha256), ("trained on", listing.source), ("card", str(listing.card))):
            console.print(f"  {name:<12}{value}", highlight=False, markup=False, soft_wrap=True)
        for version in versions.get(listing.name, ()):
            mark = "in force" if version.in_force else "kept"
            console.print(f"  {mark:<12}{version.version}", highlight=False, markup=False, soft_wrap=True)


@app.command("promote")
def promote_model(
    name: Annotated[str, typer.Argument(help="The model, such as no-show.")],
    version: Annotated[str, typer.Argument(help="A version that is kept, see the list.")],
    models: Models = None,
) -> None:
    """Put a kept version in force; server processes notice by themselves."""
    from ai.models.folder import NoSuchVersionError, promote  # noqa: PLC0415

    try:
        promote(_folder(models), _known(name), version)
    except (NoSuchVersionError, ArtifactError) as error:
        _fail(str(error))
    typer.echo(f"{name} {version} is in force")


@app.command("rollback")
def roll_back(name: Annotated[str, typer.Argument(help="The model, such as no-show.")], models: Models = None) -> None:
    """Put the version back in force that was before the present one."""
    from ai.models.folder import NoSuchVersionError, rollback  # noqa: PLC0415

    try:
        version = rollback(_folder(models), _known(name))
    except (NoSuchVersionError, ArtifactError) as error:
        _fail(str(error))
    typer.echo(f"{name} {version or '(the shipped model)'} is in force")


@app.command("daily")
def run_daily(
    context: typer.Context,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Default: tomorrow (UTC).")] = None,
    models: Models = None,
) -> None:
    """Recalibrate on the outcomes that arrived, then write a RiskAssessment for each appointment of tomorrow."""
    from ai.no_show.daily import predict_day, recalibrate, tomorrow  # noqa: PLC0415

    if context.obj is None:
        _fail("the daily job needs a server's data")
    open_context: OpenContext = context.obj

    async def run() -> list[str]:
        async with open_context() as server:
            said = []
            if models is not None:
                rolling = await recalibrate(server, models)
                last = rolling.corrections[-1] if rolling.corrections else None
                said.append(
                    f"recalibrated on {last.outcomes} outcomes" if last else "too few later outcomes to recalibrate"
                )
            report = await predict_day(server, day.date() if day else tomorrow(server), models)
            left = "".join(f", {count} left out ({reason})" for reason, count in sorted(report.left_out.items()))
            return [*said, f"{report.day}: {report.predicted} appointments predicted{left}"]

    try:
        for line in asyncio.run(run()):
            typer.echo(line)
    except ArtifactError as error:
        _fail(str(error))


@train_app.callback()
def _train(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Train every model that there is data for.")] = False,
    data: Data = None,
    codiesp: CodiEsp = None,
    models: Models = None,
) -> None:
    """Train a model by name, or with --all every one that there is data for; --all keeps versions in the models folder."""
    if context.invoked_subcommand is not None:
        return
    if not every:
        _fail("name a model to train, or give --all")
    folder = _folder(models)
    if data is not None or context.obj is not None:
        train_no_show(context, data, models=folder)
    else:
        console.print("no-show: skipped, no --data and no server")
    if codiesp is not None:
        train_codes(codiesp, folder / "suggest-codes.json")
    else:
        console.print("suggest-codes: skipped, no --codiesp")


@train_app.command("no-show")
def train_no_show(
    context: typer.Context,
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Write the model to this file; nothing else changes.")] = None,
    source: Annotated[str, typer.Option(help="What the data is, in words.")] = "this site's own appointments",
    models: Models = None,
) -> None:
    """Train the no-show model on the server's own appointments, or on those in files.

    In a models folder the version is kept, and put in force if it is better than the one that is.
    """
    from ai.artifact import write_artifact  # noqa: PLC0415
    from ai.models.folder import keep, promote  # noqa: PLC0415
    from ai.no_show.model import NAME, load  # noqa: PLC0415
    from ai.no_show.promotion import compare  # noqa: PLC0415
    from ai.no_show.training import TooFewOutcomesError, train_on  # noqa: PLC0415

    if data is not None and data.name.endswith((".csv", ".csv.gz")):
        _fail("the Vitoria data is for evaluation only: its licence allows no model trained on it")
    try:
        bookings = _bookings(context, data)
        folder = _folder(models) if out is None else out.parent
        model = train_on(bookings, source)
        if out is not None:
            digest = write_artifact(out, model.to_artifact())
            typer.echo(f"{NAME} {model.version}, {model.training['outcomes']} outcomes, sha256 {digest} → {out}")
            return
        path = keep(folder, model.to_artifact())
        typer.echo(f"{NAME} {model.version}, {model.training['outcomes']} outcomes → {path}")
        comparison = compare(bookings, load(folder).model)
        typer.echo(str(comparison))
        if comparison.better:
            promote(folder, NAME, model.version)
        typer.echo(f"{model.version} is in force" if comparison.better else "not better: the model in force stays")
    except (TooFewOutcomesError, UnreadableDataError, ArtifactError) as error:
        _fail(str(error))


@train_app.command("codes")
def train_codes(
    codiesp: Annotated[Path, typer.Option(help="CodiEsp part to train on (the folder train).")],
    out: Annotated[Path, typer.Option(help="Where to write the model.")] = Path("suggest-codes.json"),
) -> None:
    """Train the confidence and the learned terms of the code model on coded notes."""
    from ai.artifact import write_artifact  # noqa: PLC0415
    from ai.codes.codiesp import read_part  # noqa: PLC0415
    from ai.codes.index import shipped_index  # noqa: PLC0415
    from ai.codes.training import TooFewNotesError, train  # noqa: PLC0415

    try:
        model = train(read_part(codiesp), shipped_index(), "CodiEsp v4 train, English translation (CC BY 4.0)")
    except (TooFewNotesError, UnreadableDataError) as error:
        _fail(str(error))
    digest = write_artifact(out, model.to_artifact())
    typer.echo(f"suggest-codes {model.version}, {model.training['notes']} notes, sha256 {digest} → {out}")


@evaluate_app.callback()
def _evaluate(context: typer.Context) -> None:
    """Print held-out figures with 95 % intervals; without a name, every evaluation that there is data for."""
    if context.invoked_subcommand is None:
        evaluate_all(context)


@evaluate_app.command("no-show")
def evaluate_no_show(
    context: typer.Context,
    data: Data = None,
    train: Annotated[Path | None, typer.Option(help="Earlier part, when the split is given.")] = None,
    test: Annotated[Path | None, typer.Option(help="Later part, when the split is given.")] = None,
) -> None:
    """Train on the earlier appointments, measure on the later ones, beside the baselines."""
    from ai.no_show.drift import STABLE  # noqa: PLC0415
    from ai.no_show.evaluation import TEST_SHARE, evaluate, read_bookings_from, split_by_time  # noqa: PLC0415
    from ai.no_show.training import TooFewOutcomesError  # noqa: PLC0415

    if (train is None) != (test is None):
        _fail("--train and --test go together")
    try:
        if train and test:
            parts, split = (read_bookings_from(train), read_bookings_from(test)), f"{train.name} | {test.name}"
        else:
            parts = split_by_time(_bookings(context, data))
            split = f"the last {TEST_SHARE:.0%} of outcomes by day"
        result = evaluate(*parts, split)
    except (TooFewOutcomesError, UnreadableDataError) as error:
        _fail(str(error))
    console.print(
        f"no-show: n = {result.n} ({result.missed} missed), trained on {result.n_train}; "
        f"split: {result.split}; {result.seconds:.1f} s"
    )
    for predictor, figures in result.figures.items():
        _print(predictor, figures)
    for group in result.subgroups:
        _print(f"group {group.name}: n = {group.n}, {group.missed:.1%} missed", group.figures)
    drifted = ", ".join(f"{code} {index:.3f}" for code, index in result.drift.items() if index >= STABLE)
    console.print(f"  drift since the training (stability index of {STABLE} and more): {drifted or 'none'}")


@evaluate_app.command("codes")
def evaluate_codes(pairs: Pairs = None, codiesp: CodiEsp = None) -> None:
    """Measure code ranking on pairs, and suggestions on coded notes."""
    from ai.codes.codiesp import read_part  # noqa: PLC0415
    from ai.codes.evaluation import evaluate_notes, evaluate_pairs, split_of  # noqa: PLC0415
    from ai.codes.index import shipped_index  # noqa: PLC0415
    from ai.codes.suggestion import load  # noqa: PLC0415
    from ai.codes.terms import read_pairs  # noqa: PLC0415
    from ai.codes.training import TooFewNotesError  # noqa: PLC0415
    from ai.codes.training import train as train_model  # noqa: PLC0415

    if pairs is None and codiesp is None:
        _fail("give --pairs or --codiesp")
    try:
        if pairs is not None:
            result = evaluate_pairs(read_pairs(pairs))
            console.print(f"codes, pairs: n = {result.n}; five folds by id; {result.seconds:.1f} s")
            _print(f"ranking, p95 {result.p95_milliseconds:.1f} ms a label", result.figures)
        if codiesp is not None:
            train, test = split_of(codiesp)
            model = train_model(read_part(train), shipped_index(), "evaluation") if train else load()
            result = evaluate_notes(read_part(test), model)
            split = f"trained on {train.name}, tested on {test.name}" if train else f"the shipped model on {test.name}"
            console.print(f"codes, notes: n = {result.n}; {split}; {result.seconds:.1f} s")
            _print(f"suggestions, p95 {result.p95_milliseconds:.1f} ms a note", result.figures)
    except (TooFewNotesError, UnreadableDataError, ArtifactError) as error:
        _fail(str(error))


@evaluate_app.command("negation")
def evaluate_negation(negex: Annotated[Path, typer.Option(help="TSV of the NegEx test set.")]) -> None:
    """Measure the assertion rules on sentences with a marked mention."""
    from ai.assertion.evaluation import evaluate, read_negex  # noqa: PLC0415

    try:
        result = evaluate(read_negex(negex))
    except UnreadableDataError as error:
        _fail(str(error))
    console.print(f"negation: n = {result.n}; {result.seconds:.1f} s")
    for name, figures in result.figures.items():
        _print(name, figures)


@evaluate_app.command("all")
def evaluate_all(
    context: typer.Context,
    data: Data = None,
    pairs: Pairs = None,
    codiesp: CodiEsp = None,
    negex: Negex = None,
) -> None:
    """Run every evaluation that there is data for."""
    if data is not None or context.obj is not None:
        evaluate_no_show(context, data)
    else:
        console.print("no-show: skipped, no --data and no server")
    if pairs is not None or codiesp is not None:
        evaluate_codes(pairs, codiesp)
    else:
        console.print("codes: skipped, no --pairs and no --codiesp")
    if negex is not None:
        evaluate_negation(negex)
    else:
        console.print("negation: skipped, no --negex")


def _bookings(context: typer.Context, data: Path | None) -> list[Booking]:
    from ai.no_show.evaluation import read_bookings_from  # noqa: PLC0415
    from ai.no_show.lookup import fetch_bookings  # noqa: PLC0415

    if data is not None:
        return read_bookings_from(data)
    if context.obj is None:
        _fail("give --data: no server's data is at hand here")
    open_context: OpenContext = context.obj

    async def fetch() -> list[Booking]:
        async with open_context() as server:
            return await fetch_bookings(server)

    return asyncio.run(fetch())


def _folder(models: Path | None) -> Path:
    if models is None:
        _fail("give --models or PRAXIS_MODELS: the folder of this site's own models")
    return models


def _known(name: str) -> str:
    from ai.registry import ENTRIES  # noqa: PLC0415

    names = [entry.name for entry in ENTRIES]
    if name not in names:
        _fail(f"no model is called {name}; there are {', '.join(names)}")
    return name


def _print(title: str, figures: dict[str, Figure]) -> None:
    console.print(f"  {title}")
    for name, figure in figures.items():
        console.print(f"    {name:<20} {figure}", highlight=False, markup=False)


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
