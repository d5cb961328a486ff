"""D0: the system of record is there, and the worker knows nothing of an engine."""

import ast
from pathlib import Path

from gates import contract
from gates.report import Advice
from gates.world import World

TITLE = "A plain worker over its system of record"
AUDIT_TABLE = "migrations/0001_customers_and_audit_log.sql"
NOT_SEEDED = Advice("`python db.py` was not run, or the seed is not the course's", "AGENTS.md")
ACTION_MISSING = Advice("the check on audit_log.action misses some", AUDIT_TABLE)
ANY_ACTION = Advice("no check on audit_log.action: a misspelt action is written and never found", AUDIT_TABLE)
KNOWS_THE_ENGINE = Advice("the agent must not know what wakes it: move that into inngest_app.py", "AGENTS.md")


async def check(world: World) -> None:
    """Look at the customers, at the audit trail's actions and at what the worker imports."""
    customers = await world.rows.customers()
    world.report.check(
        "the five customers of the course",
        ", ".join(f"{name} {tier}" for name, tier in sorted(customers.items())[:5]),
        contract.CUSTOMERS.items() <= customers.items(),
        NOT_SEEDED,
    )
    await audit_actions(world)
    for name in ("worker.py", "db.py"):
        what, imports = f"{name} does not import inngest", imported(Path(name))
        if imports is None:
            world.report.cannot(what, "there is no such file in this folder")
            continue
        wrong = imports & {"inngest", "inngest_app"}
        world.report.check(what, ", ".join(sorted(wrong)) or "it does not", not wrong, KNOWS_THE_ENGINE)


async def audit_actions(world: World) -> None:
    """The audit trail takes the course's actions. Beyond the course its table itself keeps the set closed."""
    actions = list(contract.ACTIONS)
    if world.beyond:
        actions.append(contract.RUN_FAILED)
    taken = [action for action in actions if not await world.rows.refuses(action)]
    world.report.check(
        "the audit trail takes every action", f"{len(taken)} of {len(actions)}", taken == actions, ACTION_MISSING
    )
    if world.beyond:
        refused = await world.rows.refuses("refund_maybe")
        world.report.check("and its table takes no other", "asked to write 'refund_maybe'", refused, ANY_ACTION)


def imported(path: Path) -> set[str] | None:
    """The top-level packages that a Python file imports; None if there is no such file."""
    if not path.exists():
        return None
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}
