"""Any number of channels: a row of the outbox for each channel that a notice is for.

What was for the Slack bot or the Slack webhook is for channel `slack`, whichever of them is set
up: the channel that the `SLACK_*` variables describe.

Rows of other channels have an id of their own, in the notice as well. So an earlier version of the
program, after a rollback, sends to Slack what waits for them, instead of stumbling over it.
"""

import sqlalchemy as sa
from alembic import op

revision = "r1_0030"
down_revision = "r1_0029"
branch_labels = None
depends_on = None

NEWS = "id of the notice, which its rows in all channels share; NULL: that of the row"
CHANNEL = "the channel it is for; empty: no channel takes it"
TABLE = (
    "what is to be told, a row for each channel; written with the transition it tells of, "
    "in one transaction"
)
BEFORE = "what is to be told; written with the transition it tells of, in one transaction"

# Waiting rows belong to the channel that was used last.
UP = """
UPDATE outbox SET channel = CASE
    WHEN channel IS NOT NULL THEN replace(replace(channel, 'webhook', 'slack'), 'bot', 'slack')
    WHEN (SELECT channel FROM channels ORDER BY last_sent_at DESC NULLS LAST LIMIT 1) = 'console'
        THEN 'console'
    ELSE 'slack' END;
INSERT INTO channels (channel, paused_until, broken_since, broken_why, last_sent_at)
    SELECT 'slack', paused_until, broken_since, broken_why, last_sent_at FROM channels
    WHERE channel IN ('bot', 'webhook')
    ORDER BY coalesce(last_sent_at, broken_since) DESC NULLS LAST LIMIT 1;
DELETE FROM channels WHERE channel IN ('bot', 'webhook');
UPDATE incidents SET target = 'slack' WHERE number = (
    SELECT max(number) FROM incidents
    WHERE rule = 'delivery' AND target IN ('bot', 'webhook') AND resolved_at IS NULL);
UPDATE mutes SET target = 'slack' WHERE target IN ('bot', 'webhook') AND until > now();
"""
# A notice keeps one row. A message with a reference was posted by a bot.
DOWN = """
DELETE FROM outbox AS o USING outbox AS kept
    WHERE coalesce(kept.news, kept.id) = coalesce(o.news, o.id) AND kept.id <> o.id
        AND (kept.channel = 'slack', o.sequence) > (o.channel = 'slack', kept.sequence);
UPDATE outbox SET result = 'dead' WHERE result = 'closed';
CREATE TEMPORARY TABLE earlier_name ON COMMIT DROP AS
    SELECT CASE WHEN EXISTS (SELECT FROM outbox WHERE channel = 'slack' AND reference IS NOT NULL)
        THEN 'bot' ELSE 'webhook' END AS name;
ALTER TABLE outbox ALTER COLUMN channel DROP NOT NULL;
UPDATE outbox SET channel = CASE WHEN settled_at IS NOT NULL AND channel <> '' THEN
    CASE channel WHEN 'slack' THEN (SELECT name FROM earlier_name) ELSE channel END END;
DELETE FROM channels WHERE channel IN ('bot', 'webhook');
UPDATE channels SET channel = (SELECT name FROM earlier_name) WHERE channel = 'slack';
UPDATE incidents SET target = target || '-channel'
    WHERE rule = 'delivery' AND target IN ('bot', 'webhook') AND resolved_at IS NULL;
UPDATE incidents SET target = (SELECT name FROM earlier_name)
    WHERE rule = 'delivery' AND target = 'slack' AND resolved_at IS NULL;
UPDATE mutes SET target = (SELECT name FROM earlier_name)
    WHERE target = 'slack' AND until > now();
DROP TABLE earlier_name;
"""


def upgrade() -> None:
    op.add_column("channels", sa.Column("configured_at", sa.DateTime(timezone=True),
                                        comment="when a worker last had it in its configuration"))  # fmt: skip
    op.add_column("outbox", sa.Column("news", sa.Uuid(), comment=NEWS))
    op.create_index("ix_outbox_news", "outbox", ["news"])
    _run(UP)
    op.alter_column("outbox", "channel", nullable=False, server_default="slack", comment=CHANNEL)
    _results("'sent', 'dead', 'merged', 'closed'")
    _due("channel", "due_at")
    op.create_table_comment("outbox", TABLE)


def downgrade() -> None:
    op.alter_column("outbox", "channel", server_default=None, comment="which channel took it")
    _run(DOWN)
    op.drop_index("ix_outbox_news", "outbox")
    op.drop_column("outbox", "news")
    _results("'sent', 'dead', 'merged'")
    _due("due_at")
    op.create_table_comment("outbox", BEFORE)
    op.drop_column("channels", "configured_at")


def _run(script: str) -> None:
    for statement in script.strip().removesuffix(";").split(";\n"):
        op.execute(statement)


def _results(words: str) -> None:
    op.execute("ALTER TABLE outbox DROP CONSTRAINT ck_outbox_result")
    op.execute(f"ALTER TABLE outbox ADD CONSTRAINT ck_outbox_result CHECK (result IN ({words}))")


def _due(*columns: str) -> None:
    op.drop_index("ix_outbox_due", "outbox")
    op.create_index("ix_outbox_due", "outbox", list(columns),
                    postgresql_where=sa.text("settled_at IS NULL"))  # fmt: skip
