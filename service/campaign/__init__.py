"""Campaigns: hundreds of drives labelled, aggregated where they meet, and published as one snapshot, by a client."""
