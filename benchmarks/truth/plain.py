"""Ordinary clients under the same load, as their users would write them.

Runs in the other clients' environment. One client object is shared by all requests, its
limits on connections lifted; the clock starts before the call and stops when the iterator
hands over the first chunk with content. Nothing is done that the others' documentation
does not do.
"""

import asyncio
import importlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from benchmarks.truth.load import Ask, Job, Ran, Sample, job_given, load, tell

BODY = {
    "model": "truth",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}

Contents = Callable[[str], AsyncIterator[str]]  # request id → content of each chunk


def trusted(job: Job) -> ssl.SSLContext | None:
    """The context for the job's certificate, if it has one."""
    return ssl.create_default_context(cafile=job.ca_file) if job.ca_file else None


@asynccontextmanager
async def over_httpx(job: Job) -> AsyncIterator[Contents]:
    """httpx with httpx-sse; connections are kept alive."""
    httpx, sse = importlib.import_module("httpx"), importlib.import_module("httpx_sse")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    verify = trusted(job) or True
    async with httpx.AsyncClient(timeout=None, limits=limits, verify=verify) as client:

        async def contents(id: str) -> AsyncIterator[str]:
            url, headers = f"{job.url}/v1/chat/completions", {"X-Request-Id": id}
            async with sse.aconnect_sse(client, "POST", url, json=BODY, headers=headers) as source:
                async for event in source.aiter_sse():
                    if event.data != "[DONE]":
                        yield _content(event.data)

        yield contents


@asynccontextmanager
async def over_aiohttp(job: Job) -> AsyncIterator[Contents]:
    """aiohttp, reading lines; connections are kept alive."""
    aiohttp = importlib.import_module("aiohttp")
    context = trusted(job)
    connector = aiohttp.TCPConnector(limit=0, ssl=context if context else True)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def contents(id: str) -> AsyncIterator[str]:
            url, headers = f"{job.url}/v1/chat/completions", {"X-Request-Id": id}
            async with session.post(url, json=BODY, headers=headers) as response:
                async for line in response.content:
                    data = line.strip().removeprefix(b"data: ")
                    if data and data != b"[DONE]":
                        yield _content(data)

        yield contents


@asynccontextmanager
async def over_openai(job: Job) -> AsyncIterator[Contents]:
    """The openai client, which brings an HTTP client of its own."""
    openai = importlib.import_module("openai")
    context = trusted(job)
    http = openai.DefaultAsyncHttpxClient(verify=context) if context else None
    async with openai.AsyncOpenAI(
        base_url=f"{job.url}/v1", api_key="none", max_retries=0, timeout=None, http_client=http
    ) as client:

        async def contents(id: str) -> AsyncIterator[str]:
            stream = await client.chat.completions.create(
                **BODY, extra_headers={"X-Request-Id": id}
            )
            async for chunk in stream:
                yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

        yield contents


CLIENTS: dict[str, Callable[[Job], AbstractAsyncContextManager[Contents]]] = {
    "httpx": over_httpx,
    "aiohttp": over_aiohttp,
    "openai": over_openai,
}


def _content(data: str | bytes) -> str:
    choices: list[Any] = json.loads(data)["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


def timed(contents: Contents) -> Ask:
    """A request timed by a stopwatch around the call."""

    async def ask(id: str) -> Sample:
        first: int | None = None
        start = time.monotonic_ns()
        try:
            async for content in contents(id):
                if content and first is None:
                    first = time.monotonic_ns()
        except Exception:  # whatever a client raises is one failed request
            return Sample(id=id)
        ttft_ms = None if first is None else (first - start) / 1e6
        return Sample(id=id, ttft_ms=ttft_ms, start_ns=start)

    return ask


async def asked(job: Job) -> Ran:
    """The job done by the client it names."""
    async with CLIENTS[job.client](job) as contents:
        return await load(job, timed(contents))


async def main() -> None:
    tell(await asked(job_given()))


if __name__ == "__main__":
    asyncio.run(main())
