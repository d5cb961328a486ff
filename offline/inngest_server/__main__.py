"""The stand-in as a command: `python -m offline.inngest_server -u http://127.0.0.1:8000/api/inngest`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from .core.state import OFFICIAL_COMMAND
from .server import DevServer

DEFAULT_PORT = 8288


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.inngest_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free port")
    parser.add_argument("-u", "--sdk-url", action="append", default=[], help="an app to sync; may be repeated")
    parser.add_argument("--no-discovery", action="store_true", help="do not look for apps on the usual ports")
    parser.add_argument("--no-poll", action="store_true", help="do not ask synced apps for changes")
    parser.add_argument("--poll-interval", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("-v", "--verbose", action="store_true", help="log every run's end and every retry")
    return parser.parse_args()


async def _serve(args: argparse.Namespace) -> int:
    server = DevServer(
        host=args.host,
        port=args.port,
        sdk_urls=args.sdk_url,
        discovery=not args.no_discovery,
        poll=not args.no_poll,
        poll_interval=args.poll_interval,
    )
    try:
        await server.start()
    except OSError as error:
        sys.stderr.write(f"cannot listen on {args.host}:{args.port}: {error.strerror or error}\n")
        return 1
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        # Windows does not have loop.add_signal_handler.
        signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    sys.stdout.write(
        "A stand-in for the Inngest dev server, for tests and demos. It is not the official server\n"
        f"({OFFICIAL_COMMAND}). All state is in memory and ends with this process.\n"
        f"listening {server.origin}\n"
    )
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    return 0


def main() -> None:
    """Serve until SIGINT or SIGTERM; exit 1 when the port is taken."""
    args = _arguments()
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(asctime)s %(levelname).1s %(message)s",
        stream=sys.stderr,
    )
    sys.exit(asyncio.run(_serve(args)))


if __name__ == "__main__":
    main()
