"""The causes that are distinguished, from `likely_cause.toml`: owners, first steps, errors."""

import re
from collections.abc import Mapping
from enum import StrEnum

from monitor.data_files import data_file
from monitor.domain import AccountState, CauseOwner


class CauseKind(StrEnum):
    """The causes of `likely_cause.toml`."""

    CREDIT = "credit"
    KEY = "key"
    PROVIDER_LIMIT = "provider_limit"
    PROVIDER_ERRORS = "provider_errors"
    PROVIDER_STATISTICS = "provider_statistics"
    MODEL_REMOVED = "model_removed"
    PRICE = "price"
    DEPLOYMENT = "deployment"
    CERTIFICATE = "certificate"
    CONFIGURATION = "configuration"
    PROBES_LIMITED = "probes_limited"
    GATEWAY = "gateway"
    UNATTRIBUTED = "unattributed"


_FILE = data_file(__package__, "likely_cause.toml")
_ENTRIES = {kind: _FILE.table("causes").table(kind) for kind in CauseKind}
OWNERS = {kind: CauseOwner(entry.text("owner")) for kind, entry in _ENTRIES.items()}
FIRST_STEPS = {kind: entry.text("first_step", "") for kind, entry in _ENTRIES.items()}
STATUSES: Mapping[int, CauseKind] = {
    int(status): kind
    for kind, entry in _ENTRIES.items()
    for status in entry.entries.get("statuses", ())
}
PHRASES = tuple(
    (kind, re.compile(phrases, re.IGNORECASE))
    for kind, entry in _ENTRIES.items()
    if (phrases := entry.alternation("phrases", optional=True))
)
UPSTREAM = re.compile(_FILE.table("errors").alternation("upstream"), re.IGNORECASE)
STATUS = re.compile(
    "|".join(_FILE.table("errors").texts("status")).replace("{}", r"[45]\d\d"), re.IGNORECASE
)
OWN = re.compile(_FILE.table("errors").alternation("own"), re.IGNORECASE)
DEPLOYED = re.compile(_FILE.table("errors").alternation("deployed"), re.IGNORECASE)
del _FILE, _ENTRIES

HOW = frozenset({CauseKind.GATEWAY, CauseKind.UNATTRIBUTED})  # how it happened, not why
# They can also explain what the expected model itself answers.
OF_SERVICE = frozenset(
    {CauseKind.DEPLOYMENT, CauseKind.CONFIGURATION, CauseKind.PRICE, CauseKind.UNATTRIBUTED}
)
# Of these, each makes every request fail in its own way.
STATES = frozenset({CauseKind.KEY, CauseKind.CREDIT, CauseKind.MODEL_REMOVED})
REJECTIONS = {
    AccountState.REJECTED: CauseKind.KEY,
    AccountState.OUT_OF_CREDIT: CauseKind.CREDIT,
}
PROVIDERS = frozenset(
    {CauseKind.PROVIDER_ERRORS, CauseKind.PROVIDER_LIMIT, CauseKind.PROVIDER_STATISTICS}
)
# Statistics of the provider that are normal contradict these, but not the limit of an account.
OUTAGES = PROVIDERS - {CauseKind.PROVIDER_LIMIT}
