"""Outcome `connect`: our deadline passed before the connection stood.

The new check admits all that the old one did, so stored rows need no scan: it is added as
NOT VALID, which holds for every new row, and keeps the lock short.
"""

from alembic import op

revision = "r1_0018"
down_revision = "r1_0017"
branch_labels = None
depends_on = None

BEFORE = (
    "answered", "empty", "error_event", "truncated", "timeout_first_token", "stalled", "deadline",
    "too_large", "http_status", "unavailable", "rate_limited", "content_type", "protocol",
    "refused", "dns", "tls", "aborted",
)  # fmt: skip


def upgrade() -> None:
    _admit((*BEFORE, "connect"), "NOT VALID")


def downgrade() -> None:
    op.execute("UPDATE observations SET outcome = 'refused' WHERE outcome = 'connect'")
    _admit(BEFORE)


def _admit(outcomes: tuple[str, ...], validity: str = "") -> None:
    listed = ", ".join(f"'{outcome}'" for outcome in outcomes)
    op.execute(
        "ALTER TABLE observations DROP CONSTRAINT ck_observations_outcome, "
        f"ADD CONSTRAINT ck_observations_outcome CHECK (outcome IN ({listed})) {validity}"
    )
