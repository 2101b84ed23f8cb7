"""``praxis ai train entities`` and ``praxis ai evaluate entities``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ai.artifact import ArtifactError
from ai.read_resources import UnreadableDataError

if TYPE_CHECKING:
    from ai.entities.evaluation import Evaluation

Pubtator = Annotated[list[Path] | None, typer.Option(help="PubTator file: BC5CDR or NCBI disease; may be repeated.")]
Brat = Annotated[Path | None, typer.Option(help="Tar of brat .txt and .ann (MACCROBAT).")]
Models = Annotated[Path | None, typer.Option(envvar="PRAXIS_MODELS", help="Folder of this site's own models.")]


def train_entities(
    pubtator: Pubtator = None,
    brat: Brat = None,
    texts: Annotated[list[Path] | None, typer.Option(help="Texts for word clusters (.txt, .csv, tar).")] = None,
    release: Annotated[str, typer.Option(help="The first part of the version.")] = "2026.11",
    out: Annotated[Path, typer.Option(help="Where to write the model.")] = Path("extract-entities.json"),
) -> None:
    """Train the entity taggers on annotated corpora: a chemical-disease and a disease one, and case reports."""
    from ai.artifact import write_artifact  # noqa: PLC0415
    from ai.entities.corpora import Document, read_brat, read_pubtator  # noqa: PLC0415
    from ai.entities.model import artifact_of  # noqa: PLC0415
    from ai.entities.texts import read_texts  # noqa: PLC0415
    from ai.entities.training import train_taggers  # noqa: PLC0415

    corpora: dict[str, list[Document]] = {}
    try:
        for path in pubtator or ():
            scheme, documents = read_pubtator(path)
            corpora.setdefault(scheme, []).extend(documents)
        if brat is not None:
            corpora["case-report"] = read_brat(brat)
        taggers = train_taggers(corpora, (text for path in texts or () for text in read_texts(path)))
    except UnreadableDataError as error:
        _fail(str(error))
    sources = [*(pubtator or ()), *([brat] if brat else ()), *(texts or ())]
    counts = {scheme: len(documents) for scheme, documents in corpora.items()}
    training = {"source": ", ".join(path.name for path in sources), "documents": counts}
    digest = write_artifact(out, artifact_of(taggers, release, training))
    typer.echo(f"extract-entities, {sum(counts.values())} documents, sha256 {digest} → {out}")


def evaluate_entities(
    pubtator: Pubtator = None,
    brat: Brat = None,
    folds: Annotated[int, typer.Option(min=0, max=20, help="Train on the other folds (with --brat); 0: as it is.")] = 0,
    models: Models = None,
) -> None:
    """Compare the mentions found with annotated ones: the same characters and type, or wrong."""
    from ai.entities.corpora import read_brat, read_pubtator  # noqa: PLC0415
    from ai.entities.evaluation import evaluate, evaluate_folds  # noqa: PLC0415
    from ai.entities.model import load  # noqa: PLC0415

    if not pubtator and brat is None:
        _fail("give --pubtator or --brat")
    try:
        model = load(models)
        for path in pubtator or ():
            scheme, documents = read_pubtator(path)
            _print(path, scheme, f"model {model.version}", evaluate(documents, scheme, model.taggers))
        if brat is not None:
            documents, scheme = read_brat(brat), "case-report"
            if folds > 1:
                result = evaluate_folds(documents, scheme, model.taggers, folds)
                _print(brat, scheme, f"{folds} folds by document", result)
            else:
                _print(brat, scheme, f"model {model.version}", evaluate(documents, scheme, model.taggers))
    except (ArtifactError, UnreadableDataError, ValueError) as error:
        _fail(str(error))


def _print(path: Path, scheme: str, by: str, result: Evaluation) -> None:
    typer.echo(
        f"entities, {path.name}: {scheme}; n = {result.n} documents, {result.mentions} mentions, {result.words} words;"
        f" {by}; {result.seconds:.1f} s"
    )
    for kind, figures in result.figures.items():
        typer.echo(f"  {kind}")
        for name, figure in figures.items():
            typer.echo(f"    {name:<20} {figure}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
