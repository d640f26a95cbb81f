"""The command `monitor` and its subcommands; each is implemented in `monitor/cli/`."""

import os
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
from monitor.command_name import as_started, command_name


class Form(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class Commands(TyperGroup):
    """The commands; an error that no command handles ends the program with a sentence."""

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
            _reword(error)
            raise
        from monitor.cli.startup import discard_output, end

        if isinstance(error, OSError):
            discard_output()
        end(error)


def _reword(error: Any) -> None:
    """Give a rejected value the sentence that the configuration has for the same mistake."""
    if hasattr(error.__cause__, "errors"):  # of pydantic, which converts the arguments
        from monitor.config.config_errors import sentence

        error.message = sentence(error.__cause__.errors(include_url=False)[0]).rstrip(".")


app = typer.Typer(
    name="monitor",
    cls=Commands,
    help="Monitor the speed, model and cost of LLM services.",
    epilog="Example: monitor demo",
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
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None: ...


def _end(*_: object) -> None:
    raise SystemExit(0)


@app.command(epilog="Example: monitor run")
def run(
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="text or json; default: text on a terminal."),
    ] = None,
) -> None:
    """Run the worker: probe, evaluate and notify.

    On a terminal it prints one line for each round.
    """
    # While nothing handles it, the kernel keeps SIGTERM from process 1, as in a container.
    signal.signal(signal.SIGTERM, _end)
    if not (sys.stdin and sys.stdin.isatty()):  # it asks for a reload, which is not needed yet
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from monitor.cli.run import run as work

    work(log_format and log_format.value)


@app.command(epilog="Example: monitor demo --html report.html")
def demo(
    html: Annotated[
        Path | None, typer.Option(help="Write the report of the demo to this file.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep everything running afterwards.")
    ] = False,
) -> None:
    """Show a complete incident in about a minute.

    The service and Slack are simulated; the worker and its database are real.
    """
    from monitor.cli.demo_command import demo as play

    play(html=html, keep=keep)


