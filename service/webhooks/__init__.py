"""Webhooks on their way out: where the service may send to, signatures, and the loop that empties the outbox."""
