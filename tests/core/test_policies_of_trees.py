"""Nobody in a tree may do what somebody above may not: as properties, over random trees."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.core.config import SessionConfig, ThreadOptions, meet_of_sandboxes
from codex_jupyter.core.delegate import DelegateWish, child_config
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.session import Session
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import new_thread_id
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.protocol.ops import TurnOverrides
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings
from codex_jupyter.settings.approval import (
    APPROVAL_POLICIES,
    ApprovalPolicy,
    Granular,
    QuestionKind,
    base_of,
    policy_from,
    policy_shape,
)
from codex_jupyter.tools.policy import Allow, Ask, Policy, Refuse, decide

Json = dict[str, Any]

ROOTS = ("/a", "/b", "/c")
EVERYTHING = {*ROOTS, "here", "tmpdir", "/tmp", "anywhere", "network", "no walls"}

flags = st.booleans()
granular = st.builds(
    Granular, flags, flags, flags, flags, flags, st.sampled_from(APPROVAL_POLICIES)
)
approvals = st.sampled_from(APPROVAL_POLICIES) | granular
sandboxes = st.one_of(
    st.builds(lambda n: {"type": "readOnly", "networkAccess": n}, flags),
    st.builds(
        lambda roots, n, t, s: {
            "type": "workspaceWrite",
            "writableRoots": roots,
            "networkAccess": n,
            "excludeTmpdirEnvVar": t,
            "excludeSlashTmp": s,
        },
        st.lists(st.sampled_from(ROOTS), unique=True),
        flags,
        flags,
        flags,
    ),
    st.just({"type": "workspaceWrite"}),
    st.just({"type": "readOnly"}),
    st.builds(
        lambda n: {"type": "externalSandbox", "networkAccess": n},
        st.sampled_from(["restricted", "enabled"]),
    ),
    st.just({"type": "dangerFullAccess"}),
)
policies = st.builds(Policy, approvals, flags)


def allowed(sandbox: Json) -> set[str]:
    """Return what commands may do, written down from the meaning of each kind."""
    network = {"network"} if sandbox.get("networkAccess") in (True, "enabled") else set[str]()
    match sandbox["type"]:
        case "readOnly":
            return network
        case "workspaceWrite":
            roots = set(sandbox.get("writableRoots") or ())
            tmp = set[str]() if sandbox.get("excludeTmpdirEnvVar") else {"tmpdir"}
            slash = set[str]() if sandbox.get("excludeSlashTmp") else {"/tmp"}
            return {"here", *roots, *tmp, *slash, *network}
        case "externalSandbox":
            # Somebody else's walls: all files inside of them.
            return (EVERYTHING - {"network", "no walls"}) | network
        case _:
            return EVERYTHING


def freedom(policy: Policy) -> list[int]:
    """Rank what becomes of each kind of question: refused, asked about, run.

    Last is the rank among the policies that ask the same here, as nothing is sandboxed.
    """
    kinds: list[QuestionKind | None] = [*get_args(QuestionKind), None]
    decided = [decide(policy, read_only=False, what="this", kind=kind) for kind in kinds]
    decided.append(decide(policy, read_only=True, what="this"))
    ranks = [[Refuse, Ask, Allow].index(type(decision)) for decision in decided]
    trust = APPROVAL_POLICIES.index(base_of(policy.approval))
    return [*ranks, int(policy.shows_forms), -1 if policy.refuses else trust]


def allows_no_more(one: Policy, other: Policy) -> bool:
    return all(mine <= theirs for mine, theirs in zip(freedom(one), freedom(other), strict=True))


@given(one=sandboxes, other=sandboxes)
def test_the_meet_of_two_sandboxes_allows_what_both_allow(one: Json, other: Json) -> None:
    met = meet_of_sandboxes(one, other)
    assert allowed(met) == allowed(one) & allowed(other)
    assert allowed(meet_of_sandboxes(other, one)) == allowed(met)
    assert allowed(meet_of_sandboxes(met, met)) == allowed(met)


@given(one=policies, other=policies, third=policies)
def test_the_meet_of_two_policies_allows_no_more_than_each(
    one: Policy, other: Policy, third: Policy
) -> None:
    met = one.meet(other)
    assert allows_no_more(met, one)
    assert allows_no_more(met, other)
    assert met == other.meet(one)
    assert one.meet(one) == one or one.refuses
    assert allows_no_more(met.meet(third), met)
    # And no less than it must.
    assert freedom(met) == [min(pair) for pair in zip(freedom(one), freedom(other), strict=True)]


@given(one=policies, other=policies)
def test_a_policy_is_read_again_as_it_was_written(one: Policy, other: Policy) -> None:
    for approval in (one.approval, one.meet(other).approval):
        assert policy_from(json.loads(json.dumps(policy_shape(approval)))) == approval


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SessionConfig:
    home = tmp_path_factory.mktemp("home")
    defaults = Settings.load(
        environ={"CODEX_JUPYTER_HOME": str(home)}, overrides=["model_provider=offline"]
    )
    return SessionConfig.of(defaults, ThreadOptions(cwd="/"), "base")


def wishes(approval: ApprovalPolicy | None, sandbox: Json | None) -> DelegateWish:
    source = {"subagent": {"other": "test"}}
    return DelegateWish(source=source, approval_policy=approval, sandbox=sandbox)


@given(
    approval=approvals,
    sandbox=sandboxes,
    wished=st.none() | approvals,
    box=st.none() | sandboxes,
)
def test_a_child_gets_at_most_what_its_parent_has(
    base: SessionConfig,
    approval: ApprovalPolicy,
    sandbox: Json,
    wished: ApprovalPolicy | None,
    box: Json | None,
) -> None:
    parent = replace(base, approval_policy=approval, sandbox=sandbox)
    child = child_config(parent, wishes(wished, box))
    assert allows_no_more(child.policy, parent.policy)
    assert allowed(child.sandbox) <= allowed(sandbox)
    if box is not None:
        assert allowed(child.sandbox) <= allowed(box)
    if wished is None and box is None:
        assert child.policy == parent.policy or parent.policy.refuses
        assert freedom(child.policy) == freedom(parent.policy)


node = st.tuples(st.integers(0, 5), st.none() | approvals, st.none() | sandboxes)
change = st.tuples(st.integers(0, 6), approvals | st.none(), sandboxes | st.none())


@settings(max_examples=60)
@given(
    root=st.tuples(approvals, sandboxes),
    nodes=st.lists(node, max_size=6),
    changes=st.lists(change, max_size=6),
)
def test_in_any_tree_and_after_any_change_nobody_may_more_than_those_above(
    base: SessionConfig,
    root: tuple[ApprovalPolicy, Json],
    nodes: list[tuple[int, ApprovalPolicy | None, Json | None]],
    changes: list[tuple[int, ApprovalPolicy | None, Json | None]],
) -> None:
    tree = [_thread(replace(base, approval_policy=root[0], sandbox=root[1]), None)]
    for place, approval, sandbox in nodes:
        parent = tree[place % len(tree)]
        config = child_config(parent.config, wishes(approval, sandbox))
        tree.append(_thread(config, Lineage(parent, {"subagent": {"other": "test"}})))
    _check(tree)
    for place, approval, sandbox in changes:
        session = tree[place % len(tree)]
        session.update_settings(TurnOverrides(approval_policy=approval, sandbox=sandbox))
        _check(tree)


def _thread(config: SessionConfig, lineage: Lineage | None) -> Session:
    """Return a session of which only the settings and the place in the tree matter."""
    session = Session(
        new_thread_id(),
        config,
        ThreadStore(Path("nowhere")),
        _no_client,
        lambda _: None,
        environment={},
        lineage=lineage,
    )
    session._work_in.close()
    session._work_out.close()
    return session


def _no_client(_: SessionConfig) -> ModelClient:
    raise AssertionError("nothing is asked here")


def _check(tree: list[Session]) -> None:
    for session in tree:
        own = session.config.policy
        may = session.ceiling()
        assert allows_no_more(may, own)
        for above in session.lineage.ancestors() if session.lineage is not None else ():
            assert allows_no_more(may, above.config.policy)
            assert allows_no_more(may, above.ceiling())


def test_a_folder_of_a_child_must_be_whole(base: SessionConfig) -> None:
    wish = replace(wishes(None, None), cwd="somewhere")
    with pytest.raises(InvalidRequestError, match="absolute"):
        child_config(base, wish)
    assert child_config(base, replace(wish, cwd="/tmp")).cwd == Path("/tmp")
