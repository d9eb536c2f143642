"""From bird's-eye features to ordered points: queries of instances and points, refined layer by layer."""
