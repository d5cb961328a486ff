"""Faults that can be put into anybody's build, each as an edit of its source.

An edit finds its place by the syntax of the SDK, not by the names that a build has chosen. It returns None for a file
that has no such place.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Edit = Callable[[str], str | None]
AGENTS_STEP = re.compile(r"agent|assist|think|draft|model|llm|^answer|^reply", re.IGNORECASE)
LAST_ROW = re.compile(r"sent|(log|note|write|record|audit|save).*(out|answer|reply)", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """One fault: `gate` finds it, `symptom` is what somebody sees of it, `hint` says where to look.

    `needs` names what a build must have for the edit. `beyond` is whether only the gate's `--beyond` finds it.
    """

    name: str
    gate: str
    symptom: str
    hint: str
    needs: str
    edit: Edit
    beyond: bool = False


def calls(source: str, name: str) -> Iterator[ast.Call]:
    """The calls of a function or class whose dotted name ends with this one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and f".{ast.unparse(node.func)}".endswith(f".{name}"):
            yield node


def replaced(source: str, node: ast.expr | ast.keyword, text: str) -> str:
    """The source with another text in place of a node."""
    begin, end = _span(source, node)
    raw = source.encode()
    return (raw[:begin] + text.encode() + raw[end:]).decode()


def segment(source: str, node: ast.expr | ast.keyword) -> str:
    """The text of a node."""
    begin, end = _span(source, node)
    return source.encode()[begin:end].decode()


def _span(source: str, node: ast.expr | ast.keyword) -> tuple[int, int]:
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)


def keyword(call: ast.Call, name: str) -> ast.keyword | None:
    """The argument of this name; None if the call has none."""
    return next((given for given in call.keywords if given.arg == name), None)


def without(source: str, call: ast.Call, name: str) -> str | None:
    """The source without an argument of a call; None if the call has no such argument."""
    gone = keyword(call, name)
    if gone is None:
        return None
    begin, end = _span(source, gone)
    raw = source.encode()
    after = re.match(rb"\s*,[ \t]*", raw[end:])
    left = raw[:begin] + raw[end + after.end() :] if after else re.sub(rb",\s*$", b"", raw[:begin]) + raw[end:]
    # No empty line tells where the argument was.
    return re.sub(r"\n[ \t]+(?=\n)", "", left.decode())


def misspelt(source: str) -> str | None:
    """The email's event is listened for under a name that nobody sends."""
    for call in calls(source, "TriggerEvent"):
        if "customer/email.received" in segment(source, call):
            return replaced(source, call, segment(source, call).replace("received", "recieved"))
    return None


def drops(source: str) -> str | None:
    """A rate limit stands in place of the throttle."""
    for call in calls(source, "create_function"):
        throttle = keyword(call, "throttle")
        if throttle is None or not isinstance(throttle.value, ast.Call):
            continue
        shorter = without(source, throttle.value, "burst")
        if shorter is not None:
            return drops(shorter)
        limit = segment(source, throttle).replace("Throttle(", "RateLimit(", 1)
        return replaced(source, throttle, re.sub(r"^throttle", "rate_limit", limit))
    return None


def without_key(source: str) -> str | None:
    """Only one limit is left, and it is for all customers together."""
    for call in calls(source, "create_function"):
        limits = keyword(call, "concurrency")
        if limits is None or not isinstance(limits.value, ast.List):
            continue
        for limit in limits.value.elts:
            if isinstance(limit, ast.Call) and keyword(limit, "key") and len(limits.value.elts) > 1:
                others = [segment(source, other) for other in limits.value.elts if other is not limit]
                return replaced(source, limits.value, f"[{', '.join(others)}]")
    return None