@app.command(epilog="Example: monitor init --url https://rag.example.com/chat")
def init(
    url: Annotated[
        str | None, typer.Option(help="Address of the service, with the path of its chat.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Target name; default: from the host.")] = None,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable that holds the service's key.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header: 'X-API-Key: ${NAME}'. Repeatable.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="Wire format; default: recognised from the answer.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to ask for, where one is wanted.")
    ] = None,
    body: Annotated[
        str | None, typer.Option(help="JSON body of the request, with {query} in it.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="URL parameter: NAME={query}. Repeatable.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Dialect option: text=payload.t. Repeatable.")
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="A question of your users. Repeatable.")
    ] = None,
    expected: Annotated[
        list[str] | None, typer.Option(help="Model that should answer. Repeatable.")
    ] = None,
    fallback: Annotated[
        list[str] | None, typer.Option(help="Model that may answer instead. Repeatable.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=IN/OUT, USD per million tokens. Repeatable."),
    ] = None,
    every: Annotated[str | None, typer.Option(help="Interval of the rounds; default: 5m.")] = None,
    daily_queries: Annotated[
        int | None, typer.Option(min=0, help="Questions of users a day, for the projected cost.")
    ] = None,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a whole prompt, for the projected cost.")
    ] = None,
    ttft_limit: Annotated[
        int | None, typer.Option(min=1, help="Limit of the rule ttft in ms.")
    ] = None,
    spend_limit: Annotated[
        str | None, typer.Option(help="Limit of the rule spend in USD a day.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: MONITOR_CONFIG or monitor.toml.")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add the service as a further target to the file.")
    ] = False,
    capture: Annotated[
        bool | None, typer.Option("--capture/--no-capture", help="Capture a baseline at the end.")
    ] = None,
    alert: Annotated[
        bool | None,
        typer.Option("--test-alert/--no-test-alert", help="Send a test alert at the end."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take the defaults.")] = False,
) -> None:
    """Recognise a service and write a configuration for it.

    Sends a few requests with a harmless question. Never overwrites a file; with --add, what is in
    it stays as it is.
    """
    from monitor.cli.init import init as set_up
    from monitor.cli.init_flags import InitOptions

    set_up(
        InitOptions(
            url=url,
            name=name,
            key_variable=key_variable,
            headers=header or (),
            dialect=dialect,
            model=model,
            body=body,
            parameters=param or (),
            options=option or (),
            questions=question or (),
            expected=expected or (),
            fallbacks=fallback or (),
            prices=price or (),
            every=every,
            daily_queries=daily_queries,
            prompt_tokens=prompt_tokens,
            ttft_limit_ms=ttft_limit,
            spend_limit=spend_limit,
            output=output,
            add=add,
            capture=capture,
            test_alert=alert,
            yes=yes,
        )
    )


@app.command(epilog="Example: monitor probe my-service --count 10")
def probe(
    target: Annotated[str | None, typer.Argument(help="Target name.")] = None,
    query: Annotated[str | None, typer.Option(help="Only this canned query.")] = None,
    count: Annotated[int | None, typer.Option(min=1, max=100_000, help="Number of probes.")] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=2_000, help="Number of concurrent probes.")
    ] = 1,
    as_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON observation per line.")
    ] = False,
    store: Annotated[bool, typer.Option("--store", help="Store the observations.")] = False,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Allow more than the daily probe budget.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="Write redacted transcripts as JSON Lines.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print each event and how it was parsed.")
    ] = False,
) -> None:
    """Probe a target now and print the results.

    Needs no database without --store. Exits with status 1 if no probe was answered.
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


@app.command(epilog="Example: monitor compare rag rag-new --html answers.html")
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Target, or model with --target.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Target, or model with --target.")],
    target: Annotated[str | None, typer.Option(help="A and B are models of this target.")] = None,
    query: Annotated[str | None, typer.Option(help="Only this canned query.")] = None,
    count: Annotated[
        int, typer.Option(min=1, max=1_000, help="Number of pairs of each query.")
    ] = 10,
    budget: Annotated[
        float | None,
        typer.Option(min=0.0, help="Most USD to spend; default: daily budget."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the answers side by side to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    judge_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint that judges pairs.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Model of the judge.")] = None,
    judge_key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the judge's key.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of A and B.")] = 0,
) -> None:
    """Compare two targets, or two models of one target.

    Both get the same canned queries in turn. Stores nothing and needs no database.
    """
    from decimal import Decimal

    from monitor.cli.compare_command import ComparisonRequest
    from monitor.cli.compare_command import compare as ask

    ask(
        ComparisonRequest(
            a=a,
            b=b,
            target=target,
            query=query,
            count=count,
            budget=None if budget is None else Decimal(str(budget)),
            html=html,
            as_json=as_json,
            judge_url=judge_url,
            judge_model=judge_model,
            judge_key_variable=judge_key_variable,
            seed=seed,
        )
    )


@app.command(epilog="Example: monitor watch")
def watch(
    once: Annotated[bool, typer.Option("--once", help="Print the state once and exit.")] = False,
) -> None:
    """Show last rounds, open incidents and today's spend.

    Renewed every 5 seconds on a terminal, until Ctrl-C.
    """
    from monitor.cli.watch import watch as show

    show(once=once)


@app.command(epilog="Example: monitor check")
def check() -> None:
    """Check the setup and project the cost."""
    from monitor.cli.check import check as inspect

    inspect()


@app.command(epilog="Example: monitor migrate")
def migrate() -> None:
    """Migrate the database schema."""
    from monitor.cli.startup import migrate as bring

    bring()


@app.command(epilog="Example: monitor backup monitor.dump")
def backup(file: Annotated[Path, typer.Argument(help="File to write.")]) -> None:
    """Write the whole database to a file."""
    from monitor.cli.backup import backup as write

    write(file)


@app.command(epilog="Example: monitor restore monitor.dump")
def restore(file: Annotated[Path, typer.Argument(help="File of `monitor backup`.")]) -> None:
    """Fill an empty database from a backup.

    The schema is then migrated to this version.
    """
    from monitor.cli.backup import restore as fill

    fill(file)


@app.command(epilog="Example: monitor report --since 24h --html report.html")
def report(
    since: Annotated[str, typer.Option(help="Period to cover, such as 7d.")] = "7d",
    html: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write the chart that Slack messages show.")
    ] = None,
) -> None:
    """Report latency, models, costs and incidents."""
    from monitor.cli.reporting import report as tell

    tell(since, html, png)


@app.command(epilog="Example: monitor export --since 30d --out observations.csv")
def export(
    since: Annotated[
        str | None,
        typer.Option(help="Period, such as 30d; default: 7d."),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="csv, jsonl or parquet; default: csv.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output file, or folder; default: standard output.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write each hour to Parquet files in a folder.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="With --follow: end when every past hour is written.")
    ] = False,
) -> None:
    """Export observations as CSV, JSON Lines or Parquet.

    With --follow it keeps an archive of Parquet files up to date.
    """
    if once and not follow:
        raise typer.BadParameter("--once needs --follow")
    if not follow:
        from monitor.cli.exporting import export as write

        write(_span(since or "7d"), (form or Form.CSV).value, out)
        return
    if out is None or form not in (None, Form.PARQUET):
        raise typer.BadParameter("--follow writes Parquet into a folder: name it with --out")
    from monitor.cli.archiving import follow as keep

    keep(out, since=None if since is None else _span(since), once=once)


@app.command(epilog="Example: monitor derive --since 30d")
def derive(
    since: Annotated[str, typer.Option(help="Period to cover, such as 30d.")] = "30d",
    target: Annotated[str | None, typer.Option(help="Only this target.")] = None,
) -> None:
    """Recompute identity and cost of stored observations.

    Use it after identity rules or prices changed.
    """
    from monitor.cli.rejudge import derive_again

    derive_again(since=_span(since), target=target)


@app.command(epilog="Example: monitor runbook fallback")
def runbook(
    rule: Annotated[str, typer.Argument(help="Rule name, as in the message.")],
) -> None:
    """Show what to do when a rule fires."""
    from monitor.cli.runbook import show

    show(rule)


@app.command(epilog="Example: monitor backtest --since 30d --set ttft.limit_ms=900")
def backtest(
    since: Annotated[str | None, typer.Option(help="Use stored observations, such as 30d.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: ttft.limit_ms=900.")
    ] = None,
    expected: Annotated[list[str] | None, typer.Option(help="An expected model.")] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Print the notifications as a table.")
    ] = False,
) -> None:
    """Replay observations through the alert rules.

    Reads rows from standard input, or stored observations with --since.
    """
    from monitor.cli.rejudge import backtest as replay

    replay(
        None if since is None else _span(since),
        changes=change or [],
        expected=expected or [],
        table=table,
    )


@app.command(epilog="Example: monitor identify answer.txt --target my-service")
def identify(
    source: Annotated[
        Path | None, typer.Argument(help="Texts or transcripts; default: standard input.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Target whose baseline to compare with.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="The canned query that was answered.")] = None,
    as_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON verdict per line.")
    ] = False,
) -> None:
    """Identify the model that wrote a text."""
    from monitor.cli.identify import identify as judge

    judge(source, target=target, query=query, as_lines=as_lines)


baselines = typer.Typer(
    help="Manage the captured answers of a target.",
    epilog="Example: monitor baseline show",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(baselines, name="baseline")


@baselines.command("capture", epilog="Example: monitor baseline capture my-service")
def baseline_capture(
    target: Annotated[str | None, typer.Argument(help="Target name.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Answering model; default: the expected one.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Answers per query; default: enough."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="Only this canned query.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Use transcripts of `monitor probe --record`.")
    ] = None,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Allow more than the daily probe budget.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Capture despite an open identity incident.")
    ] = False,
) -> None:
    """Capture answers of a model as its baseline.

    You confirm that this model answers now.
    """
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


@baselines.command("show", epilog="Example: monitor baseline show my-service")
def baseline_show(
    target: Annotated[str | None, typer.Argument(help="Target name.")] = None,
) -> None:
    """Show baselines, detectable changes and state."""
    from monitor.cli.baseline import show

    show(target)


@baselines.command(
    "accept", epilog="Example: monitor baseline accept my-service --note 'new prompt'"
)
def baseline_accept(
    target: Annotated[str | None, typer.Argument(help="Target name.")] = None,
    note: Annotated[str, typer.Option(help="What changed, such as a prompt or version.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Skip the question; accept despite an incident.")
    ] = False,
) -> None:
    """Accept the current answers as the new baseline.

    The previous baseline is kept.
    """
    from monitor.cli.baseline_accept import accept

    accept(target, note=note, yes=yes)


@baselines.command("revert", epilog="Example: monitor baseline revert my-service --to 1")
def baseline_revert(
    target: Annotated[str | None, typer.Argument(help="Target name.")] = None,
    to: Annotated[
        int | None, typer.Option(min=1, help="Epoch to return to; default: the previous one.")
    ] = None,
) -> None:
    """Return to an earlier baseline.

    Captured answers are not deleted.
    """
    from monitor.cli.baseline_accept import revert

    revert(target, to=to)


incidents = typer.Typer(
    help="List, show, acknowledge, mute and unmute incidents.",
    epilog="Example: monitor incidents list --open",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(incidents, name="incidents")

Rule = Annotated[str, typer.Option(help="Rule name, or all.")]
Target = Annotated[str, typer.Option(help="Target, provider, or all.")]


@incidents.callback()
def _incidents(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        incidents_list()


@incidents.command("list", epilog="Example: monitor incidents list --since 30d --open")
def incidents_list(
    since: Annotated[str, typer.Option(help="Period to cover, such as 7d.")] = "7d",
    only_open: Annotated[bool, typer.Option("--open", help="Only open incidents.")] = False,
) -> None:
    """List incidents, newest first, and active mutes."""
    from monitor.cli.alerting import listed

    listed(since=_span(since), only_open=only_open)


@incidents.command("show", epilog="Example: monitor incidents show 7")
def incidents_show(number: Annotated[int, typer.Argument(help="Incident number.")]) -> None:
    """Show the details of one incident."""
    from monitor.cli.alerting import show

    show(number)


@incidents.command("acknowledge", epilog="Example: monitor incidents acknowledge 7 --by ana")
def incidents_acknowledge(
    number: Annotated[int, typer.Argument(help="Incident number.")],
    by: Annotated[
        str | None, typer.Option(help="Who takes care of it; default: the user of this system.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Resume the reminders.")] = False,
) -> None:
    """Stop the reminders of an open incident.

    What joins it and its end are still sent.
    """
    from monitor.cli.alerting import acknowledge

    acknowledge(number, by=by, undo=undo)


@incidents.command(
    "mute", epilog="Example: monitor incidents mute --rule ttft --for 2h --reason test"
)
def incidents_mute(
    reason: Annotated[str, typer.Option(help="Reason, shown in the list of incidents.")],
    span: Annotated[str, typer.Option("--for", help="Duration, such as 2h.")],
    rule: Rule = "all",
    target: Target = "all",
) -> None:
    """Mute notifications for a rule or target.

    An incident that is still open when the mute ends is sent then.
    """
    from monitor.cli.alerting import mute

    mute(rule=rule, target=target, reason=reason, span=_span(span, "--for"))


@incidents.command("unmute", epilog="Example: monitor incidents unmute --rule ttft")
def incidents_unmute(rule: Rule = "all", target: Target = "all") -> None:
    """End a mute early."""
    from monitor.cli.alerting import unmute

    unmute(rule=rule, target=target)


@app.command("test-alert", epilog="Example: monitor test-alert --channel slack")
def send_test_alert(
    channel: Annotated[
        str | None, typer.Option(help="Name of the channel; default: every channel.")
    ] = None,
) -> None:
    """Send a test message to every channel, or to one."""
    from monitor.cli.alerting import send_test

    send_test(channel)


def _span(text: str, option: str = "--since") -> timedelta:
    """Parse the duration of an option as in the configuration. Raises BadParameter."""
    from monitor.config.value_kinds import duration, positive

    try:
        return positive(duration(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'") from None


def main() -> None:
    _replace_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not UTF-8 shows `?`
            stream.reconfigure(errors="replace")
    _name_as_started(app)
    app(prog_name=command_name())


def _replace_closed() -> None:
    """Let nothing else get the numbers of standard streams that the shell closed.

    `sys.stdout` stays None: a command whose output goes nowhere says so.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _name_as_started(group: typer.Typer) -> None:
    """Let the examples of the help begin with the command that a person typed."""
    for command in group.registered_commands:
        command.epilog = as_started(command.epilog or "")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            inner.typer_instance.info.epilog = as_started(str(inner.typer_instance.info.epilog))
            _name_as_started(inner.typer_instance)
    group.info.epilog = as_started(str(group.info.epilog))


if __name__ == "__main__":
    main()
