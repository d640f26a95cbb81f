"""The commands people type: each verb in a file of its own, wired in `monitor/__main__.py`."""
