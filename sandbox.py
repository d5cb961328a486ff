"""The sandbox of an agent that needs none: no shell, no files, nothing of the host.

`SandboxAgent` must be given a sandbox, and the SDK's default one is a folder and a shell on this machine, where a model
that an email has talked into it can read `DATABASE_URL` from /proc. This one refuses everything. It is also a live
session, not a client: the SDK then neither writes the sandbox into a saved run state nor obeys one that it finds there
(seen in openai-agents 0.24.0: a forged state made the Unix client delete a folder of the forger's choice on resume).
"""

import io
from pathlib import Path
from typing import NoReturn

from agents.sandbox import ExecResult, Manifest, User
from agents.sandbox.session import BaseSandboxSession, SandboxSessionState
from agents.sandbox.snapshot import NoopSnapshot


class EmptySandbox(BaseSandboxSession):
    """A sandbox session with nothing in it. Whatever is asked of it raises PermissionError."""

    def __init__(self) -> None:
        self.state = SandboxSessionState(type="empty", snapshot=NoopSnapshot(id="empty"), manifest=Manifest())

    async def running(self) -> bool:
        """Always true: there is nothing to start, fill, save or delete."""
        return True

    async def _refuse(self) -> NoReturn:
        raise PermissionError("This agent's sandbox is empty: it has no shell and no files.")

    async def _exec_internal(self, *command: str | Path, timeout: float | None = None) -> ExecResult:  # noqa: ASYNC109
        await self._refuse()

    async def read(self, path: Path, *, user: str | User | None = None) -> io.IOBase:
        """Refused."""
        await self._refuse()

    async def write(self, path: Path, data: io.IOBase, *, user: str | User | None = None) -> None:
        """Refused."""
        await self._refuse()

    async def persist_workspace(self) -> io.IOBase:
        """Refused."""
        await self._refuse()

    async def hydrate_workspace(self, data: io.IOBase) -> None:
        """Refused."""
        await self._refuse()
