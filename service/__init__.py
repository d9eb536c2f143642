"""The public face: REST service, ledger, client and command line. Never imports torch."""
