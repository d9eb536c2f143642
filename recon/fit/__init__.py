"""The stage `fit`: from labelled drives to a road surface, tile by tile."""
