"""What `python -m benchmarks.fleet` runs and measures."""
