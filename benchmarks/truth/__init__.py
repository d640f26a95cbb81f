"""The parts of `benchmarks.ttft`: servers that know the truth, clients, arithmetic, tables."""
