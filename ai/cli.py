"""``praxis ai list | train | evaluate``: models, their training and their held-out figures.

The server's command line mounts ``app``. Where it can reach a server's data, it sets the Typer context's ``obj`` to a
function that opens an ``operations.contract.Context``; without one the commands read files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
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

app = typer.Typer(help="AI models: list, train, evaluate.", no_args_is_help=True)
train_app = typer.Typer(help="Train a model.", no_args_is_help=True)
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
    """List the models: version, hash, training data, card."""
    from ai.registry import listings  # noqa: PLC0415

    try:
        found = listings(models)
    except ArtifactError as error:
        _fail(str(error))
    for listing in found:
        console.print(f"{listing.name} {listing.version}  ({listing.operation})", highlight=False)
        for name, value in (("sha256", listing.sha256), ("trained on", listing.source), ("card", str(listing.card))):
            console.print(f"  {name:<12}{value}", highlight=False, markup=False, soft_wrap=True)


@train_app.command("no-show")
def train_no_show(
    context: typer.Context,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Where to write the model.")] = Path("no-show.json"),
    source: Annotated[str, typer.Option(help="What the data is, in words.")] = "this site's own appointments",
) -> None:
    """Train the no-show model on the server's own appointments, or on those in files."""
    from ai.artifact import write_artifact  # noqa: PLC0415
    from ai.no_show.training import TooFewOutcomesError, train_on  # noqa: PLC0415

    try:
        if data is not None and data.name.endswith((".csv", ".csv.gz")):
            _fail("the Vitoria data is for evaluation only: its licence allows no model trained on it")
        model = train_on(_bookings(context, data), source)
    except (TooFewOutcomesError, UnreadableDataError) as error:
        _fail(str(error))
    digest = write_artifact(out, model.to_artifact())
    typer.echo(f"no-show {model.version}, {model.training['outcomes']} outcomes, sha256 {digest} → {out}")


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
    from ai.no_show.bookings import read_bookings  # noqa: PLC0415
    from ai.no_show.evaluation import read_bookings_from  # noqa: PLC0415

    if data is not None:
        return read_bookings_from(data)
    if context.obj is None:
        _fail("give --data: no server's data is at hand here")
    open_context: OpenContext = context.obj

    async def fetch() -> list[Booking]:
        most = 1_000_000
        async with open_context() as server:
            appointments = await server.search("Appointment", [("_sort", "date")], limit=most)
            return read_bookings(appointments, await server.search("Patient", [], limit=most))

    return asyncio.run(fetch())


def _print(title: str, figures: dict[str, Figure]) -> None:
    console.print(f"  {title}")
    for name, figure in figures.items():
        console.print(f"    {name:<20} {figure}", highlight=False, markup=False)


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
