"""Benchmarks: how far off our figures are, and how far off those of others."""
