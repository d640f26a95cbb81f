"""An incident in a local Slack to which people react: real plan, outbox, bot and polling."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from monitor.domain import Verdict, VerdictState
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_server import SlackServer
from monitor.worker import delivery_job, evaluation
from monitor.worker.context import WorkerContext
from monitor.worker.incident_memory import IncidentMemory
from monitor.worker.reaction_polling import ReactionPolling
from tests.contract.open_context import deliver
from tests.probe_notation import INHIBITIONS

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ANA, BEN, DEPLOY = "U0ANA", "U0BEN", "U0DEPLOY"
EYES, BELL, CHART = "eyes", "no_bell", "chart_with_upwards_trend"


def slack_bot(inbox: SlackServer) -> SlackBot:
    return SlackBot(inbox.token, "#alerts", base_url=inbox.api_url, timeout_s=60)


@contextmanager
def local_slack(**given: Any) -> Iterator[SlackServer]:
    with SlackServer(**given) as opened:
        yield opened


class AnsweredSlackIncident:
    """A worker that judges, polls and delivers when it is called. Times are of our choosing."""

    def __init__(self, context: WorkerContext, inbox: SlackServer) -> None:
        self.context, self.inbox = context, inbox
        self.polling = self.started()
        self.now = context.now()

    async def judge(self, *marks: str, later: timedelta = MINUTE) -> None:
        """`+ttft` breaks, `-ttft` is well; then everything due is delivered."""
        self.now += later
        verdicts = [
            Verdict(
                rule=mark[1:], scope="rag", value=3.0, limit=1.0, because=f"{mark[1:]} is judged.",
                state=VerdictState.BREACH if mark[0] == "+" else VerdictState.OK,
            )
            for mark in marks
        ]  # fmt: skip
        async with self.context.database.begin() as connection:
            latest = await IncidentMemory().latest(connection)
            steps = plan(
                latest, verdicts, inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=self.now,
                silence=await delivery_job.silence(connection, self.context),
            )  # fmt: skip
            await evaluation._apply(connection, steps, latest, self.context.takers)
        await deliver(self.context)

    async def poll(self) -> None:
        """One run of the job, then everything due is delivered."""
        await self.polling.poll()
        await deliver(self.context)

    def started(self) -> ReactionPolling:
        """The job as a worker begins it."""
        return ReactionPolling(self.context, self.context.channels["slack"])

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.context.database.begin() as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]

    async def run(self, statement: str) -> None:
        async with self.context.database.begin() as connection:
            await connection.execute(text(statement))

    def replies(self, message: int = 0) -> list[str]:
        """What people are answered: neither details, nor what is shown in the channel, too."""
        replies = (reply for reply in self.posted(message).thread if not reply.broadcast)
        return [reply.text for reply in replies if not reply.text.startswith("DETAILS")]

    def posted(self, message: int = 0) -> PostedMessage:
        return self.inbox.messages[message]

    def first_lines(self) -> list[str]:
        """Every audible message, oldest first."""
        aloud = (
            item
            for message in self.inbox.messages
            for item in (message, *(reply for reply in message.thread if reply.broadcast))
        )
        texts = [(item.was or [item.text])[0] for item in sorted(aloud, key=lambda item: item.ts)]
        return [text.split("\n")[0].split(":")[0] for text in texts]

    def calls(self, method: str) -> list[Mapping[str, Any]]:
        return [r.payload for r in self.inbox.questions if r.path == f"/api/{method}"]
