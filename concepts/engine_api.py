"""Finds, reruns and cancels runs over the engine's public HTTP API, for `python -m concepts.recovery`.

The API is described at https://www.inngest.com/docs/reference/rest-api. Inngest Cloud, the dev server and the stand-in
understand the same requests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import httpx

from concepts.shelf import client


@dataclass(frozen=True)
class Run:
    """One run, as far as recovery needs to know it."""

    id: str
    function_id: str
    status: str
    queued_at: datetime
    event_id: str
    is_batch: bool
    is_cron: bool

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Read a run from the engine's answer, which leaves out fields that are empty."""
        trigger = raw.get("trigger", {})
        return cls(
            id=raw["id"],
            function_id=raw["function"]["id"],
            status=raw["status"],
            queued_at=datetime.fromisoformat(raw["queuedAt"]),
            event_id=(trigger.get("eventIds") or [raw["id"]])[0],
            is_batch=bool(trigger.get("isBatch")),
            is_cron=bool(trigger.get("cronSchedule")),
        )

    def __str__(self) -> str:
        return f"{self.id}  {self.function_id}  {self.status.lower()}  queued {self.queued_at:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Refusal:
    """What the engine answers when it does not do something: the HTTP status, and the reason as a sentence."""

    status: int
    message: str


class EngineApi:
    """The engine of the shelf's client. Every method raises SystemExit with a sentence when it cannot be reached."""

    def __init__(self) -> None:
        origin = client.api_origin.rstrip("/")
        self.url = f"{origin}/v2" if client.is_production else f"{origin}/api/v2"
        headers = {"X-Inngest-Env": client.env} if client.env else {}
        if client.is_production:
            headers["Authorization"] = f"Bearer {client.signing_key}"
        self._http = httpx.Client(headers=headers, timeout=30)

    def runs(
        self, since: datetime, until: datetime | None, functions: list[str], statuses: Sequence[str] = ()
    ) -> list[Run]:
        """Return every run queued in the window, oldest first. Empty `functions` or `statuses` mean all of them."""
        query: dict[str, Any] = {"appId": client.app_id, "from": _rfc3339(since), "order": "ASC", "limit": 100}
        if until:
            query["until"] = _rfc3339(until)
        query |= {"functionId": functions, "status": list(statuses)}
        # On the dev server a page can begin with the last run of the page before (seen in November 2026).
        found = {raw["id"]: Run.of(raw) for raw in self._pages(query)}
        return sorted(found.values(), key=lambda run: run.id)

    def functions(self) -> set[str]:
        """Return the ids of the functions that are registered now, as the code has them, without the app's id."""
        return {raw["id"] for raw in self._pages({"limit": 100}, f"/apps/{client.app_id}/functions")}

    def rerun(self, run: Run) -> Refusal | None:
        """Queue a new run of the same function with the same event. Returns None, or why the engine refused."""
        return self._act(run, "rerun")

    def cancel(self, run: Run) -> Refusal | None:
        """End the run, after the step that is running. Returns None, or why the engine refused."""
        return self._act(run, "cancel")

    def _act(self, run: Run, action: str) -> Refusal | None:
        answer = self._ask("POST", f"/runs/{run.id}/{action}", json={})
        return Refusal(answer.status_code, _message(answer)) if answer.is_error else None

    def _pages(self, query: dict[str, Any], path: str = "/runs") -> Iterator[dict[str, Any]]:
        while True:
            answer = self._ask("GET", path, params=query)
            if answer.is_error:
                raise SystemExit(f"{self.url}{path}: {_message(answer)}")
            body = answer.json()
            yield from body.get("data", [])
            if not body.get("page", {}).get("hasMore"):
                return
            query = query | {"cursor": body["page"]["cursor"]}

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, f"{self.url}{path}", **options)
        except httpx.TransportError as error:
            raise SystemExit(f"No engine at {client.api_origin} ({type(error).__name__}).") from None


def _rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {answer.status_code}"
