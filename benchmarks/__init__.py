"""Measurements of the app server and of what the agent costs a kernel; nothing here is shipped."""
