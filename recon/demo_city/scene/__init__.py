"""A city in three dimensions: its ground, what stands and moves on it, and its light."""
