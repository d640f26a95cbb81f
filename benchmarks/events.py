"""CPU that one event of a stream costs: `python -m benchmarks.events`.

Bytes as a socket read brings them, one event a read, go through the framing, the dialect and
everything that is kept of them, as in a probe, without sockets. Of each stream several rounds are
measured in turn with the others, and the median is printed. docs/benchmarks.md has the figures.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from monitor.dialects import dialect_of
from monitor.domain import Query, Target
from monitor.probing.stream_reader import StreamReader
from monitor.probing.timestamped_socket import ConnectionTimes

EVENTS = 2_000  # of one stream, the cap is 20,000
CHUNK = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1762470000,'
    '"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":" word%d"},'
    '"finish_reason":null}]}\n\n'
)
FULL_CHUNK = (
    'data: {"id":"gen-1762470000-AbCdEf","provider":"DeepInfra","model":"meta-llama/llama-4-scout",'
    '"object":"chat.completion.chunk","created":1762470000,"choices":[{"index":0,"delta":{"role":'
    '"assistant","content":" word%d"},"finish_reason":null,"native_finish_reason":null,'
    '"logprobs":null}]}\n\n'
)
USAGE_CHUNK = CHUNK.replace(
    "}]}", '}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}'
)
DELTA = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    '{"type":"text_delta","text":" word%d"}}\n\n'
)
RESPONSES = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":'
    '"msg_1","output_index":0,"content_index":0,"delta":" word%d","sequence_number":7}\n\n'
)
GEMINI = (
    'data: {"candidates":[{"content":{"parts":[{"text":" word%d"}],"role":"model"},"index":0}],'
    '"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4},"modelVersion":"gemini-2.5"}\n\n'
)
OLLAMA = '{"model":"llama3.2","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant",' \
         '"content":" word%d"},"done":false}\n'  # fmt: skip
STREAMS: Mapping[str, tuple[str, str]] = {
    "openai_chat": ("openai_chat", CHUNK),
    "openai_chat, OpenRouter": ("openai_chat", FULL_CHUNK),
    "openai_chat, usage in each": ("openai_chat", USAGE_CHUNK),
    "openai_responses": ("openai_responses", RESPONSES),
    "anthropic_messages": ("anthropic_messages", DELTA),
    "gemini": ("gemini", GEMINI),
    "ollama": ("ollama", OLLAMA),
    "bali_zero_typed": ("bali_zero_typed", 'data: {"type":"token","data":" word%d"}\n\n'),
}


def stream(template: str) -> list[bytes]:
    """The events of one stream, each with a text of its own."""
    return [(template % number).encode() for number in range(EVENTS)]


def heard(dialect: str, events: list[bytes]) -> Callable[[], int]:
    """One reading of a whole stream; it returns how many events had answer text."""
    target = Target(name="b", url="http://b", dialect=dialect, queries=(Query(id="q", text="Hi"),),
                    model="m")  # fmt: skip
    spoken = dialect_of(target)

    def once() -> int:
        hearing = StreamReader(spoken, stop_after_chars=None)
        for number, event in enumerate(events):
            hearing.take(event, ConnectionTimes(arrived_ns=number, kernel=True, read=number))
        return sum(bool(one.text) for one in hearing.heard)

    return once


def measured(rounds: int) -> Iterator[tuple[str, Decimal]]:
    """Of each stream the median CPU time of an event, in microseconds."""
    ready = {name: heard(dialect, stream(template)) for name, (dialect, template) in
             STREAMS.items()}  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in ready}
    for name, once in ready.items():  # warm caches, and prove that the texts are read
        if once() != EVENTS:
            raise SystemExit(f"{name}: not every event was read as answer text")
    for _ in range(rounds):
        for name, once in ready.items():
            began = time.process_time_ns()
            once()
            spent[name].append((time.process_time_ns() - began) / EVENTS / 1000)
    for name, times in spent.items():
        yield name, Decimal(statistics.median(times)).quantize(Decimal("0.1"))


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=5, help="of each stream (default: 5)")
    print("| stream | CPU an event, us |\n| --- | --- |")
    for name, spent in measured(options.parse_args().rounds):
        print(f"| {name} | {spent} |")


if __name__ == "__main__":
    main()
