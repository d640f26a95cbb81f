"""What answers cost: the price book, tokens × price, spend meters and projections. Pure."""
