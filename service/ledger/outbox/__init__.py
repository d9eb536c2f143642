"""The outbox: webhooks, what shall be sent to them, and what became of it."""
