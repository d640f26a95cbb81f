"""Setting up a target: `monitor init` probes a service and writes its configuration."""
