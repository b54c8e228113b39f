"""The command line: one thin module a command. Heavy imports wait inside the commands, so `--help` is instant."""

from __future__ import annotations

import sys

import typer

from crackscope.cli.accept import accept
from crackscope.cli.audit import audit
from crackscope.cli.bundle import bundle
from crackscope.cli.compare import compare
from crackscope.cli.console import emit, fail, in_plain_words
from crackscope.cli.demo import demo
from crackscope.cli.download import download
from crackscope.cli.evaluate import evaluate
from crackscope.cli.export import export
from crackscope.cli.markers import markers
from crackscope.cli.measure import measure
from crackscope.cli.predict import predict
from crackscope.cli.recipes import recipes
from crackscope.cli.robustness import robustness
from crackscope.cli.scan import scan
from crackscope.cli.scenes import scenes
from crackscope.cli.split import split
from crackscope.cli.train import train
from crackscope.cli.transfer import transfer
from crackscope.errors import CrackscopeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="crackscope",
    help="Find cracks in concrete from photographs, with figures that can be trusted.\n\n"
    "Example: `crackscope predict patches/ --out predictions.csv`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
GROUPS = {
    "Look": (demo, scan, predict, measure, markers),
    "Train": (audit, scenes, split, train, recipes, download),
    "Judge": (evaluate, compare, robustness, transfer, accept),
    "Models": (bundle, export),
}
"""Commands in the order and under the titles of ``crackscope --help``."""

for title, commands in GROUPS.items():
    for command in commands:
        app.command(rich_help_panel=title)(command)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        from crackscope import __version__

        typer.echo(f"crackscope {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; errors of ours become one line on stderr and exit code 1, Ctrl-C becomes 130."""
    from crackscope.files.output import explain

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)  # typer turns Ctrl-C into the code 130
        if code == 130:
            fail(
                "interrupted; nothing is half written. Run the same command again: predict, scan, scenes, transfer "
                "and download go on, and so does train with --resume",
                code=130,
            )
    except CrackscopeError as error:
        code = fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except OSError as error:
        code = fail(explain(error, error.filename or "output"))
    except Exception as error:
        if hasattr(error, "format_message"):  # click's and typer's own: wrong usage
            if hasattr(error, "message"):
                error.message = in_plain_words(error.message)
            show = getattr(error, "show", None)
            if show:
                show()
            if "--json" in sys.argv:
                emit({"status": "usage", "error": error.format_message()}, as_json=True)
            code = int(getattr(error, "exit_code", 2))
        else:
            raise
    sys.exit(code or 0)
