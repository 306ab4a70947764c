"""Wait until a port takes a connection: `wait_for.py HOST PORT [SECONDS]`, 120 seconds unless said; exit 1 after that.

The network policy of a new pod takes about half a second to open the way, and a Service's name may not resolve yet.
Nothing but the standard library: this runs before anything else and has to start at once.
"""

import socket
import sys
import time

BETWEEN = 0.5


def wait(host: str, port: int, seconds: float) -> str | None:
    """None as soon as `host` takes a connection on `port`, else the last refusal, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=2).close()
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{type(error).__name__}: {error}"
        time.sleep(BETWEEN)


if __name__ == "__main__":
    where, number = sys.argv[1], int(sys.argv[2])
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 120.0
    if refusal := wait(where, number, limit):
        sys.exit(
            f"wait_for: {where}:{number} took no connection for {limit:g} s ({refusal}); is it up, is the way open?"
        )
    print(f"{where}:{number} takes connections")
