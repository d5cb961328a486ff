"""The tools of the MCP endpoint, as the official dev server lists them.

Names, titles, parameters and hints are those recorded from it; long descriptions are shorter here. The tools of its
older generation (`_old`) have no hints.
"""

from __future__ import annotations

from mcp_types import Tool, ToolAnnotations

from offline.inngest_server.api_v2.answers import MAX_EVENT_RUNS_PAGE, Object

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}
TEXTS = {"type": "array", "items": STRING}
TIME = {"type": "string", "format": "date-time"}


def _said(schema: Object, description: str) -> Object:
    return schema | {"description": description}


def _page_fields(things: str, most: int = 100) -> Object:
    return {
        "cursor": _said(STRING, "Pagination cursor from previous response"),
        "limit": _said(INTEGER, f"Number of {things} to return per page (min: 1, max: {most})"),
    }


def _old(name: str, title: str, description: str, required: list[str], /, **properties: Object) -> Tool:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name=name, title=title, description=description, input_schema=schema)


def _reads(name: str, title: str, description: str, required: list[str], /, **properties: Object) -> Tool:
    tool = _old(name, title, description, required, **properties)
    tool.annotations = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    return tool


def _writes(name: str, title: str, description: str, required: list[str], /, **properties: Object) -> Tool:
    tool = _old(name, title, description, required, **properties)
    tool.annotations = ToolAnnotations(destructive_hint=True, open_world_hint=False)
    return tool


def _id(name: str) -> Object:
    return {name: _said(STRING, name)}


_OUTPUT = {"includeOutput": _said(BOOLEAN, "includeOutput")}
_RUN_FILTERS: Object = {
    "from": _said(TIME, "Inclusive start of the run time range"),
    "until": _said(TIME, "Inclusive end of the run time range"),
    "timeField": _said(STRING, "Run time to filter and order by: queuedAt (default), startedAt or endedAt"),
    "status": _said(TEXTS, "Statuses to include: QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED"),
    "order": _said(STRING, "Sort direction. Accepts ASC or DESC."),
    "isDeferred": _said(BOOLEAN, "Whether to include only deferred or non-deferred runs"),
}
_OLD = "Deprecated compatibility tool of the dev server. "
_ANYTHING = {"description": "true"}

