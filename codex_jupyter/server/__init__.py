"""The app server: the protocol in front of the core."""
