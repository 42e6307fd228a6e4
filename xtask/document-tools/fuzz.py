"""Sends generated requests to every operation of a Cairn of its own, as learner and as admin, with all checks of
schemathesis.

    fuzz.py --cairn target/debug/cairn [--minutes N] [--seed N]

Without minutes it sends the same requests each time, however fast the machine is, and no sequences of them.
"""

import argparse
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).parent
SCHEMATHESIS = pathlib.Path(sys.executable).with_name("schemathesis")

# Streams do not end by themselves; `api/tests/it` follows them.
STREAMS = ["streamMyEvents", "streamReply"]
# These end the session or the account that sends the requests.
ENDING = ["logout", "deleteMe", "revokeMySession", "revokeMyOtherSessions"]
# These can do so to the admin who sends the requests, so they come last.
LAST = ["suspendUser", "deleteUser", "updateUser", "updateUsers", "createPasswordReset"]

# The minutes that an access token is good for, with some to spare.
ROUND = 10

# The same requests each time.
FIXED = ["--generation-deterministic", "--max-examples", "8", "--phases", "examples,coverage,fuzzing"]

# Who sends requests, the share of the time, and which operations.
RUNS = [
    ("learner", 0.35, "exclude", STREAMS + ENDING),
    ("admin", 0.55, "exclude", STREAMS + ENDING + LAST),
    ("admin", 0.1, "include", LAST),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    data = FOLDER / "cairn"
    shutil.rmtree(data, ignore_errors=True)
    results = []
    with Cairn(options.cairn, data) as api:
        sessions = {who: Session(api, who) for who in ("learner", "admin")}
        rounds = max(1, math.ceil((options.minutes or 0) / ROUND))
        for number in range(rounds):
            for who, share, choice, operations in RUNS:
                arguments = FIXED
                if options.minutes:
                    seconds = max(5, int(options.minutes * 60 / rounds * share))
                    arguments = ["--seed", str(options.seed + number), "--max-time", str(seconds)]
                results.append(run(sessions[who], arguments, choice, operations))
    shutil.rmtree(data, ignore_errors=True)
    print(f"seed {options.seed}")
    return 1 if any(results) else 0


class Cairn:
    """The platform on free ports, with its own database."""

    def __init__(self, program, data):
        self.program, self.data, self.log = program, data, FOLDER / "cairn.log"

    def __enter__(self):
        settings = ("CAIRN_", "DATABASE_", "OTEL_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
        environment |= {"CAIRN_API_ADDR": "127.0.0.1:0", "CAIRN_OPS_ADDR": "127.0.0.1:0", "RUST_LOG": "warn"}
        # Two users send thousands of requests, which are to be answered instead of counted.
        for client in ("USER", "ADDRESS"):
            environment |= {f"CAIRN_RATE_LIMIT_{client}_{limit}": "1000000" for limit in ("PER_SECOND", "BURST")}
        with open(self.log, "w", encoding="utf-8") as log:
            command = [self.program, "--data-dir", str(self.data), "dev"]
            self.process = subprocess.Popen(command, env=environment, cwd=FOLDER, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            address = re.search(r"API +(http\S+)/v1\n", self.log.read_text(encoding="utf-8"))
            if address:
                return address[1]
            time.sleep(0.1)
        self.__exit__()
        sys.exit(f"Cairn does not start:\n{self.log.read_text(encoding='utf-8')}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Session:
    """Someone who is signed in. Signing in happens once, because generated attempts use up those that may fail."""

    def __init__(self, api, who):
        self.api, self.who = api, who
        self.tokens = self.post("login", {"email": f"{who}@demo.test", "password": "cairn-demo-2026"})

    def access_token(self):
        """A new access token. It is refused if requests have ended the session, and then most of them tested nothing."""
        self.tokens = self.post("refresh", {"refresh_token": self.tokens["refresh_token"]})
        return self.tokens["access_token"]

    def post(self, operation, body):
        address = f"{self.api}/v1/auth/{operation}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer = json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{operation} as {self.who} answers {error.code}. If a request ended the session, add its operation to ENDING.")
        return answer.get("tokens", answer)


def run(session, arguments, choice, operations):
    api, who = session.api, session.who
    arguments = [
        SCHEMATHESIS, "--config-file", "schemathesis.toml", "run", f"{api}/openapi.json", "--url", api,
        "--header", f"Authorization: Bearer {session.access_token()}", "--checks", "all", "--continue-on-failure",
        "--request-timeout", "20", "--suppress-health-check", "all", "--warnings", "off", *arguments,
    ]
    for operation in operations:
        arguments += [f"--{choice}-operation-id", operation]
    print(f"\n== as {who}, {'only' if choice == 'include' else 'without'} {', '.join(operations)}", flush=True)
    code = subprocess.run(arguments, cwd=FOLDER).returncode
    if operations is not LAST:
        session.access_token()
    return code


if __name__ == "__main__":
    sys.exit(main())
