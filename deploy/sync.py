"""`python -m deploy.sync`: tell the engine of the functions of the version that runs now, as after each deploy.

In production the app registers itself only when it is asked with a signature. The engine can make one, and so can this
program, which reads the same settings as the app (https://www.inngest.com/docs/apps/cloud).
"""

import hashlib
import hmac
import sys
import time

import httpx
from dotenv import load_dotenv

import settings

BODY = b"{}"
SECONDS = 30


def signature(body: bytes, signing_key: str, now: int) -> str:
    """What the engine puts into X-Inngest-Signature; `now` is in Unix seconds. `body` is JSON in its canonical form."""
    key = settings.SIGNING_KEY_PREFIX.sub("", signing_key).encode()
    return f"t={now}&s={hmac.new(key, body + str(now).encode(), hashlib.sha256).hexdigest()}"


def main() -> int:
    """Ask the app at INNGEST_SERVE_ORIGIN to register; 0 if the engine took its functions."""
    load_dotenv()
    origin, key = settings.serve_origin(), settings.signing_key()
    if origin is None or key is None:
        print("Nothing to do: beside a dev server and with Connect the app registers itself.")
        return 0
    headers = {"X-Inngest-Signature": signature(BODY, key, int(time.time())), "Content-Type": "application/json"}
    try:
        answer = httpx.put(f"{origin.rstrip('/')}/api/inngest", content=BODY, headers=headers, timeout=SECONDS)
    except httpx.HTTPError as error:
        print(f"The app at {origin} does not answer: {type(error).__name__}.", file=sys.stderr)
        return 1
    print(answer.text)
    # When the engine refuses, the app's answer is a 200 all the same (seen in inngest 0.5.19).
    return 0 if answer.is_success and answer.json().get("ok") else 1


if __name__ == "__main__":
    sys.exit(main())
