"""The functions that `inngest_app.py` and `deploy/connect.py` call. A part that no setting asks for is not imported."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import fastapi

import settings
from telemetry import logs, rows, usage
from telemetry.middleware import Observer, observing


def middleware() -> list[Any]:
    """The client's middleware. From now on calls to the model are counted, and in production the log is JSON."""
    usage.install()
    if not settings.dev_mode():
        logs.install()
    observers: list[Observer] = []
    if metrics_are_on():
        from telemetry import metrics

        usage.listeners["metrics"] = metrics.count_call
        observers.append(metrics.Counted())
    if settings.otlp_endpoint() is not None:
        from telemetry import traces

        tracing = traces.install()
        usage.listeners["traces"] = tracing.count_call
        observers.append(tracing)
    return [observing(observers)]


def routes() -> fastapi.APIRouter:
    """`GET /metrics`, if a setting asks for it. When the server stops, the rows that have gathered are written."""
    router = fastapi.APIRouter(lifespan=rows_written_in_the_end)
    if metrics_are_on():
        from telemetry import metrics

        router.include_router(metrics.routes())
    return router


@asynccontextmanager
async def rows_written_in_the_end(_: object = None) -> AsyncIterator[None]:
    """Before a process ends in good order, its last rows are written."""
    yield
    await rows.here().written()


def metrics_meanwhile() -> AbstractAsyncContextManager[None]:
    """Serves METRICS_LISTEN, if it is set, in a process that has no app to do so."""
    if settings.metrics_address() is None:
        return nullcontext()
    from telemetry import metrics

    return metrics.listening()


def metrics_are_on() -> bool:
    """Whether anybody may read /metrics."""
    return settings.metrics_token() is not None or settings.metrics_address() is not None
