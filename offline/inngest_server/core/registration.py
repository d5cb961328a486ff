"""Reads what an SDK registers into functions as `state.py` holds them.

A registration comes as `POST /fn/register`, as the answer to the server's PUT, or from a worker that dials in. The
names and the duration strings ("1h", "90s", "1w2d") are those of the Python SDK's `FunctionConfig`.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cronsim import CronSimError

from . import cron
from .expressions import InvalidExpressionError, compile_expression
from .state import Cancel, Concurrency, FlowSettings, Function, Json, Trigger

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")


class InvalidRegistrationError(ValueError):
    """The registration cannot be served; the message names the function and what is wrong with it."""


def seconds(text: Json) -> float | None:
    """The seconds in a duration string; None for None. Raises `ValueError` when it is not one."""
    if text is None or text == "":
        return None
    if not isinstance(text, str) or _DURATION.sub("", text) != "":
        raise ValueError(f"not a duration: {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def parse_functions(app_id: str, configs: list[Json]) -> list[Function]:
    """The functions of a registration. Raises `InvalidRegistrationError`."""
    functions = []
    for config in configs:
        if not isinstance(config, dict) or not isinstance(config.get("id"), str):
            raise InvalidRegistrationError("every function needs an id")
        try:
            functions.append(_function(app_id, config))
        except (InvalidExpressionError, CronSimError, ValueError, KeyError, TypeError) as error:
            raise InvalidRegistrationError(f"function {config['id']}: {error}") from error
    return functions


def _function(app_id: str, config: dict[str, Any]) -> Function:
    step = next(iter(config["steps"].values()))
    url = urlsplit(step["runtime"]["url"])
    if url.scheme not in ("http", "https", "wss"):
        raise ValueError(f"not an address that a function can be served at: {step['runtime']['url']}")
    flow = _flow(config)
    for text in _expressions(config):
        compile_expression(text)
    return Function(
        id=config["id"],
        name=config.get("name") or config["id"],
        app_id=app_id,
        url=urlunsplit((url.scheme, url.netloc, url.path, "", "")),
        triggers=[_trigger(t) for t in config.get("triggers") or []],
        flow=flow,
        config=config,
        retries=(step.get("retries") or {}).get("attempts"),
    )


def _trigger(raw: dict[str, Any]) -> Trigger:
    if raw.get("cron"):
        cron.check(raw["cron"])
        return Trigger(cron=raw["cron"], jitter=seconds(raw.get("jitter")) or 0.0)
    return Trigger(event=raw["event"], expression=raw.get("expression"))


def _flow(config: dict[str, Any]) -> FlowSettings:
    timeouts = config.get("timeouts") or {}
    concurrency = config.get("concurrency") or []
    if isinstance(concurrency, int):
        concurrency = [{"limit": concurrency}]
    return FlowSettings(
        concurrency=[
            Concurrency(limit=c["limit"], key=c.get("key"), scope=c.get("scope") or "fn") for c in concurrency
        ],
        cancel=[
            Cancel(event=c["event"], expression=c.get("if"), timeout=seconds(c.get("timeout")))
            for c in config.get("cancel") or []
        ],
        batch=_section(config.get("batchEvents"), "maxSize", "timeout", "key", "if"),
        debounce=_section(config.get("debounce"), "period", "timeout", "key"),
        rate_limit=_section(config.get("rateLimit"), "limit", "period", "key"),
        throttle=_section(config.get("throttle"), "limit", "period", "burst", "key"),
        singleton=_section(config.get("singleton"), "mode", "key"),
        priority=(config.get("priority") or {}).get("run"),
        idempotency=config.get("idempotency"),
        timeout_start=seconds(timeouts.get("start")),
        timeout_finish=seconds(timeouts.get("finish")),
    )


def _section(raw: dict[str, Any] | None, *names: str) -> dict[str, Any] | None:
    """These fields of one section, with durations in seconds; None for an absent or empty section."""
    if not raw:
        return None
    return {name: seconds(raw.get(name)) if name in ("period", "timeout") else raw.get(name) for name in names}


def _expressions(config: dict[str, Any]) -> list[str]:
    """Every expression in a function's configuration."""
    found = [t.get("expression") for t in config.get("triggers") or []]
    found += [c.get("if") for c in config.get("cancel") or []]
    concurrency = config.get("concurrency") or []
    found += [c.get("key") for c in concurrency if isinstance(c, dict)]
    for name in ("batchEvents", "debounce", "rateLimit", "throttle", "singleton"):
        section = config.get(name) or {}
        found += [section.get("key"), section.get("if")]
    found += [(config.get("priority") or {}).get("run"), config.get("idempotency")]
    return [text for text in found if text]
