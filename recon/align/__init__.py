"""`align`: several trips over one place get poses under which they agree."""
