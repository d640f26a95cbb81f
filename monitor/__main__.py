"""The command `monitor`: which verb does what. Each verb's work is in `monitor/cli/`."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from monitor import __version__


class Form(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Commands(TyperGroup):
    """The commands. An error that a command does not handle itself ends it with a sentence."""

    def invoke(self, ctx: Any) -> Any:
        with _sentences():
            result = super().invoke(ctx)
            if sys.stdout is not None:  # None: the shell closed it
                sys.stdout.flush()
        return result

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Parse the arguments, which prints help and version."""
        with _sentences():
            return super().make_context(*args, **more)


@contextmanager
def _sentences() -> Iterator[None]:
    """End the program with a sentence for an error that nothing else handles."""
    try:
        yield
    except (typer.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if hasattr(error, "exit_code"):  # of typer, which prints it itself
            raise
        from monitor.cli.startup import discard_output, end

        if isinstance(error, OSError):
            discard_output()
        end(error)


app = typer.Typer(
    name="monitor",
    cls=Commands,
    help="Watches live LLM and RAG services: how fast they answer, which model, at what cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rag-monitor {__version__}")
        raise typer.Exit


@app.callback()
def _monitor(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _end(*_: object) -> None:
    raise SystemExit(0)


@app.command()
def run() -> None:
    """Run the worker: schedule, probe, evaluate, deliver, until stopped."""
    # While nothing handles it, the kernel keeps SIGTERM from process 1, as in a container.
    signal.signal(signal.SIGTERM, _end)
    from monitor.cli.run import run as work

    work()


@app.command()
def demo(
    html: Annotated[
        Path | None, typer.Option(help="Write the report page of what was played.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
) -> None:
    """Play a whole incident in about a minute: simulated service, local Slack, real worker."""
    from monitor.cli.demo_command import demo as play

    play(html=html, keep=keep)


@app.command()
def probe(
    target: Annotated[str | None, typer.Argument(help="Name of a target.")] = None,
    query: Annotated[str | None, typer.Option(help="Only this canned query.")] = None,
    count: Annotated[int | None, typer.Option(min=1, max=100_000, help="Probes in all.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=2_000, help="Probes at once.")] = 1,
    as_lines: Annotated[bool, typer.Option("--json", help="One observation a line.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Keep them in the database.")] = False,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Even if it may cost more than a day's budget.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="Write the scrubbed transcripts as JSON Lines.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print each event and what was found in it.")
    ] = False,
) -> None:
    """Probe now and print what came back. Needs no database unless --store.

    Ends with status 1 when no probe was answered.
    """
    from monitor.cli.probe import probe as ask

    ask(
        target,
        query,
        count,
        concurrency,
        as_lines=as_lines,
        store=store,
        over_budget=over_budget,
        record=record,
        explain=explain,
    )


@app.command()
def check() -> None:
    """Check configuration, database, schema, targets, prices and Slack; project the cost."""
    from monitor.cli.check import check as inspect

    inspect()


@app.command()
def migrate() -> None:
    """Bring the database's schema to the revision this version needs."""
    from monitor.cli.startup import migrate as bring

    bring()


@app.command()
def report(
    since: Annotated[str, typer.Option(help="How far back, such as 7d.")] = "7d",
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the chart that Slack shows.")] = None,
) -> None:
    """Show latency, models, costs and incidents of a span."""
    from monitor.cli.reporting import report as tell

    tell(since, html, png)


@app.command()
def export(
    since: Annotated[str, typer.Option(help="How far back, such as 7d.")] = "7d",
    form: Annotated[Form, typer.Option("--format", help="csv, jsonl or parquet.")] = Form.CSV,
    out: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
) -> None:
    """Write observations for spreadsheets, programs and data frames."""
    from monitor.cli.reporting import export as write

    write(_span(since), form.value, out)


@app.command()
def derive(
    since: Annotated[str, typer.Option(help="How far back, such as 30d.")] = "30d",
    target: Annotated[str | None, typer.Option(help="Only this target.")] = None,
) -> None:
    """Derive identity and cost again from what is stored, after rules or prices changed."""
    from monitor.cli.rejudge import derive_again

    derive_again(since=_span(since), target=target)


@app.command()
def backtest(
    since: Annotated[
        str | None, typer.Option(help="Over stored observations, such as 30d.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A limit to try: ttft.limit_ms=900.")
    ] = None,
    expected: Annotated[list[str] | None, typer.Option(help="A model that is asked for.")] = None,
    table: Annotated[bool, typer.Option("--table", help="What would have been sent.")] = False,
) -> None:
    """Run rows of standard input, or stored ones, through the same rules in virtual time."""
    from monitor.cli.rejudge import backtest as replay

    replay(
        None if since is None else _span(since),
        changes=change or [],
        expected=expected or [],
        table=table,
    )


@app.command()
def identify(
    source: Annotated[
        Path | None, typer.Argument(help="Texts or recorded transcripts; else standard input.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Against whose baseline.")] = None,
    query: Annotated[str | None, typer.Option(help="Which canned query was answered.")] = None,
    as_lines: Annotated[bool, typer.Option("--json", help="One verdict a line.")] = False,
) -> None:
    """Identify the model that wrote a text, with the evidence."""
    from monitor.cli.identify import identify as judge

    judge(source, target=target, query=query, as_lines=as_lines)


baselines = typer.Typer(
    help="Captured answers of the expected model, and changes since.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(baselines, name="baseline")


@baselines.command("capture")
def baseline_capture(
    target: Annotated[str | None, typer.Argument(help="Name of a target.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Who answers; default: the expected model.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Answers a query; default: enough."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="Only this canned query.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Transcripts recorded by probe --record.")
    ] = None,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Even if it may cost more than a day's budget.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Even while an incident says another model answers.")
    ] = False,
) -> None:
    """Store answers as a model's own: you confirm that it answers now."""
    from monitor.cli.baseline import run_capture

    run_capture(
        target,
        model=model,
        count=count,
        query=query,
        source=source,
        over_budget=over_budget,
        yes=yes,
    )


@baselines.command("show")
def baseline_show(
    target: Annotated[str | None, typer.Argument(help="Name of a target.")] = None,
) -> None:
    """Show the captured answers, what can be detected with them, and the present state."""
    from monitor.cli.baseline import show

    show(target)


@baselines.command("accept")
def baseline_accept(
    target: Annotated[str | None, typer.Argument(help="Name of a target.")] = None,
    note: Annotated[str, typer.Option(help="What changed: a prompt, a host, a version.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, and accept despite an open incident.")
    ] = False,
) -> None:
    """Accept what answers now as the new baseline; the old one is kept."""
    from monitor.cli.baseline_accept import accept

    accept(target, note=note, yes=yes)


@baselines.command("revert")
def baseline_revert(
    target: Annotated[str | None, typer.Argument(help="Name of a target.")] = None,
    to: Annotated[
        int | None, typer.Option(min=1, help="This epoch, instead of the one before.")
    ] = None,
) -> None:
    """Go back to the baseline before the one in force; nothing captured is deleted."""
    from monitor.cli.baseline_accept import revert

    revert(target, to=to)


incidents = typer.Typer(
    help="Open and past incidents; mutes with a reason and an end.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(incidents, name="incidents")

Rule = Annotated[str, typer.Option(help="A rule, or all.")]
Target = Annotated[str, typer.Option(help="A target, a provider, or all.")]


@incidents.callback()
def _incidents(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        incidents_list()


@incidents.command("list")
def incidents_list(
    since: Annotated[str, typer.Option(help="How far back, such as 7d.")] = "7d",
    only_open: Annotated[bool, typer.Option("--open", help="Only what is open.")] = False,
) -> None:
    """List incidents, newest first, and the mutes in force."""
    from monitor.cli.alerting import listed

    listed(since=_span(since), only_open=only_open)


@incidents.command("show")
def incidents_show(number: Annotated[int, typer.Argument(help="Its number.")]) -> None:
    """Show everything known of one incident."""
    from monitor.cli.alerting import show

    show(number)


@incidents.command("mute")
def incidents_mute(
    reason: Annotated[str, typer.Option(help="Why; shown to everybody.")],
    span: Annotated[str, typer.Option("--for", help="How long, such as 2h.")],
    rule: Rule = "all",
    target: Target = "all",
) -> None:
    """Silence notifications for a rule or target. What is still true afterwards is sent then."""
    from monitor.cli.alerting import mute

    mute(rule=rule, target=target, reason=reason, span=_span(span))


@incidents.command("unmute")
def incidents_unmute(rule: Rule = "all", target: Target = "all") -> None:
    """End a mute."""
    from monitor.cli.alerting import unmute

    unmute(rule=rule, target=target)


@app.command("test-alert")
def test_alert() -> None:
    """Send one real message through the configured channel."""
    from monitor.cli.alerting import test_alert as send

    send()


def _span(text: str) -> timedelta:
    """A duration as the configuration writes it; typer's own words when it is none."""
    from monitor.config.file_schema import duration, positive

    try:
        return positive(duration(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not UTF-8 shows `?`
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
