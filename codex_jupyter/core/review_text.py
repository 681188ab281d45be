"""Reviews as text: what the reviewer is asked, what its answer means, how findings read. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

__all__ = [
    "INTERRUPTED",
    "NO_OUTPUT",
    "REVIEW_INSTRUCTIONS",
    "Finding",
    "ReviewOutput",
    "parse_review",
    "render_review",
    "review_hint",
    "review_prompt",
    "told_review",
]

Json = dict[str, Any]

_MAX_CANDIDATES: Final = 200
"""Places in an answer that are tried as the begin of a JSON object."""

_BEGIN: Final = re.compile(r'\{\s{0,99}"')
"""Of a JSON object that has a member; most braces of quoted code are none."""

_MAX_DIGITS: Final = 9
"""Of a line's number that means anything."""

_MAX_FINDINGS: Final = 200
"""Findings of one review that are kept; nobody reads more."""

REVIEW_INSTRUCTIONS: Final = """You review a change that somebody else made, in the workspace you \
are in. Look at the change itself first, then at as much of the code around it as you need to be \
sure. Do not change any file.

Report a finding only if all of this holds:
- the change introduces it; problems that were there before do not count;
- it makes the result wrong, slow, unsafe or hard to keep, in a way its author would want to know;
- you can say in which situation it happens; a guess about code you did not look at is no finding;
- it is one problem, with one place that somebody can go and mend.
Style that does not hide meaning is no finding. An empty list is a good answer.

Each finding has a title of at most 80 characters in the imperative, a body of one short paragraph \
in Markdown that says why it is a problem and when, without praise or blame, and the smallest \
range of lines that shows it (at most ten). Its priority is 0 if everything must stop for it, 1 if \
it is urgent, 2 if it is to be mended in the normal course, 3 if it would be nice.

End with exactly one JSON object and nothing around it, no code fence:
{"findings": [{"title": "…", "body": "…", "priority": 0, "confidence_score": 0.0, "code_location": \
{"absolute_file_path": "…", "line_range": {"start": 1, "end": 1}}}], "overall_correctness": "patch \
is correct" or "patch is incorrect", "overall_explanation": "one to three sentences", \
"overall_confidence_score": 0.0}
"""

NO_OUTPUT: Final = "Reviewer failed to output a response."
INTERRUPTED: Final = "Review was interrupted. Please re-run /review and wait for it to complete."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the reviewer found."""

    title: str
    body: str
    path: str | None = None
    start: int | None = None
    end: int | None = None
    priority: int | None = None
    """0 (everything stops) to 3 (would be nice), if the reviewer said."""

    confidence: float | None = None
    """0 to 1, if the reviewer said."""

    def wire(self) -> Json:
        """Return it in the original's shape."""
        place = None
        if self.path is not None:
            lines = {"start": self.start, "end": self.end}
            place = {"absolute_file_path": self.path, "line_range": lines}
        return {
            "title": self.title,
            "body": self.body,
            "confidence_score": self.confidence,
            "priority": self.priority,
            "code_location": place,
        }


@dataclass(frozen=True, slots=True)
class ReviewOutput:
    """What a review found."""

    findings: tuple[Finding, ...] = ()
    correctness: str = ""
    explanation: str = ""
    confidence: float | None = None
    structured: bool = field(default=True, compare=False)
    """Whether it came as the object that was asked for; else ``explanation`` is the text."""

    def wire(self) -> Json:
        """Return it in the original's shape."""
        return {
            "findings": [finding.wire() for finding in self.findings],
            "overall_correctness": self.correctness,
            "overall_explanation": self.explanation,
            "overall_confidence_score": self.confidence,
        }


def review_hint(target: Mapping[str, Any]) -> str:
    """Name a target for people; the words are the original's."""
    match target:
        case {"type": "baseBranch", "branch": str(branch)}:
            return f"changes against '{branch}'"
        case {"type": "commit", "sha": str(sha)}:
            title = target.get("title")
            return f"commit {sha[:7]}: {title}" if title else f"commit {sha[:7]}"
        case {"type": "custom", "instructions": str(instructions)}:
            return instructions
        case _:
            return "current changes"


