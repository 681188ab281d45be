"""Pairs of message streams; each knows neither server nor client."""
