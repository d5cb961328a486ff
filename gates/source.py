"""What a build's source shows and no run does: faults that cost money, leak keys or block the worker in silence."""

import ast
from collections.abc import Iterator
from pathlib import Path

from gates.report import Advice
from gates.world import World

# What lies in the folder and is not the learner's worker.
OTHERS = {"concepts", "gates", "migrations", "node_modules", "offline", "tests", "venv"}
WHO = {"customer_id", "customer", "customer_email", "user_id"}
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


def look(world: World, *wanted: Advice) -> None:
    """Report where one of these faults stands: as a failure with `beyond`, otherwise as a hint."""
    for where, advice in faults(Path()):
        if advice not in wanted:
            continue
        if world.build.beyond:
            world.report.check("the source", where, False, advice)
        else:
            world.report.hint("the source", where, advice)


def faults(folder: Path) -> list[tuple[str, Advice]]:
    """The faults in the Python files of a folder, each with its file and line."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if OTHERS & set(parts) or any(part.startswith(".") for part in parts):
            continue
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            found += [(f"{path.relative_to(folder)}:{line}", advice) for line, advice in _faults(node)]
    return found


def _faults(node: ast.AST) -> Iterator[tuple[int, Advice]]:
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name in {"gather", "asyncio.gather"} and ".step." in ast.unparse(node):
            yield node.lineno, GATHERED
        if name.endswith("SandboxAgent") and "capabilities" not in {keyword.arg for keyword in node.keywords}:
            yield node.lineno, SHELL
    if isinstance(node, ast.AsyncFunctionDef):
        yield from _in_function(node)


def _in_function(function: ast.AsyncFunctionDef) -> Iterator[tuple[int, Advice]]:
    arguments = {argument.arg for argument in function.args.args}
    if any("function_tool" in ast.unparse(decorator) for decorator in function.decorator_list) and arguments & WHO:
        yield function.lineno, IDENTITY
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep":
            yield node.lineno, BLOCKS
        if isinstance(node, ast.AsyncWith) and function.name not in {"main", "lifespan"}:
            opened = [ast.unparse(item.context_expr) for item in node.items]
            if any("create_pool(" in text for text in opened):
                yield node.lineno, POOL_PER_CALL