def too_high(source: str) -> str | None:
    """Every limit is a hundred times what it was."""
    found = [keyword(call, "limit") for call in calls(source, "Concurrency")]
    places = [limit.value for limit in found if limit is not None]
    for place in sorted(places, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        source = replaced(source, place, f"100 * {segment(source, place)}")
    return source if places else None


def without_event_ids(source: str) -> str | None:
    """The health checks' events have no ids."""
    for call in calls(source, "Event"):
        if keyword(call, "id") and keyword(call, "data"):
            return without(source, call, "id")
    return None


def run_in_event_ids(source: str) -> str | None:
    """The health checks' events are named after the run, not after the tick."""
    changed = re.sub(r"\bctx\.event\.id\b(?=[^\n]*\bid=)|(?<=[\"{'-])ctx\.event\.id(?=})", "ctx.run_id", source)
    return changed if changed != source else None


def sent_between_steps(source: str) -> str | None:
    """The health checks' events are sent by the client, between the steps."""
    client = re.search(r"^(\s*)(\w+)(?:: [^=]+)? = (?:inngest\.)?Inngest\(", source, re.MULTILINE)
    for call in calls(source, "step.send_event"):
        if client is not None and len(call.args) > 1:
            return replaced(source, call, f"{client[2]}.send({segment(source, call.args[1])})")
    return None


def agent_outside(source: str) -> str | None:
    """The agent is run between the steps."""
    return _outside(source, AGENTS_STEP)


def row_outside(source: str) -> str | None:
    """The row that says an email was answered is written between the steps."""
    return _outside(source, LAST_ROW)


def _outside(source: str, step: re.Pattern[str]) -> str | None:
    for call in calls(source, "step.run"):
        name = call.args[0]
        if isinstance(name, ast.Constant) and step.search(str(name.value)) and len(call.args) > 1:
            handler, *given = [segment(source, argument) for argument in call.args[1:]]
            return replaced(source, call, f"{handler}({', '.join(given)})")
    return None


def blocks(source: str) -> str | None:
    """The agent's step sleeps, and everything else with it."""
    for call in calls(source, "step.run"):
        name = call.args[0]
        if not isinstance(name, ast.Constant) or not AGENTS_STEP.search(str(name.value)) or len(call.args) == 1:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.AsyncFunctionDef) and node.name == ast.unparse(call.args[1]):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lines, indent = source.splitlines(keepends=True), " " * first.col_offset
                lines.insert(first.lineno - 1, f"{indent}import time\n\n{indent}time.sleep(4)\n")
                return "".join(lines)
    return None


def once_a_month(source: str) -> str | None:
    """The cron fires on the first of each month."""
    changed = re.sub(r"(TriggerCron\(\s*(?:cron=)?[\"'](?:TZ=\S+ )?\d+ \d+) \* \* \*", r"\1 1 * *", source)
    return changed if changed != source else None


def unasked(source: str) -> str | None:
    """The refund tool needs nobody's approval."""
    changed = source.replace("needs_approval=True", "needs_approval=False")
    return changed if changed != source else None


def unmatched(source: str) -> str | None:
    """The wait takes every decision, whoever it is about."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and keyword(node, "if_exp"):
            return without(source, node, "if_exp")
    return None


def for_weeks(source: str) -> str | None:
    """The wait lasts four weeks."""
    changed = re.sub(r"timedelta\(hours=4\)", "timedelta(weeks=4)", source)
    changed = re.sub(r"\b4 \* (?:3600|60 \* 60)\b", "28 * 24 * 3600", changed)
    return changed if changed != source else None


def forgets_who(source: str) -> str | None:
    """The saved run is resumed without its context."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and keyword(node, "context_override"):
            shorter = without(source, node, "context_override") or source
            return forgets_strictly(shorter)
    return None


