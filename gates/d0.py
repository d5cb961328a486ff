"""D0: the system of record is there, and the worker knows nothing of an engine."""

import ast
from pathlib import Path

from gates import contract
from gates.report import Advice
from gates.world import World

AUDIT_TABLE = "migrations/0001_customers_and_audit_log.sql"
TITLE = "A plain worker over its system of record"


async def check(world: World) -> None:
    """The tables, the customers, the closed set of actions, the first law."""
    customers = await world.rows.customers()
    world.report.check(
        "the five customers of the course", ", ".join(f"{name} {tier}" for name, tier in sorted(customers.items())[:5]),
        contract.CUSTOMERS.items() <= customers.items(),
        Advice("`python db.py` was not run, or the seed is not the course's", "AGENTS.md"),
    )  # fmt: skip
    world.report.check(
        "the audit trail takes only the actions of the course", "asked to write 'refund_maybe'",
        await world.rows.refuses("refund_maybe"),
        Advice("no check on audit_log.action: a misspelt action is written and never found", AUDIT_TABLE),
    )  # fmt: skip
    known = [action for action in sorted(contract.ACTIONS) if not await world.rows.refuses(action)]
    world.report.check(
        "and takes all of those", f"{len(known)} of {len(contract.ACTIONS)}", len(known) == len(contract.ACTIONS),
        Advice("the check on audit_log.action misses some", AUDIT_TABLE),
    )  # fmt: skip
    for name in ("worker.py", "db.py"):
        if (wrong := imported(Path(name))) is None:
            world.report.cannot(f"{name} does not import inngest", "there is no such file in this folder")
            continue
        wrong &= {"inngest", "inngest_app"}
        world.report.check(
            f"{name} does not import inngest", ", ".join(sorted(wrong)) or "it does not", not wrong,
            Advice("the agent must not know what wakes it: move that into inngest_app.py", "AGENTS.md"),
        )  # fmt: skip


def imported(path: Path) -> set[str] | None:
    """The packages that a file imports; None if it is not there."""
    if not path.exists():
        return None
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}
