"""Patches are applied by the hundred here, so nothing waits for the disk."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of patches are applied here; that bytes reach the platter is not what is tested."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