def forgets_strictly(source: str) -> str:
    """The SDK would complain of the lost context if it were told to be strict."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and f"{ast.unparse(node.func)}".endswith("RunState.from_json"):
            return without(source, node, "strict_context") or source
    return source


def tries_for_ever(source: str) -> str | None:
    """What can never succeed is tried again."""
    changed = re.sub(r"raise (?:inngest\.)?NonRetriableError\(", "raise RuntimeError(", source)
    return changed if changed != source else None


def nobody_hears(source: str) -> str | None:
    """The listener to failed runs hears of none."""
    for call in calls(source, "TriggerEvent"):
        if "inngest/function.failed" in segment(source, call):
            return replaced(source, call, segment(source, call).replace("function.failed", "function.fail"))
    return None


FAULTS = [
    Fault(
        "unasked",
        "d0",
        "A customer got money back, and nobody remembers having said yes.",
        "Run the worker by itself on an email that asks for a refund.",
        "a tool with needs_approval=True",
        unasked,
    ),
    Fault(
        "agent-outside",
        "d1",
        "The bill of the model has doubled, though there are no more emails than before.",
        "Open a run: which of its steps is the agent's?",
        "a step.run of the agent, whose name says so",
        agent_outside,
    ),
    Fault(
        "blocks",
        "d1",
        "While one email is read, the app answers nobody else.",
        "Not the dashboard but the code of the agent's step tells you.",
        "a step.run of an async function in the same file, whose name says that it is the agent's",
        blocks,
    ),
    Fault(
        "misspelt",
        "d2",
        "Emails arrive at the engine, and nobody answers them. There is no error anywhere.",
        "Compare the name of an event with what the functions listen to.",
        "a TriggerEvent on customer/email.received",
        misspelt,
    ),
    Fault(
        "row-outside",
        "d2",
        "The audit trail and the trace of a run do not tell the same story about the reply.",
        "Count the steps of a run, and the rows that it wrote.",
        "a step.run with sent, out, answer or reply in its name, after the agent's",
        row_outside,
    ),
    Fault(
        "tries-for-ever",
        "d2",
        "An email of somebody who is no customer keeps the worker busy for an hour.",
        "Send an email of a customer who does not exist, and look at its attempts.",
        "a NonRetriableError",
        tries_for_ever,
        beyond=True,
    ),
    Fault(
        "nobody-hears",
        "d2",
        "An email could not be answered, and nobody ever heard of it.",
        "Send an email of a customer who does not exist: which row tells of it?",
        "a function on inngest/function.failed",
        nobody_hears,
        beyond=True,
    ),
    Fault(
        "once-a-month",
        "d3",
        "No health check came this morning, and none yesterday.",
        "Read the trigger of the cron's function in the dashboard.",
        "a daily TriggerCron",
        once_a_month,
    ),
    Fault(
        "without-event-ids",
        "d3",
        "After a redeploy at nine in the morning some customers were checked twice.",
        "Look at the ids of the events that the cron sent.",
        "an Event with an id",
        without_event_ids,
    ),
    Fault(
        "run-in-event-ids",
        "d3",
        "The engine delivered a tick twice, and every customer was checked twice.",
        "Rerun the cron's run: which ids do the events of the second one have?",
        "an event's id made of ctx.event.id",
        run_in_event_ids,
    ),
    Fault(
        "sent-between-steps",
        "d3",
        "The health checks' events are in no step, and there are more of them than customers.",
        "Open the cron's run, and count its steps and the events.",
        "a ctx.step.send_event, and the client in the same file",
        sent_between_steps,
    ),
    Fault(
        "drops",
        "d4",
        "On Monday morning some emails were never answered. Each of them alone is.",
        "Send twenty emails at once, and count the runs.",
        "a Throttle",
        drops,
    ),
    Fault(
        "without-key",
        "d4",
        "One customer wrote a hundred emails, and all others waited for an hour.",
        "Look at what the function declares beside its trigger.",
        "a list of two Concurrency, one with a key",
        without_key,
    ),
    Fault(
        "too-high",
        "d4",
        "Since a burst of emails the model answers 429, and the database refuses connections.",
        "Look at what the function declares beside its trigger.",
        "a Concurrency with a limit",
        too_high,
    ),
    Fault(
        "unmatched",
        "d5",
        "A reviewer approved Ada's refund, and Grace's run went on.",
        "Let a refund wait, and send a decision about another customer.",
        "a wait with if_exp",
        unmatched,
    ),
    Fault(
        "for-weeks",
        "d5",
        "A refund that nobody answered still waits, three weeks later.",
        "Open a run that waits: until when?",
        "a wait of timedelta(hours=4), or of 4 * 3600 seconds",
        for_weeks,
    ),
    Fault(
        "forgets-who",
        "d5",
        "A refund was approved, the run completed, and no money moved.",
        "Approve a refund, and compare the reply with the rows.",
        "a resume with context_override",
        forgets_who,
    ),
]
