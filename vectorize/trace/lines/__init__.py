"""Lines of paint along the road: ridges, skeletons, strands, rows of dashes, dividers."""
