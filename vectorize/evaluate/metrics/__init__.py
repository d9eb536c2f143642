"""The metrics of map evaluation, each a pure function of elements."""
