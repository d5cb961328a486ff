"""The reference shelf: fifteen concepts of durable agents, and a few patterns beside them, each a file that runs.

`uvicorn concepts:app --port 8001 --timeout-keep-alive 300` serves them all; README.md says which event to send.
"""

import pkgutil
from importlib import import_module
from typing import Any

import fastapi
import inngest
import inngest.fast_api

from concepts.shelf import client

functions: list[inngest.Function[Any]] = [
    value
    for module in pkgutil.iter_modules(__path__)
    for value in vars(import_module(f"concepts.{module.name}")).values()
    if isinstance(value, inngest.Function)
]
app = fastapi.FastAPI(title="concepts", docs_url=None, redoc_url=None)
inngest.fast_api.serve(app, client, functions)
