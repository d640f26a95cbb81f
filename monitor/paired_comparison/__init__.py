"""Two services or models compared by paired answers to the same canned queries."""
