"""Lines of paint along the road: ridges, skeletons, strands, dividers and their styles."""