def review_prompt(target: Mapping[str, Any], merge_base: str | None = None) -> str:
    """Return what the reviewer is asked."""
    match target:
        case {"type": "baseBranch", "branch": str(branch)} if merge_base is not None:
            return (
                f"Review the changes since this branch left '{branch}'. The merge base is "
                f"{merge_base}: `git diff {merge_base}` shows what would be merged. Report "
                "findings in the order of their priority."
            )
        case {"type": "baseBranch", "branch": str(branch)}:
            return (
                f"Review the changes against the branch '{branch}'. Find the merge base of HEAD "
                f"and the branch first (`git merge-base HEAD {branch}`; if there is no such local "
                "branch, look at its upstream), then diff against that commit. Report findings in "
                "the order of their priority."
            )
        case {"type": "commit", "sha": str(sha)}:
            title = target.get("title")
            named = f'{sha} ("{title}")' if title else sha
            return (
                f"Review what commit {named} changed. Report findings in the order of their "
                "priority."
            )
        case {"type": "custom", "instructions": str(instructions)}:
            return instructions
        case _:
            return (
                "Review the changes that are not committed yet: staged, unstaged and untracked "
                "files. Report findings in the order of their priority."
            )


def parse_review(text: str) -> ReviewOutput:
    """Read a reviewer's answer; what is no such object, or has words around it, still counts.

    The last object in the text that looks like a review wins: a reviewer who thinks aloud ends
    with its answer. Members that are missing, null or of another type are left out. (W-37)
    """
    for found in reversed(list(_objects(text))):
        if "findings" in found or "overall_explanation" in found:
            return _output(found)
    return ReviewOutput(explanation=text.strip(), structured=False)


def _objects(text: str) -> Iterator[Json]:
    decoder = json.JSONDecoder()
    begin, tried = _BEGIN.search(text), 0
    while begin is not None and tried < _MAX_CANDIDATES:
        tried += 1
        try:
            value, end = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            end = begin.start() + 1
        else:
            if isinstance(value, dict):
                yield cast("Json", value)
        begin = _BEGIN.search(text, end)


def _output(found: Json) -> ReviewOutput:
    listed: Any = found.get("findings")
    entries = cast("list[Any]", listed) if isinstance(listed, list) else []
    findings = [_finding(cast("Json", e)) for e in entries[:_MAX_FINDINGS] if isinstance(e, dict)]
    return ReviewOutput(
        findings=tuple(finding for finding in findings if finding.title or finding.body),
        correctness=_text(found.get("overall_correctness")),
        explanation=_text(found.get("overall_explanation")),
        confidence=_share(found.get("overall_confidence_score")),
    )


def _finding(entry: Json) -> Finding:
    place: Any = entry.get("code_location")
    place = cast("Json", place) if isinstance(place, dict) else {}
    lines: Any = place.get("line_range")
    lines = cast("Json", lines) if isinstance(lines, dict) else {}
    path = _text(place.get("absolute_file_path") or place.get("path")) or None
    start, end = _whole(lines.get("start")), _whole(lines.get("end"))
    start = start if start is not None else end
    end = end if end is not None else start
    if start is not None and end is not None and end < start:
        start, end = end, start
    return Finding(
        title=_text(entry.get("title")),
        body=_text(entry.get("body")),
        path=path,
        start=start,
        end=end,
        priority=_priority(entry.get("priority")),
        confidence=_share(entry.get("confidence_score")),
    )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:_MAX_DIGITS])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Neither NaN nor an infinity is below it.
    return int(value) if abs(value) < 10**_MAX_DIGITS else None


def _priority(value: Any) -> int | None:
    if isinstance(value, str):
        value = value.strip().removeprefix("P").removeprefix("p")
    number = _whole(value)
    return number if number is not None and 0 <= number <= 3 else None  # noqa: PLR2004 - P0 to P3


def _share(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124
        return None
    # Bounded first: a whole number may be too large for a float.
    return float(min(max(value, 0), 1))


def render_review(output: ReviewOutput) -> str:
    """Return a review as people read it, in the original's form."""
    parts = [output.explanation] if output.explanation else []
    if output.findings:
        heading = "Review comment:" if len(output.findings) == 1 else "Full review comments:"
        parts += [heading, "\n\n".join(_rendered(finding) for finding in output.findings)]
    return "\n\n".join(parts) or NO_OUTPUT


def _rendered(finding: Finding) -> str:
    title = finding.title or "Finding"
    if finding.priority is not None and not re.match(r"\[P\d\]", title):
        title = f"[P{finding.priority}] {title}"
    where = "" if finding.path is None else f" — {finding.path}"
    if where and finding.start is not None:
        where += f":{finding.start}-{finding.end}"
    body = "\n".join(f"  {line}" if line else "" for line in finding.body.splitlines())
    return f"- {title}{where}\n{body}".rstrip()


def told_review(text: str) -> str:
    """Return what the thread's own model is told of a review that is over."""
    return (
        "<user_action>\n  <context>The user had a reviewer look at changes. What it found is "
        "below; the user may ask to have some of it mended.</context>\n  <action>review</action>"
        f"\n  <results>\n{text}\n  </results>\n</user_action>\n"
    )
