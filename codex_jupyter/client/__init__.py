"""A typed client of any app-server v2."""
