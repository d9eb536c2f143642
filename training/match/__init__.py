"""Matching of predictions with labels where the map is known: cut at the mask's edge, costed, assigned exactly."""
