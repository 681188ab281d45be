"""Threads on disk: append-only JSONL in the original's line format."""
