"""The demo city: a seeded synthetic drive with known truth, for newcomers and as an oracle of geometry."""
