"""The same lab as in the behaviour tests."""

from tests.behaviour.conftest import lab

__all__ = ["lab"]
