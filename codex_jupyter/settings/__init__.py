"""What the user configured: files, variables, options, and the model providers to choose from."""

from codex_jupyter.settings.approval import APPROVAL_POLICIES
from codex_jupyter.settings.choice import (
    Choice,
    ensure_home,
    forget_choice,
    read_choice,
    remember_choice,
)
from codex_jupyter.settings.known_keys import REASONING_EFFORTS, SANDBOX_MODES
from codex_jupyter.settings.load import Settings, WorkspaceWrite
from codex_jupyter.settings.providers import LOCAL_SERVERS, Provider

__all__ = [
    "APPROVAL_POLICIES",
    "LOCAL_SERVERS",
    "REASONING_EFFORTS",
    "SANDBOX_MODES",
    "Choice",
    "Provider",
    "Settings",
    "WorkspaceWrite",
    "ensure_home",
    "forget_choice",
    "read_choice",
    "remember_choice",
]
