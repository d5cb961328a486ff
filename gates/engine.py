"""What the gates ask of an engine. Events go in over HTTP; the rest is asked of its MCP server, as learners do."""

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from gates.spans import Step, steps_of

# The MCP server does not show what a wait waits for.
WAITS = """query ($id: String!) { run(runID: $id) { trace { childrenSpans { stepInfo {
    ... on WaitForEventStepInfo { expression timeout } } } } } }"""
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}


class EngineError(RuntimeError):
    """The engine does not answer or refuses; the message says what it was asked."""


@dataclass(frozen=True)
class Function:
    """A function as its app registered it. `triggers` are names of events, or crons; there may be none."""

    app: str
    id: str
    triggers: list[str]
    configuration: dict[str, Any]

    @property
    def slug(self) -> str:
        """The name by which the engine's HTTP API knows it."""
        return f"{self.app}-{self.id}"


@dataclass(frozen=True)
class Run:
    """One run of one function."""

    id: str
    function: str
    status: str
    output: Any

    @property
    def over(self) -> bool:
        """Whether the run has ended and can never change again."""
        return self.status in ENDED


class Engine:
    """The engine at `url`, to be used with `async with`. Everything here raises EngineError when it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.skips_time = False
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)
        self._open = AsyncExitStack()
        self._mcp: Client

    async def __aenter__(self) -> Self:
        try:
            clock = await self._http.get(f"{self.url}/offline/clock")
            # The official server answers every address it does not know with the page of its dashboard.
            self.skips_time = clock.is_success and "json" in clock.headers.get("content-type", "")
            # A proxy that the environment names has no way to a server on this machine, hence trust_env=False.
            direct = await self._open.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=120))
            transport = streamable_http_client(f"{self.url}/mcp", http_client=direct)
            self._mcp = await self._open.enter_async_context(Client(transport))
        except Exception as error:
            await self._open.aclose()
            await self._http.aclose()
            raise EngineError(
                f"No Inngest dev server answers at {self.url} ({type(error).__name__}). Start one, or name it: --engine"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
        await self._http.aclose()

    async def ask(self, tool: str, /, **arguments: Any) -> Any:
        """The answer of a tool of the MCP server, parsed from JSON."""
        result = await self._mcp.call_tool(tool, arguments)
        said = "".join(part.text for part in result.content if isinstance(part, TextContent))
        if result.is_error:
            raise EngineError(f"{tool} {json.dumps(arguments)}: {said}")
        return result.structured_content if result.structured_content is not None else json.loads(said)

    async def send(self, name: str, data: dict[str, Any], event_id: str) -> str:
        """Send one event under an id of ours. Returns the engine's own id of it, by which the engine lists the runs."""
        answer = await self._post("/e/gates", {"name": name, "data": data, "id": event_id})
        return str(answer["ids"][0])

    async def invoke(self, function: Function, data: dict[str, Any]) -> str:
        """Start a function by hand, whatever its triggers. Returns the engine's id of the event that stands for this.

        Not by MCP: there the official dev server sometimes answers 409 although it has started the run.
        """
        return str((await self._post(f"/invoke/{function.slug}", {"data": data}))["id"])

    async def functions(self) -> list[Function]:
        """All functions of all apps."""
        found: list[Function] = []
        for app in await self._pages("get_apps"):
            for function in await self._pages("list_functions", appId=app["id"]):
                triggers = [str(trigger["value"]) for trigger in function.get("triggers") or []]
                found.append(Function(app["id"], function["id"], triggers, function["configuration"]))
        return found

    async def app_urls(self) -> dict[str, str]:
        """The addresses at which the engine calls the apps that it knows, by the apps' ids."""
        apps = await self._pages("get_apps")
        return {app["id"]: app["latestSync"]["url"] for app in apps if (app.get("latestSync") or {}).get("url")}

    async def call_as_at_first(self, function: Function, run_id: str, event: dict[str, Any]) -> None:
        """Call a function of a dev app as the engine does at the beginning of a run: its first step is done.

        The request is the SDK's (https://github.com/inngest/inngest/blob/main/docs/SDK_SPEC.md).
        """
        url = (await self.app_urls())[function.app]
        stack: dict[str, Any] = {"stack": [], "current": 0}
        context = {"run_id": run_id, "attempt": 0, "disable_immediate_execution": False, "stack": stack}
        body = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False}
        answer = await self._http.post(url, params={"fnId": function.slug, "stepId": "step"}, json=body)
        if not answer.is_success:
            raise EngineError(f"the app does not take a call like the engine's ({answer.status_code})")

    async def runs_of(self, event: str) -> list[Run]:
        """The runs that an event started; `event` is the engine's id of it."""
        return [_run(item) for item in await self._pages("get_event_runs", eventId=event, includeOutput=True)]

    async def all_runs(self, function: Function) -> list[Run]:
        """All runs of a function, the newest first."""
        runs = await self._pages("list_function_runs", appId=function.app, functionId=function.id, limit=100)
        return [_run(item) for item in runs]

    async def rerun(self, run_id: str) -> None:
        """Start the run's function again with the same event, as a new run."""
        await self.ask("rerun", runId=run_id)

    async def steps(self, run_id: str) -> list[Step]:
        """The steps of a run that have begun, with their attempts and what they returned."""
        answer = await self.ask("get_run_trace", runId=run_id, includeOutput=True)
        return steps_of(answer["data"]["rootSpan"].get("children") or [])

    async def waits(self, run_id: str) -> list[dict[str, str]]:
        """The waits of a run, each with its `expression` and its `timeout`, a time, as the dashboard sees them."""
        try:
            answer = await self._post("/v0/gql", {"query": WAITS, "variables": {"id": run_id}})
        except EngineError:
            return []  # That API is not promised to anybody.
        run = (answer.get("data") or {}).get("run") or {}
        spans = (run.get("trace") or {}).get("childrenSpans") or []
        return [span["stepInfo"] for span in spans if "expression" in (span.get("stepInfo") or {})]

    async def cancel(self, run_id: str) -> None:
        """Cancel a run, so that it waits for no event of a later check."""
        await self.ask("cancel_run", runId=run_id)

    async def events(self, name: str) -> list[dict[str, Any]]:
        """The newest 100 events of this name, whoever sent them, each with `id`, `internal_id` and `data`."""
        answer = await self._http.get(f"{self.url}/v1/events", params={"name": name, "limit": 100})
        return list(answer.json()["data"])

    async def advance(self, by: timedelta) -> None:
        """Move a stand-in's clock. On return everything that was due meanwhile has happened."""
        answer = await self._http.post(f"{self.url}/offline/advance", json={"seconds": by.total_seconds()}, timeout=150)
        answer.raise_for_status()

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self._http.post(f"{self.url}{path}", json=body)
        if not answer.is_success:
            raise EngineError(f"The engine does not take {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    async def _pages(self, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.ask(tool, **arguments, **cursor)
            # The official server is written in Go, which leaves empty lists out of its JSON.
            found += answer.get("data") or []
            page = answer.get("page") or {}
            if not page.get("hasMore") or not page.get("cursor"):
                return found
            cursor = {"cursor": page["cursor"]}


def _run(item: dict[str, Any]) -> Run:
    return Run(item["id"], item["function"]["id"], item["status"], item.get("output"))
