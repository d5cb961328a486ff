"""What a build's source shows and no run does: faults that cost money, leak keys or block the worker in silence."""

import ast
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from gates.report import Advice
from gates.world import World

# What lies in the folder and is not the learner's worker.
OTHERS = {"concepts", "gates", "migrations", "node_modules", "offline", "tests", "venv"}
WHO = {"customer_id", "customer", "customer_email", "user_id", "account_id"}
A_STEP = re.compile(r"\bstep\.\w+\(")
IN_A_STEP = re.compile(r"\bstep\.run\('[^']*', (?:\w*\.?partial\()?(\w+)")
SIDE_BY_SIDE = re.compile(r"(^|\.)(gather|create_task|ensure_future|as_completed)$")
SHELLS = re.compile(r"default|shell", re.IGNORECASE)
GATHERED = Advice(
    "asyncio.gather over steps: the engine hears of one, and the bodies of all run again; ctx.group.parallel",
    "parallel",
)
BLOCKS = Advice("time.sleep stops every run of this process: asyncio.sleep, or ctx.step.sleep between steps", "steps")
SHELL = Advice("a SandboxAgent without capabilities=[] has a shell, and the shell has your keys", "AGENTS.md")
IDENTITY = Advice(
    "the model fills in whose account it is, and an email can talk it into another's: take it from the run's context",
    "AGENTS.md",
)
POOL_PER_CALL = Advice("a pool is made for each call: make one, behind a lock or in the lifespan", "AGENTS.md")
HEARS_ALL = Advice(
    "inngest/function.failed tells of every function that fails: look at its function_id, or another's failure is "
    "written down as an email's",
    "retries",
)
# The engine's own rules, on which the course's done-whens rest.
BREAKS = (GATHERED, BLOCKS)


def look(world: World, *wanted: Advice) -> None:
    """Report where one of these faults stands: what breaks a Decision fails, and what the course leaves open does so
    with `beyond` alone.
    """
    for where, advice in faults(Path()):
        if advice not in wanted:
            continue
        if advice in BREAKS:
            world.report.check("the source", where, False, advice)
        else:
            world.better("the source", where, advice)


def files(folder: Path) -> list[Path]:
    """The Python files of a build, without what lies beside it: tests, gates, virtual environments."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in OTHERS and not name.startswith(".")]
        found += [Path(where, name) for name in names if name.endswith(".py")]
    return sorted(found)


def faults(folder: Path) -> list[tuple[str, Advice]]:
    """The faults in the Python files of a folder, each with its file and line."""
    found = []
    for path in files(folder):
        try:
            in_file = _faults(path.read_text())
        except (SyntaxError, UnicodeDecodeError):
            continue
        found += [(f"{path.relative_to(folder)}:{line}", advice) for line, advice in sorted(in_file, key=_line)]
    return found


def _line(fault: tuple[int, Advice]) -> int:
    return fault[0]


# Several gates read the same files, and reading all files of a build takes a second of processor time.
@functools.cache
def _faults(text: str) -> set[tuple[int, Advice]]:
    tree = ast.parse(text)
    found = set(_failure_listeners(tree))
    in_steps = set(IN_A_STEP.findall(ast.unparse(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= set(_shells(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= set(_tools(node)) | set(_gathered(node)) | set(_pools(node))
            # The SDK calls a plain function of a step in the event loop as well.
            if isinstance(node, ast.AsyncFunctionDef) or node.name in in_steps:
                found |= {(call.lineno, BLOCKS) for call in _calls(node) if ast.unparse(call.func) == "time.sleep"}
    return found


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _failure_listeners(tree: ast.Module) -> Iterator[tuple[int, Advice]]:
    if "function_id" in ast.unparse(tree):
        return
    for node in ast.walk(tree):
        is_trigger = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("TriggerEvent")
        if isinstance(node, ast.Call) and is_trigger and "inngest/function.failed" in ast.unparse(node):
            yield node.lineno, HEARS_ALL


def _shells(call: ast.Call) -> Iterator[tuple[int, Advice]]:
    name, given = ast.unparse(call.func), {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    default_shell = name.endswith("SandboxAgent") and SHELLS.search(given.get("capabilities", "default"))
    if default_shell or name.endswith("ShellTool"):
        yield call.lineno, SHELL


def _tools(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, Advice]]:
    arguments = {argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]}
    if any("function_tool" in ast.unparse(decorator) for decorator in function.decorator_list) and arguments & WHO:
        yield function.lineno, IDENTITY


def _gathered(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, Advice]]:
    """Steps that asyncio runs side by side: named in its call, or by a list or a function that holds them."""
    side_by_side = [call for call in _calls(function) if SIDE_BY_SIDE.search(ast.unparse(call.func))]
    if not side_by_side:
        return
    holders = set()
    for node in ast.walk(function):
        if not A_STEP.search(ast.unparse(node)) or isinstance(node, ast.Await):
            continue
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Await):
            holders |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".append"):
            holders.add(ast.unparse(node.func).removesuffix(".append"))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node is not function:
            holders.add(node.name)
    for call in side_by_side:
        given = ast.unparse(ast.Tuple([*call.args], ast.Load()))
        names = {node.id for argument in call.args for node in ast.walk(argument) if isinstance(node, ast.Name)}
        if A_STEP.search(given) or names & holders:
            yield call.lineno, GATHERED


def _pools(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, Advice]]:
    """A pool that is used in the function that makes it, and is not handed on by a `yield`."""
    if function.name in {"main", "lifespan"} or any(isinstance(node, ast.Yield) for node in ast.walk(function)):
        return
    for node in ast.walk(function):
        if isinstance(node, ast.AsyncWith) and any("create_pool(" in ast.unparse(item) for item in node.items):
            yield node.lineno, POOL_PER_CALL
        if isinstance(node, ast.Assign) and "create_pool(" in ast.unparse(node.value):
            name = ast.unparse(node.targets[0])
            if any(ast.unparse(call.func) == f"{name}.close" for call in _calls(function)):
                yield node.lineno, POOL_PER_CALL
