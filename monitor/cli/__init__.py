"""The commands: one file for each, declared in `monitor/__main__.py`."""
