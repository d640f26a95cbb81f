"""The health job against the simulated service, whose pages say what the real ones say."""

from datetime import timedelta
from pathlib import Path

from monitor.health_page import HealthPage, address
from monitor.simulator.service import SimulatedService
from monitor.simulator.situations import ServiceSituation
from monitor.storage import Database, leases
from monitor.worker import account_polling
from tests.contract.open_context import open_context, settings
from tests.contract.web_site import site
from tests.e2e.worker_process import rows

READINGS = "SELECT http_status, healthy, unmet, facts FROM health_readings ORDER BY at, id"
EVERY = timedelta(minutes=5)


def page(target_url: str, url: str = "/warmup/stats", *expect: str) -> HealthPage:
    return HealthPage(url=address(target_url, url), every=EVERY, expect=expect)


async def test_a_constant_is_kept_once_and_a_change_is_kept_as_a_row(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    router = "services.intelligent_router"
    async with SimulatedService() as service:
        configured = settings(tmp_path, service.url)
        target = configured.targets["rag"]
        constant = page(service.url, "/health", "status == 'healthy'")
        notifying = page(service.url, "/warmup/stats", "healthy", router)
        async with open_context(configured, database) as context:
            assert await account_polling.read_health_page(context, target, constant)
            assert await account_polling.read_health_page(context, target, notifying)
            service.situation = ServiceSituation.UNAVAILABLE
            assert not await account_polling.read_health_page(context, target, constant), (
                "healthy whatever happens"
            )
            assert await account_polling.read_health_page(context, target, notifying)
            assert not await account_polling.read_health_page(context, target, notifying)
    assert rows(database_url, READINGS) == [
        (200, True, [], {"status": "healthy"}),
        (200, True, [], {"healthy": True, router: True}),
        (200, False, [router], {"healthy": True, router: False}),
    ]
    later = rows(database_url, "SELECT count(*) FROM health_readings WHERE checked_at > at")
    assert later == [(2,)], "what was said again was checked again"


async def test_a_page_that_cannot_be_read_cannot_be_judged(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    configured = settings(tmp_path)
    async with open_context(configured, database) as context:
        await account_polling.read_health_page(
            context, configured.targets["rag"], page("http://127.0.0.1:1", "/", "x")
        )
    assert rows(database_url, READINGS) == [(None, None, [], {})]


async def test_our_keys_stay_ours(database: Database, database_url: str, tmp_path: Path) -> None:
    async with site() as own, site() as other:
        own.body = other.body = b'{"status": "key canary-key-4711 is fine\\u0000"}'
        configured = settings(tmp_path, own.url)
        target = configured.targets["rag"]
        async with open_context(configured, database) as context:
            await account_polling.read_health_page(
                context, target, page(own.url, "/health", "status")
            )
            await account_polling.read_health_page(
                context, target, page(own.url, f"{other.url}/health", "status")
            )
        assert "canary-key-4711" in own.asked[0]
        assert "canary-key-4711" not in other.asked[0]
    facts = [fact for *_, fact in rows(database_url, READINGS)]
    assert facts == [{"status": "key *** is fine"}] * 2


async def test_one_worker_reads_a_page(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with site() as served:
        configured = settings(tmp_path, served.url)
        read = page(served.url, "/health", "status")
        async with database.begin() as connection:
            name = f"health rag {read.url}"
            assert await leases.hold(connection, name, holder="w2", span=timedelta(minutes=9))
        async with open_context(configured, database) as context:
            assert not await account_polling.read_health_page(
                context, configured.targets["rag"], read
            )
        assert served.asked == []
    assert rows(database_url, READINGS) == []
