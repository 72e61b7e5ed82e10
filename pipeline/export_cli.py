"""What takes a run elsewhere: the commands ``mofore export``, ``embed``, ``push`` and ``pull``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..data.index_settings import LEVELS
from . import console
from .command_options import WORKDIR, options, verbosity
from .commands.export import EMBEDDING_FORMATS, FEATURE_FORMATS, MODEL_FORMATS, Target, told
from .workspace import Workspace

if TYPE_CHECKING:
    from .run_folder import Run

Opens = Callable[[Path, tuple[str, ...]], "Run"]
PATH: click.Path = click.Path(path_type=Path)
FORCE = click.option("--force", "replace", is_flag=True, help="Replace files that are there.")
SPACE = click.option("--space", default="mofore", show_default=True, help="mofore, frames, predict or fit:KEY.")
CENTER = click.option(
    "--center/--no-center",
    default=True,
    show_default=True,
    help="Vectors as a search compares them (the mean subtracted, unit length), or before that.",
)


def _formats(names: tuple[str, ...], default: str) -> Callable[..., Any]:
    return click.option(
        "--format", "formats", multiple=True, type=click.Choice(names), help=f"Of a folder (repeatable). [{default}]"
    )


def add_commands(cli: click.Group, of_workdir: Callable[..., Any], opens: Opens, unreadable: int) -> None:
    """Add the commands to ``cli``.

    Args:
        cli: the group of all commands.
        of_workdir: the options of a command that reads a work folder.
        opens: opens it.
        unreadable: exit code where some videos could not be read.
    """
    _add_exports(cli, of_workdir, opens)

    @cli.command()
    @click.argument("files", metavar="FILE...", type=PATH, nargs=-1, required=True)
    @click.option("-o", "--output", type=PATH, required=True, metavar="OUT", help="OUT.npy, OUT.parquet or a folder.")
    @SPACE
    @CENTER
    @_formats(EMBEDDING_FORMATS, "default: parquet")
    @FORCE
    @of_workdir
    def embed(
        files: tuple[Path, ...],
        output: Path,
        space: str,
        center: bool,
        workdir: Path,
        overrides: tuple[str, ...],
        **given: Any,
    ) -> None:
        """Vectors of new videos, by the backbone and the model of a work folder.

        A FILE is a video, an image, or a folder of videos. OUT.npy gets a row for each that could be read, and OUT.csv
        says which; the others are listed, and the exit code is 3.
        """
        from .commands.embed import embed_files

        watcher = console.Console()
        made = embed_files(
            opens(workdir, overrides), files, Target(output, **given), space=space, center=center, progress=watcher
        )
        if made.files:
            console.say(told([*made.files]))
        console.show_failures(made.failures)
        if made.failures:
            raise click.exceptions.Exit(unreadable)


def add_transfers(cli: click.Group) -> None:
    """Add ``push`` and ``pull`` to ``cli``."""

    @cli.command()
    @click.argument("url", required=False)
    @click.option("--force", "replace", is_flag=True, help="Replace what another work folder has pushed there.")
    @options(WORKDIR, verbosity)
    def push(url: str | None, replace: bool, workdir: Path) -> None:
        """Upload what is finished to URL (s3://BUCKET/FOLDER; default: where it was last), each file verified."""
        from .commands.transfer import push_folder

        console.say(push_folder(Workspace.open(workdir), url, console.Console(), replace=replace))

    @cli.command()
    @click.argument("url", required=False)
    @click.option("--force", "replace", is_flag=True, help="Replace files that have changed here.")
    @click.option(
        "--cache",
        metavar="SIZE",
        help="Leave shards in the bucket, fetch each once it is read, and keep at most SIZE of them here (20GB); all: "
        "fetch them now. [default: as last time, at first all]",
    )
    @options(WORKDIR, verbosity)
    def pull(url: str | None, replace: bool, cache: str | None, workdir: Path) -> None:
        """Fetch what was pushed to URL into a work folder, new or not; goes on where it was interrupted."""
        from .commands.transfer import pull_folder

        console.say(pull_folder(workdir, url, console.Console(), replace=replace, cache=cache))


def _add_exports(cli: click.Group, of_workdir: Callable[..., Any], opens: Opens) -> None:
    @cli.group()
    def export() -> None:
        """Embeddings, features or the model for other tools: Parquet, .npy, TensorBoard's projector, ONNX."""

    @export.command()
    @click.argument("target", metavar="OUT", type=PATH)
    @SPACE
    @click.option("--level", type=click.Choice(LEVELS), default="video", show_default=True)
    @CENTER
    @_formats(EMBEDDING_FORMATS, "default: parquet")
    @FORCE
    @of_workdir
    def embeddings(
        target: Path,
        space: str,
        level: str,
        center: bool,
        workdir: Path,
        overrides: tuple[str, ...],
        **given: Any,
    ) -> None:
        """The vectors of the index: OUT.parquet, OUT.npy (with OUT.csv), or a folder."""
        from .commands.export import export_embeddings

        run = opens(workdir, overrides)
        files = export_embeddings(run, Target(target, **given), space=space, level=level, center=center)
        console.say(told(files))

    @export.command()
    @click.argument("target", metavar="OUT", type=PATH)
    @_formats(FEATURE_FORMATS, "default: parquet")
    @FORCE
    @of_workdir
    def features(target: Path, workdir: Path, overrides: tuple[str, ...], **given: Any) -> None:
        """The stored feature of every frame: OUT.parquet, OUT.npy (with OUT.csv), or a folder."""
        from .commands.export import export_features

        run = opens(workdir, overrides)
        console.say(told(export_features(run, Target(target, **given), progress=console.Console())))

    @export.command()
    @click.argument("target", metavar="FOLDER", type=PATH)
    @SPACE
    @_formats(MODEL_FORMATS, "default: all")
    @FORCE
    @of_workdir
    def model(target: Path, space: str, workdir: Path, overrides: tuple[str, ...], **given: Any) -> None:
        """The trained embedder as safetensors, torch.export and ONNX, with a card of what goes in and out."""
        from .commands.export import export_model

        console.say(told(export_model(opens(workdir, overrides), Target(target, **given), space=space)))
