"""A time-skipping, in-memory stand-in for the Inngest dev server, for tests and demos without an account.

It speaks the official server's HTTP protocol to the same unmodified app, and owns the clock: a four-hour timeout
passes in milliseconds. It is verified against recordings of the official server (`npx inngest-cli@latest dev`) and does
not replace it.
"""

from .server import DevServer

__all__ = ["DevServer"]
