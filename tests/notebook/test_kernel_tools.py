"""The agent's tools in real kernels: Python in the user's namespace, and a look at variables."""

import json
from typing import Any

import pytest

from tests.fake_model import call, say
from tests.notebook.answering import Answerer
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import Kernel, Run

pytestmark = pytest.mark.notebook

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def allowed(answerer: Answerer) -> None:
    answerer.state("allow run_python")


def run_python(kernel: Kernel, model: Model, code: str, cell: str = "%%codex\nGo.") -> Run:
    """Run a turn whose model runs ``code`` once."""
    model.will(call("run_python", {"code": code}), say("Done."))
    run = kernel.execute(cell)
    assert run.traceback == []
    assert kernel.turn()["status"] == "completed"
    return run


def told(model: Model) -> str:
    """Return the text the model got back from its last tool call."""
    output = model.requests[-1]["input"][-1]["output"]
    if isinstance(output, str):
        return output
    return "".join(part.get("text", "") for part in output)


def images(model: Model) -> list[str]:
    output = model.requests[-1]["input"][-1]["output"]
    parts = output if isinstance(output, list) else []
    return [part["image_url"] for part in parts if part["type"] == "input_image"]


def tool_item(kernel: Kernel) -> Json:
    items = kernel.turn()["items"]
    (item,) = [item for item in items if item["type"] == "dynamicToolCall"]
    return item


def test_python_works_on_the_variables_of_the_user(kernel: Kernel, model: Model) -> None:
    kernel.execute("x = 20")
    run_python(kernel, model, "y = x + 1\ny * 2")
    assert told(model) == "42\n"
    assert kernel.execute("y").result == "21"
    assert tool_item(kernel)["status"] == "completed"


def test_what_it_prints_and_shows_is_in_the_cell_and_goes_back(
    kernel: Kernel, model: Model
) -> None:
    code = """
import sys
from IPython.display import HTML, Markdown, display
print("printed")
print("warned", file=sys.stderr)
display(Markdown("**shown**"))
[1, 2, 3]
"""
    run = run_python(kernel, model, code)
    assert run.stdout == "printed\n"
    assert run.stderr == "warned\n"
    assert {"text/markdown": "**shown**"}.items() <= run.displayed[1].items()
    for text in ("printed\n", "warned\n", "Markdown", "[1, 2, 3]"):
        assert text in told(model)
    assert run.result == "[1, 2, 3]"


def test_a_figure_is_shown_and_the_model_sees_it(kernel: Kernel, model: Model) -> None:
    pytest.importorskip("matplotlib")
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3]);"
    run = run_python(kernel, model, code)
    assert any("image/png" in data for data in run.displayed)
    (url,) = images(model)
    assert url.startswith("data:image/png;base64,")
    assert "[image/png shown in the notebook]" in told(model)


def test_an_error_goes_back_as_text_and_the_cell_goes_on(kernel: Kernel, model: Model) -> None:
    run = run_python(kernel, model, "def f():\n    return 1 / 0\nf()")
    assert run.status == "ok"
    assert "Traceback (most recent call last):" in told(model)
    assert "ZeroDivisionError: division by zero" in told(model)
    assert "IPython" not in told(model)
    assert tool_item(kernel)["status"] == "failed"
    assert not any(m["msg_type"] == "error" for m in kernel.heard)
    # The user's own errors show as ever afterwards.
    assert kernel.execute("1 / 0").ename == "ZeroDivisionError"
    assert kernel.wait(kernel.submit("1 / 0")).traceback


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("await something()", "top-level await is not available"),
        pytest.param("-" * 200_000 + "1", "cannot compile this", id="deep"),
        ("x = 1", "no output"),
        ("", "no output"),
        ("%no_such_magic", "no_such_magic"),
        ("1 + 1;", "no output"),
        ("'ä' + chr(0xd83d)", "ä"),
        ("import sys; sys.stdout.write(b'x')", "TypeError"),
        ("import sys; sys.stdout.writelines(['first ', 'second'])", "first second"),
    ],
)
def test_odd_code_gets_an_answer_in_text(
    kernel: Kernel, model: Model, code: str, said: str
) -> None:
    run_python(kernel, model, code)
    assert said in told(model)
    assert kernel.execute("1 + 1").result == "2"


