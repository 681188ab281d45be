"""The agent: threads, sessions, turns."""
