"""Parts of the executor: its name, its slots, what it writes to the ledger, and the resources its stages share."""
