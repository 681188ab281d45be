"""What the agent needs: a fake model, a home that points at it, a workspace."""

from tests.behaviour.conftest import lab

__all__ = ["lab"]
