"""Workers killed, paused, cut off and restarted, and what must hold afterwards: `__main__`."""