def test_it_runs_on_the_main_thread_in_the_cell_that_waits(kernel: Kernel, model: Model) -> None:
    code = "import threading; threading.current_thread() is threading.main_thread()"
    run_python(kernel, model, code)
    assert told(model) == "True\n"


def test_it_runs_on_the_main_thread_in_a_cell_that_awaits(kernel: Kernel, model: Model) -> None:
    code = "import threading; z = 3; threading.current_thread() is threading.main_thread()"
    cell = "import codex_jupyter\nresult = await codex_jupyter.thread().arun('Go.')"
    run_python(kernel, model, code, cell)
    assert told(model) == "True\n"
    assert kernel.execute("z").result == "3"


def test_from_a_turn_in_the_background_it_runs_when_the_kernel_is_idle(
    kernel: Kernel, model: Model
) -> None:
    model.will(call("run_python", {"code": "late = busy; print('late')"}), say("Done."))
    kernel.execute("import codex_jupyter, time")
    cell = "handle = codex_jupyter.start('Go.')\nbusy = 1\ntime.sleep(0.3)\nbusy = 2"
    assert kernel.execute(cell).status == "ok"
    kernel.wait_until(lambda: len(model.requests) == 2)
    assert told(model) == "late\n"
    assert kernel.execute("late, handle.result().status").result == "(2, 'completed')"


def test_output_is_bounded_and_says_so(kernel: Kernel, model: Model) -> None:
    run_python(kernel, model, "print('x' * 1_000_000)")
    assert len(told(model)) < 100_000
    (content,) = tool_item(kernel)["contentItems"]
    assert len(content["text"]) < 250_000


def test_prints_of_a_loop_are_bounded_in_memory_too(kernel: Kernel, model: Model) -> None:
    code = "for _ in range(3000):\n    print('y' * 1000)"
    run = run_python(kernel, model, code)
    assert "characters" in told(model) or "tokens" in told(model)
    assert run.stdout.count("y") == 3_000_000


def test_the_users_history_and_counts_stay_the_users(kernel: Kernel, model: Model) -> None:
    before = int(kernel.execute("len(In)").result)
    run_python(kernel, model, "7 * 6")
    assert int(kernel.execute("len(In)").result) == before + 2
    assert kernel.execute("'7 * 6' in str(In[:-1])").result == "False"


