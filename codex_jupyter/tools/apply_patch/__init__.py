"""File edits in the model's patch language: parse, plan, show, then apply all or nothing."""

from codex_jupyter.tools.apply_patch.apply import apply_plan
from codex_jupyter.tools.apply_patch.beneath import MAX_FILE_BYTES, FileOps
from codex_jupyter.tools.apply_patch.journal import recover_workspace
from codex_jupyter.tools.apply_patch.parse import (
    MAX_PATCH_BYTES,
    MAX_PATCH_HUNKS,
    HeredocPatch,
    Patch,
    heredoc_patch,
    parse_patch,
)
from codex_jupyter.tools.apply_patch.plan import (
    NEW_FILE_MODE,
    PROTECTED_NAMES,
    FileChange,
    PatchPlan,
    plan_patch,
)
from codex_jupyter.tools.apply_patch.unified import unified_hunks

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PATCH_BYTES",
    "MAX_PATCH_HUNKS",
    "NEW_FILE_MODE",
    "PROTECTED_NAMES",
    "FileChange",
    "FileOps",
    "HeredocPatch",
    "Patch",
    "PatchPlan",
    "apply_plan",
    "heredoc_patch",
    "parse_patch",
    "plan_patch",
    "recover_workspace",
    "unified_hunks",
]
