"""Structured concurrency without a domain: cancellation, channels, requests to a person."""
