"""The ledger: jobs, attempts, events and artifacts in a database that is also the queue."""
