"""The reference shelf: fifteen concepts of durable agents, and a few patterns beside them, each a file that runs.

`uvicorn concepts:app --port 8001 --timeout-keep-alive 300` serves them all; README.md says which event to send.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

import fastapi
import inngest
import inngest.fast_api


@cache
def _collected() -> dict[str, Any]:
    from concepts.shelf import client  # noqa: PLC0415 (the package must be there before its files)

    values = [
        value
        for module in pkgutil.iter_modules(__path__)
        for value in vars(import_module(f"concepts.{module.name}")).values()
    ]
    # One file may import another's function, and one of another app is not served here: it has its own connection.
    functions = {
        value.id: value
        for value in values
        if isinstance(value, inngest.Function) and value.id == f"{client.app_id}-{value.local_id}"
    }
    app = fastapi.FastAPI(title="concepts", docs_url=None, redoc_url=None)
    inngest.fast_api.serve(app, client, list(functions.values()))
    for value in values:
        if isinstance(value, fastapi.APIRouter):
            app.include_router(value)
    return {"app": app, "functions": list(functions.values())}


def __getattr__(name: str) -> Any:
    """Collect `app` and `functions` when they are asked for: `python -m concepts.connect` runs its own file alone."""
    if name not in {"app", "functions"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _collected()[name]
