"""The reader of Argoverse 2 sensor logs."""
