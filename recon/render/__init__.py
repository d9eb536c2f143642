"""Renderers of a RoadSurface into camera images; one module per back end, one interface."""