def test_python_asks_and_looking_at_variables_does_not(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    answerer.state("deny")
    model.will(
        call("run_python", {"code": "made = 1"}),
        call("list_variables", {}),
        call("inspect_variable", {"name": "mine"}),
        say("Done."),
    )
    kernel.execute("mine = {'a': 1}")
    assert kernel.execute("%%codex\nGo.").traceback == []
    outputs = [
        entry["output"]
        for entry in model.requests[-1]["input"]
        if entry["type"] == "function_call_output"
    ]
    assert "not run" in outputs[0]
    assert "mine: dict len=1" in outputs[1]
    assert "{'a': 1}" in outputs[2]
    assert kernel.execute("'made' in globals()").result == "False"


SPIES = """
calls = []
class Spy:
    def __repr__(self): calls.append("repr"); return "spied"
    __str__ = __repr__
    def __len__(self): calls.append("len"); return 3
    def __getattr__(self, name): calls.append(name); return 1
    def __sizeof__(self): calls.append("sizeof"); return 10
    @property
    def shape(self): calls.append("shape"); return (1,)
    @property
    def __class__(self): calls.append("class"); return int
class SpyDict(dict):
    __repr__ = Spy.__repr__
class SpyFunction:
    def __call__(self): pass
    @property
    def __name__(self): calls.append("name"); return "spy"
class SpyMeta(type):
    def __repr__(cls): calls.append("meta"); return "meta"
    def __getattribute__(cls, name):
        calls.append("meta." + name)
        return type.__getattribute__(cls, name)
    def __eq__(cls, other): calls.append("metaeq"); return True
    __hash__ = type.__hash__
class SpyOfMeta(metaclass=SpyMeta):
    def __str__(self): calls.append("metastr"); return ""
class Fake:
    __module__ = "pandas.core.frame"
    def __str__(self): calls.append("fake"); return "fake"
    __repr__ = __str__
class list2(list):
    def __iter__(self): calls.append("iter"); return iter([])
list2.__name__ = list2.__qualname__ = "list"
class Swollen(int):
    __repr__ = Spy.__repr__
spy, nested, sub, function = Spy(), [Spy(), {"k": Spy()}], SpyDict(a=1), SpyFunction()
of_meta, fake = SpyOfMeta(), Fake()
class Key:
    def __hash__(self): return 1
    def __lt__(self, other): calls.append("lt"); return True
    __repr__ = Spy.__repr__
keys, keyed = {Key(), Key()}, {Key(): 1, 2: 3}
subs = [list2([1]), Swollen(3)]
try:
    import numpy as np, pandas as pd
    array, frame = np.array([Key(), 1], dtype=object), pd.DataFrame({"a": [Key()], "b": ["t"]})
    listed, series = pd.Series([[Key()]]), pd.Series([1], index=[Key()])
except ImportError:
    array = frame = listed = series = None
calls.clear()
"""


def test_looking_at_variables_runs_no_code_of_the_users(kernel: Kernel, model: Model) -> None:
    names = ["spy", "nested", "sub", "function", "of_meta", "fake", "keys", "keyed", "subs"]
    names += ["array", "frame", "listed", "series", "Spy", "Fake"]
    assert kernel.execute(SPIES).traceback == []
    looks = [call("inspect_variable", {"name": name}) for name in [*names, "SpyOfMeta"]]
    model.will(call("list_variables", {}), *looks, say("Done."))
    assert kernel.execute("%%codex\nGo.").traceback == []
    assert kernel.execute("calls").result == "[]"
    listed = next(
        entry["output"]
        for entry in model.requests[-1]["input"]
        if entry["type"] == "function_call_output"
    )
    assert all(f"{name}: " in listed for name in names[:9])


def test_variables_of_known_libraries_show_shape_and_content(kernel: Kernel, model: Model) -> None:
    pytest.importorskip("pandas")
    code = (
        "import numpy as np, pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})\na = np.zeros((3, 4))"
    )
    kernel.execute(code)
    model.will(call("list_variables", {}), call("inspect_variable", {"name": "df"}), say("Done."))
    kernel.execute("%%codex\nGo.")
    listed, inspected = [
        entry["output"]
        for entry in model.requests[-1]["input"]
        if entry["type"] == "function_call_output"
    ]
    assert "a: numpy.ndarray shape=(3, 4) dtype=float64" in listed
    assert "shape=(2, 1)" in listed
    assert "np:" not in listed
    assert "   a\n0  1\n1  2" in inspected


def test_variables_are_listed_within_bounds(kernel: Kernel, model: Model) -> None:
    kernel.execute("for i in range(500):\n    globals()[f'v{i:03}'] = 'long ' * 10000\n")
    model.will(call("list_variables", {}), say("Done."))
    kernel.execute("%%codex\nGo.")
    text = told(model)
    assert len(text) < 60_000
    assert "v000: str len=50000" in text


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("run_python", {"source": "1"}),
        ("run_python", {"code": 3}),
        ("inspect_variable", {}),
        ("inspect_variable", {"name": "no_such_name"}),
        ("inspect_variable", "not json"),
    ],
)
def test_wrong_arguments_are_told_to_the_model(
    kernel: Kernel, model: Model, tool: str, arguments: Any
) -> None:
    model.will(call(tool, arguments), say("Done."))
    assert kernel.execute("%%codex\nGo.").traceback == []
    assert "error" in told(model).lower() or "failed to parse" in told(model)
    assert len(model.requests) == 2


def test_the_tools_are_offered_to_the_model(kernel: Kernel, model: Model) -> None:
    model.will(say("Done."))
    kernel.execute("%%codex\nGo.")
    tools = {tool.get("name"): tool for tool in model.requests[0]["tools"]}
    assert {"run_python", "list_variables", "inspect_variable"} <= set(tools)
    assert json.dumps(tools["run_python"]["parameters"]).count("code") >= 1
