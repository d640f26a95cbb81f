"""Setting up a target: `monitor init` asks a service and writes its configuration."""