TOOLS: list[Tool] = [
    _writes("cancel_run", "Cancel function run", "Cancels an in-progress function run", ["runId"], **_id("runId")),
    _reads(
        "get_app",
        "Get app",
        "Fetches details for a single app, including sync metadata and function count",
        ["appId"],
        appId=_said(STRING, "The user-defined app ID"),
    ),
    _reads(
        "get_apps",
        "Get apps",
        "Lists active apps; with archived set to true, archived ones instead.",
        [],
        archived=_said(BOOLEAN, "Whether to return archived apps instead of active apps"),
        **_page_fields("apps"),
    ),
    _reads(
        "get_event_runs",
        "Get event runs",
        "Lists function runs triggered by a specific event",
        ["eventId"],
        **_id("eventId"),
        **_OUTPUT,
        **_page_fields("runs", MAX_EVENT_RUNS_PAGE),
    ),
    _reads(
        "get_function",
        "Get function",
        "Fetches function configuration and status details for a function within an app",
        ["appId", "functionId"],
        **_id("appId"),
        **_id("functionId"),
    ),
    _reads(
        "get_run",
        "Get function run",
        "Fetches the canonical run summary for a single function run",
        ["runId"],
        **_id("runId"),
        **_OUTPUT,
    ),
    _old(
        "get_run_status",
        "Get run status (deprecated)",
        _OLD + "Use get_run and get_run_trace instead. Parameters: runId (required, as send_event returned it)",
        ["runId"],
        runId=STRING,
    ),
    _reads(
        "get_run_trace",
        "Get function trace",
        "Fetches the trace tree for a single function run",
        ["runId"],
        **_id("runId"),
        **_OUTPUT,
    ),
    _old(
        "grep_docs",
        "Search documentation",
        "Search this project's pages. Parameters: pattern (required, a regular expression), limit (default 10)",
        ["pattern"],
        pattern=STRING,
        limit=INTEGER,
    ),
    _reads("health", "Health check", "Returns the health status of the API service", []),
    _writes(
        "invoke_function",
        "Invoke function",
        "Starts a function directly and answers the id of its run",
        ["functionId", "appId"],
        appId=_said(STRING, "The ID of the app containing the function"),
        data={
            "type": "object",
            "additionalProperties": True,
            "description": "JSON object containing the input data for the function",
        },
        functionId=_said(STRING, "The ID of the function to invoke"),
        idempotencyKey=_said(STRING, "Optional: a second call with the same key starts no second run"),
    ),
    _old(
        "invoke_function_sync",
        "Invoke function synchronously (deprecated)",
        _OLD + "Use invoke_function instead. Starts a function, waits for its end and returns its output. "
        "Parameters: functionId (required: slug, ID or name), data (optional: a JSON object, anything else is "
        'wrapped in {"value": data}), user (optional), timeout (optional, seconds, default 30)',
        ["functionId"],
        functionId=STRING,
        data=_ANYTHING,
        user=_ANYTHING,
        timeout=INTEGER,
    ),
    Tool(
        name="list_docs",
        title="List documentation",
        description="List the pages that this project has, by folder. No parameters required.",
        input_schema={"type": "object", "additionalProperties": False},
    ),
    _reads(
        "list_function_runs",
        "List runs for a function",
        "Lists runs for one function",
        ["appId", "functionId"],
        **_id("appId"),
        **_id("functionId"),
        **_OUTPUT,
        **_page_fields("runs"),
        **_RUN_FILTERS,
    ),
    _reads(
        "list_functions",
        "Get functions",
        "Lists function configuration and status details for an app",
        ["appId"],
        **_id("appId"),
        **_page_fields("functions"),
    ),
    _reads(
        "list_runs",
        "List runs",
        "Lists runs, optionally filtered by app and function IDs",
        [],
        appId=_said(TEXTS, "App IDs to include"),
        functionId=_said(TEXTS, "Function IDs to include"),
        **_OUTPUT,
        **_page_fields("runs"),
        **_RUN_FILTERS,
    ),
    _old(
        "poll_run_status",
        "Poll run status (deprecated)",
        _OLD + "Use get_run instead. Polls runs until they end or time is over. Parameters: runIds (required), "
        "timeout (optional, seconds, default 30), pollInterval (optional, milliseconds, default 1000)",
        ["runIds"],
        runIds={"type": ["null", "array"], "items": STRING},
        timeout=INTEGER,
        pollInterval=INTEGER,
    ),
    _old(
        "read_doc",
        "Read documentation",
        "Read one page. Parameters: path (required, as grep_docs names it)",
        ["path"],
        path=STRING,
    ),
    _writes(
        "rerun",
        "Rerun function run",
        "Creates a new run using the original run's triggering event data",
        ["runId"],
        fromStep={
            "type": "object",
            "additionalProperties": False,
            "description": "Step rerun options: the step's name and, optionally, a replacement input",
            "properties": {
                "input": {
                    "type": "object",
                    "additionalProperties": False,
                    "description": "Optional replacement step input as a JSON array",
                    "properties": {"values": {"type": "array", "items": {}, "description": "values"}},
                    "required": [],
                },
                "stepId": _said(STRING, "User-defined step name to rerun from"),
            },
            "required": [],
        },
        **_id("runId"),
    ),
    _old(
        "send_event",
        "Send event (deprecated)",
        _OLD + "Sends an event and returns its ID and the runs it started. Parameters: name (required, e.g. "
        "'test/hello.world'), data (optional: a JSON object, anything else is wrapped in {\"value\": data}), "
        "user (optional), eventIdSeed (optional: the same seed is the same event)",
        ["name"],
        name=STRING,
        data=_ANYTHING,
        user=_ANYTHING,
        eventIdSeed=STRING,
    ),
]
