"""The styles of dividers: patterns along them, and lines beside them."""
