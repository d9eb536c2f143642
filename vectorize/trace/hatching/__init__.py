"""Paint that is not a line of traffic: bars at a period, lattices, combs of parking bays, arrows and symbols."""
