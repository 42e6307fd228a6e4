#!/usr/bin/env python3
"""The layout of docs/RUNNING.md on this machine, without containers, and what an operator practises with it.

Starts Postgres with a streaming replica and an archive, PgBouncer, two APIs behind nginx and three workers, all on loopback
and below one temporary directory. While clients act, every process is restarted, one after another. Then come a restore from
`pg_dump`, a recovery to a point in time, and a failover to the replica under load. Prints figures, and ends with code 1 if
a request failed that a client's retry does not cure, if an accepted action was lost, or if `cairn verify` finds a difference.

Ends only what it has started, and everything of that. Needs Postgres, PgBouncer, nginx and openssl, and only Python's own library.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
PASSWORDS = {"postgres": "administrator", "cairn_owner": "owner-password", "cairn_app": "app-password"}
ADMIN_PASSWORD = "drill-admin-2026-x"
LEARNER_PASSWORD = "drill-learner-2026-x"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, seconds, ready):
    """Waits until `ready` answers something true, and returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ready()
        if found:
            return found
        time.sleep(0.02)
    raise SystemExit(f"drill: {what} took longer than {seconds} s")


class Machine:
    """Where everything is, under which account it runs, and what has been started."""

    def __init__(self, options):
        self.options = options
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-drill-"))
        self.account = {}
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.root, entry.pw_uid, entry.pw_gid)
        self.programs = pathlib.Path(options.programs).resolve()
        self.previous = pathlib.Path(options.previous).resolve() if options.previous else None
        self.postgres = pathlib.Path(options.postgres).resolve()
        self.environment = {"PATH": f"{self.postgres}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.root),
                            "LANG": "C.UTF-8", "PGPASSWORD": PASSWORDS["postgres"], "PGCONNECT_TIMEOUT": "5"}
        self.started = {}
        self.clusters = []

    def run(self, *arguments, seconds=120, check=True, environment=(), given=None):
        """Runs a program to its end and returns what it printed."""
        done = subprocess.run([str(a) for a in arguments], cwd=self.root, timeout=seconds, input=given, text=True,
                              env={**self.environment, **dict(environment)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              **self.account)
        if check and done.returncode != 0:
            raise SystemExit(f"drill: {arguments[0]} ended with {done.returncode}: {done.stdout.strip()}")
        return done.stdout.strip()

    def start(self, name, *arguments, environment=()):
        with open(self.root / f"{name}.log", "ab") as log:
            self.started[name] = subprocess.Popen([str(a) for a in arguments], cwd=self.root, stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, env={**self.environment, **dict(environment)},
                                                  **self.account)

    def stop(self, name, signal, seconds):
        """Stops a process and returns how long that took."""
        begun = time.monotonic()
        process = self.started.pop(name)
        process.send_signal(signal)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise SystemExit(f"drill: {name} did not stop within {seconds} s") from None
        return time.monotonic() - begun

    def write(self, name, text, mode=0o600):
        path = self.root / name
        path.write_text(text)
        path.chmod(mode)
        if self.account:
            os.chown(path, self.account["user"], self.account["group"])
        return path

    def end(self):
        for process in self.started.values():
            # nginx ends its own processes only if it is asked.
            process.terminate()
        for process in self.started.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for cluster in self.clusters:
            cluster.stop("immediate", check=False)
        if self.options.keep:
            print(f"kept: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)


class Cluster:
    """A Postgres cluster with its own directory and port."""

    def __init__(self, machine, name):
        self.machine, self.name, self.port = machine, name, free_port()
        self.data = machine.root / name
        machine.clusters.append(self)

    def create(self, archive):
        password = self.machine.write("password", PASSWORDS["postgres"])
        self.machine.run("initdb", "--pgdata", self.data, "--username", "postgres", "--pwfile", password, "--auth",
                         "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8")
        password.unlink()
        archive.mkdir()
        if self.machine.account:
            os.chown(archive, self.machine.account["user"], self.machine.account["group"])
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"""
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
wal_level = replica
archive_mode = on
archive_command = 'if test -f {archive}/%f; then cmp -s %p {archive}/%f; else cp %p {archive}/%f.tmp && sync {archive}/%f.tmp && mv {archive}/%f.tmp {archive}/%f; fi'
archive_timeout = 60
wal_retrieve_retry_interval = 500ms
""")

    def start(self, seconds=60):
        begun = time.monotonic()
        self.machine.run("pg_ctl", "--pgdata", self.data, "--log", self.machine.root / f"{self.name}.log", "--options",
                         f"-p {self.port}", "--wait", "--timeout", str(seconds), "start", seconds=seconds + 5)
        return time.monotonic() - begun

    def stop(self, mode, check=True):
        begun = time.monotonic()
        self.machine.run("pg_ctl", "--pgdata", self.data, "--wait", "--mode", mode, "stop", check=check)
        return time.monotonic() - begun

    def sql(self, text, database="cairn", seconds=120):
        return self.machine.run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1",
                                *self.where(database), "--command", text, seconds=seconds)

    def where(self, database="cairn"):
        return ["--host", "127.0.0.1", "--port", str(self.port), "--username", "postgres", "--dbname", database]

    def url(self, role, port=None, database="cairn"):
        return f"postgres://{role}:{PASSWORDS[role]}@127.0.0.1:{port or self.port}/{database}"

    def copy_of(self, primary, *arguments):
        """Fills the directory with a base backup."""
        begun = time.monotonic()
        self.machine.run("pg_basebackup", "--pgdata", self.data, "--checkpoint", "fast", "--wal-method", "stream", *arguments,
                         "--dbname", f"{primary.url('postgres', database='postgres')}?application_name={self.name}")
        return time.monotonic() - begun


class Bouncer:
    """PgBouncer, the one address of the database: one name for requests, and one for what needs a session."""

    def __init__(self, machine):
        self.machine, self.port = machine, free_port()
        self.version = machine.run(machine.options.pgbouncer, "--version").split()[1]
        number = tuple(int(part) for part in self.version.split(".")[:2])
        # Older ones lose prepared statements in transaction mode, so they are used in session mode.
        self.mode = "transaction" if number >= (1, 21) else "session"
        self.stop_signal = subprocess.signal.SIGQUIT if number >= (1, 23) else subprocess.signal.SIGTERM

    def configure(self, database):
        text = (HERE / "pgbouncer" / "pgbouncer.ini").read_text()
        text = text.replace("cairn = host=127.0.0.1 port=5432 dbname=cairn",
                            f"cairn = host=127.0.0.1 port={database.port} dbname=cairn\n"
                            f"cairn_session = host=127.0.0.1 port={database.port} dbname=cairn pool_mode=session pool_size=60")
        text = text.replace("listen_port = 6432", f"listen_port = {self.port}\nunix_socket_dir =")
        text = text.replace("/etc/pgbouncer/userlist.txt", str(self.machine.root / "users.txt"))
        if self.mode == "session":
            text = text.replace("pool_mode = transaction", "pool_mode = session")
            text = text.replace("default_pool_size = 20", "default_pool_size = 60")
            text = re.sub("^max_prepared_statements.*$", "", text, flags=re.MULTILINE)
        self.machine.write("pgbouncer.ini", text)

    def start(self):
        self.machine.write("users.txt", f'"cairn_app" "{PASSWORDS["cairn_app"]}"\n')
        self.machine.start("pgbouncer", self.machine.options.pgbouncer, self.machine.root / "pgbouncer.ini")
        wait_for("PgBouncer", 10, lambda: is_open(self.port))

    def url(self, database="cairn"):
        return f"postgres://cairn_app:{PASSWORDS['cairn_app']}@127.0.0.1:{self.port}/{database}"


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def is_ready(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    return False


class Services:
    """The processes of Cairn, and nginx in front of them."""

    def __init__(self, machine, bouncer):
        self.machine, self.bouncer = machine, bouncer
        self.apis = {f"api-{n}": (free_port(), free_port()) for n in (1, 2)}
        self.workers = {f"worker-{n}": free_port() for n in (1, 2, 3)}
        self.http, self.https = free_port(), free_port()
        secret = machine.run("openssl", "rand", "-base64", "48")
        self.common = {"CAIRN_JWT_SECRET": secret, "DATABASE_URL": bouncer.url(), "CAIRN_TRUSTED_PROXIES": "127.0.0.1",
                       "DATABASE_DIRECT_URL": bouncer.url("cairn_session")}

    def start(self, name):
        begun = time.monotonic()
        if name in self.apis:
            port, ops = self.apis[name]
            self.machine.start(name, self.machine.programs / "cairn-api", environment={
                **self.common, "CAIRN_API_ADDR": f"127.0.0.1:{port}", "CAIRN_OPS_ADDR": f"127.0.0.1:{ops}"})
        else:
            ops = self.workers[name]
            self.machine.start(name, self.machine.programs / "cairn-worker", environment={
                **self.common, "CAIRN_OPS_ADDR": f"127.0.0.1:{ops}"})
        wait_for(name, 30, lambda: is_ready(ops))
        return time.monotonic() - begun

    def start_nginx(self):
        root = self.machine.root
        if not (root / "nginx.conf").exists():
            self.machine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
                             "/CN=api.example.org", "-keyout", root / "privkey.pem", "-out", root / "fullchain.pem")
            text = (HERE / "nginx" / "cairn.conf").read_text()
            for old, name in (("127.0.0.1:8080", "api-1"), ("127.0.0.1:8081", "api-2")):
                text = text.replace(old, f"127.0.0.1:{self.apis[name][0]}")
            text = text.replace("listen 80;", f"listen 127.0.0.1:{self.http};").replace("/etc/ssl/cairn/", f"{root}/")
            text = text.replace("listen 443", f"listen 127.0.0.1:{self.https}")
            places = "".join(f"{kind}_temp_path {root}/temp-{kind};\n"
                             for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            self.machine.write("nginx.conf", f"daemon off; pid {root}/nginx.pid; error_log {root}/errors.log;\n"
                               f"events {{}}\nhttp {{ access_log off; {places} {text} }}\n")
        self.machine.start("nginx", "nginx", "-e", root / "errors.log", "-c", root / "nginx.conf")
        wait_for("nginx", 10, lambda: is_open(self.https))

    def cairn(self, *arguments, environment=(), seconds=120, given=None):
        return self.machine.run(self.machine.programs / "cairn", *arguments, seconds=seconds, given=given,
                                environment={**self.common, **dict(environment)})


class Uncured(Exception):
    """A request that failed although it was repeated for a minute."""


class Client:
    """A learner who repeats requests as docs/SDK.md says."""

    LIMIT = 60

    def __init__(self, port, figures):
        self.port, self.figures, self.connection, self.token = port, figures, None, None
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=40, context=self.context)

    def once(self, method, path, body, key, headers=()):
        if self.connection is None:
            self.connection = self.connect()
        headers = {"Host": "api.example.org", "Accept": "application/json", **dict(headers)}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Retry-After")

    def ask(self, method, path, body=None, key=None, headers=()):
        """Sends a request until it is answered. 429, 502, 503, 504 and a lost connection are repeated."""
        begun, pause, attempts, reasons = time.monotonic(), 0.1, 0, []
        while True:
            attempts, wait = attempts + 1, pause
            try:
                status, text, after = self.once(method, path, body, key, headers)
                if status not in (429, 500, 502, 503, 504):
                    break
                reasons.append(str(status))
                if status == 500:
                    raise Uncured(f"{method} {path}: 500 {text[:300]!r}")
                wait = float(after) if after else pause
            except (OSError, http.client.HTTPException) as error:
                reasons.append(type(error).__name__)
                self.connection = None
            if time.monotonic() - begun > self.LIMIT:
                raise Uncured(f"{method} {path}: {reasons}")
            time.sleep(wait)
            pause = min(pause * 2, 2)
        self.figures.record(time.monotonic() - begun, reasons)
        return status, self.read(text) if text else None

    def read(self, text):
        return json.loads(text)


class Figures:
    """What the clients saw."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.repeated = self.reconnects = 0
        self.slowest, self.reasons, self.uncured, self.last_success = 0.0, {}, [], 0.0

    def record(self, seconds, reasons):
        with self.lock:
            self.requests += 1
            self.repeated += bool(reasons)
            self.slowest = max(self.slowest, seconds)
            self.last_success = time.monotonic()
            for reason in reasons:
                self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def line(self):
        reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(self.reasons.items())) or "none"
        return (f"{self.requests} requests, {self.repeated} repeated ({reasons}), {len(self.uncured)} not cured, "
                f"slowest {self.slowest:.1f} s, {self.reconnects} event streams opened again")


class Load:
    """Learners who read, complete lessons and create projects until they are told to stop."""

    def __init__(self, services, count):
        self.services, self.stopping, self.threads = services, threading.Event(), []
        self.figures, self.facts = Figures(), {}
        self.count = count

    def client(self, figures):
        """Who sends the requests of a learner."""
        return Client(self.services.https, figures)

    def prepare(self, invite):
        self.learners = []
        for number in range(self.count):
            client = self.client(Figures())
            email = f"learner{number}@example.org"
            status, signed_in = client.ask("POST", "/v1/auth/register", {
                "email": email, "password": LEARNER_PASSWORD, "first_name": "Learner", "invite_code": invite})
            assert status == 201, status
            client.token = signed_in["tokens"]["access_token"]
            self.learners.append(client)
        _, roadmaps = self.learners[0].ask("GET", "/v1/roadmaps")
        self.roadmap = roadmaps["items"][0]["id"]
        _, roadmap = self.learners[0].ask("GET", f"/v1/roadmaps/{self.roadmap}")
        lessons = [lesson["id"] for lesson in roadmap["stages"][0]["lessons"]]
        # Lessons that are completed by their tasks are left alone.
        self.lessons = [lesson for lesson in lessons
                        if self.learners[0].ask("PUT", f"/v1/lessons/{lesson}/completion")[0] == 200]
        assert self.lessons, "no lesson of the first stage can be completed"

    def begin(self):
        self.stopping.clear()
        self.figures = Figures()
        self.threads = [threading.Thread(target=self.act, args=(number,)) for number in range(self.count)]
        self.threads.append(threading.Thread(target=self.listen))
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
        return self.figures

    def act(self, number):
        choose = random.Random(number)
        client = self.learners[number]
        client.figures = self.figures
        facts = self.facts.setdefault(number, {"lessons": {}, "projects": set()})
        while not self.stopping.is_set():
            try:
                dice, lesson = choose.random(), choose.choice(self.lessons)
                if dice < 0.4:
                    done = choose.random() < 0.6
                    status, _ = client.ask("PUT" if done else "DELETE", f"/v1/lessons/{lesson}/completion")
                    assert status == 200, status
                    facts["lessons"][lesson] = done
                elif dice < 0.45 and len(facts["projects"]) < 150:
                    status, made = client.ask("POST", "/v1/projects", {"title": "Drill", "is_draft": True}, key=str(uuid.uuid4()))
                    assert status == 201, status
                    facts["projects"].add(made["id"])
                else:
                    path = choose.choice([f"/v1/roadmaps/{self.roadmap}", "/v1/me", "/v1/me/activity", "/v1/me/projects"])
                    status, _ = client.ask("GET", path)
                    assert status == 200, status
            except (Uncured, AssertionError) as error:
                with self.figures.lock:
                    self.figures.uncured.append(str(error))
            self.stopping.wait(choose.uniform(0.02, 0.1))

    def listen(self):
        """Keeps a stream of events open, and opens it again where it ended."""
        client, last, opened = self.client(self.figures), None, 0
        while not self.stopping.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = client.connect()
                connection.timeout = 15
                headers = {"Host": "api.example.org", "Authorization": f"Bearer {self.learners[0].token}"}
                connection.request("GET", "/v1/me/events", headers={**headers, **({"Last-Event-ID": last} if last else {})})
                answer = connection.getresponse()
                if answer.status == 200:
                    opened += 1
                    self.figures.reconnects = opened - 1
                    while not self.stopping.is_set():
                        line = answer.readline()
                        if not line:
                            break
                        if line.startswith(b"id:"):
                            last = line[3:].strip().decode()
            self.stopping.wait(0.3)

    def lost(self):
        """What was accepted and is not there."""
        missing = []
        for number, facts in self.facts.items():
            client = self.learners[number]
            _, roadmap = client.ask("GET", f"/v1/roadmaps/{self.roadmap}")
            states = {lesson["id"]: lesson["status"] == "completed" for lesson in roadmap["stages"][0]["lessons"]}
            missing += [f"learner {number}, lesson {lesson}" for lesson, done in facts["lessons"].items() if states[lesson] != done]
            projects, cursor = set(), ""
            while cursor is not None:
                _, page = client.ask("GET", f"/v1/me/projects?limit=100{cursor}")
                projects |= {project["id"] for project in page["items"]}
                cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
            missing += [f"learner {number}, project {project}" for project in facts["projects"] - projects]
            if projects - facts["projects"]:
                missing.append(f"learner {number} has {len(projects - facts['projects'])} projects twice")
        return missing


class Drill:
    """The steps, in their order."""

    def __init__(self, options):
        self.options, self.machine, self.faults = options, Machine(options), []
        self.primary, self.replica = Cluster(self.machine, "primary"), Cluster(self.machine, "replica")
        self.base = Cluster(self.machine, "recovered")
        self.archive = self.machine.root / "archive"
        self.bouncer = Bouncer(self.machine)
        self.services = Services(self.machine, self.bouncer)
        self.load = Load(self.services, options.learners)

    def say(self, what, figures):
        print(f"{what:<34} {figures}", flush=True)

    def run(self):
        begun = time.monotonic()
        self.set_up()
        self.say("set up", f"{time.monotonic() - begun:.1f} s; Postgres {self.version}, PgBouncer {self.bouncer.version} "
                           f"({self.bouncer.mode} mode)")
        self.restarts()
        self.restore()
        self.point_in_time()
        self.failover()
        self.say("all", f"{time.monotonic() - begun:.0f} s")
        for fault in self.faults:
            print(f"FAILED: {fault}")
        return 1 if self.faults else 0

    def set_up(self):
        self.primary.create(self.archive)
        self.primary.start()
        self.version = self.primary.sql("SHOW server_version", "postgres").split()[0]
        self.primary.sql("CREATE DATABASE cairn", "postgres")
        direct = {f"DATABASE_{kind}URL": self.primary.url(role)
                  for kind, role in (("ADMIN_", "postgres"), ("OWNER_", "cairn_owner"), ("", "cairn_app"), ("DIRECT_", "cairn_app"))}
        self.services.cairn("migrate", "--roles", environment=direct)
        # What the connections ask for in `options`, which PgBouncer does not pass on.
        for setting in ("plan_cache_mode = force_generic_plan", "jit = off", "lock_timeout = '2s'",
                        "statement_timeout = '8s'", "idle_in_transaction_session_timeout = '10s'"):
            self.primary.sql(f"ALTER ROLE cairn_app IN DATABASE cairn SET {setting}")
        # A commit waits for the replica, so a failover loses nothing that was accepted.
        self.replica.copy_of(self.primary, "--write-recovery-conf", "--create-slot", "--slot", "replica")
        self.replica.start()
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
        self.primary.sql("SELECT pg_reload_conf()")
        self.bouncer.configure(self.primary)
        self.bouncer.start()
        for name in [*self.services.apis, *self.services.workers]:
            self.services.start(name)
        self.services.start_nginx()
        self.services.cairn("admin", "create", "--email", "admin@example.org", "--first-name", "Ada", given=ADMIN_PASSWORD)
        course = self.machine.write("course.yaml", (HERE.parent / "cli" / "demo" / "course.yaml").read_text())
        self.services.cairn("import", course)
        printed = self.services.cairn("invite", "create", "--uses", "100")
        self.load.prepare(printed.split()[-1] if " " in printed else printed)
        self.base_seconds = self.base.copy_of(self.primary)

    def restarts(self):
        """Restarts everything, one after another, while the learners act."""
        term, kill_later = subprocess.signal.SIGTERM, 50
        self.load.begin()
        time.sleep(self.options.seconds)
        for name in [*self.services.apis, *self.services.workers]:
            stopped = self.machine.stop(name, term, kill_later)
            started = self.services.start(name)
            self.say(f"restart {name}", f"stopped in {stopped:.1f} s, ready again in {started:.1f} s")
            time.sleep(self.options.seconds)
        stopped = self.machine.stop("pgbouncer", self.bouncer.stop_signal, 10)
        begun = time.monotonic()
        self.bouncer.start()
        self.say("restart PgBouncer", f"stopped in {stopped:.1f} s, ready again in {time.monotonic() - begun:.1f} s")
        time.sleep(self.options.seconds)
        stopped = self.machine.stop("nginx", term, 10)
        begun = time.monotonic()
        self.services.start_nginx()
        self.say("restart nginx", f"stopped in {stopped:.1f} s, ready again in {time.monotonic() - begun:.1f} s")
        time.sleep(self.options.seconds)
        for cluster in (self.replica, self.primary):
            stopped, started = cluster.stop("fast"), cluster.start()
            begun = time.monotonic()
            wait_for("replication", 60, lambda: self.primary.sql(
                "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "postgres") == "1")
            self.say(f"restart Postgres ({cluster.name})", f"stopped in {stopped:.1f} s, started in {started:.1f} s, "
                                                           f"replicating after {time.monotonic() - begun:.1f} s")
            self.all_ready()
            time.sleep(self.options.seconds)
        self.checked("load during the restarts", self.primary)

    def checked(self, name, database):
        """Ends the load and compares what was accepted with what is there."""
        figures = self.load.end()
        self.say(name, figures.line())
        self.faults += [f"a request failed: {fault}" for fault in figures.uncured[:10]]
        lost = self.load.lost()
        self.faults += [f"lost or repeated: {loss}" for loss in lost[:10]]
        wait_for("the queues", 60, lambda: database.sql(
            "SELECT count(*) FROM apalis.jobs WHERE status IN ('Pending', 'Queued', 'Running', 'Failed') AND run_at <= now()") == "0")
        self.verify(f"verify after that ({len(lost)} lost)", database)

    def verify(self, name, database, name_of="cairn"):
        begun = time.monotonic()
        url = database.url("cairn_app", database=name_of)
        try:
            printed = self.services.cairn("verify", environment={"DATABASE_URL": url, "DATABASE_DIRECT_URL": url})
            self.say(name, f"{printed.splitlines()[-1]} ({time.monotonic() - begun:.1f} s)")
        except SystemExit as error:
            self.faults.append(f"{name}: {error}")

    def all_ready(self):
        ports = [ops for _, ops in self.services.apis.values()] + list(self.services.workers.values())
        wait_for("readiness", 60, lambda: all(is_ready(port) for port in ports))

    def restore(self):
        """From a dump, into another database of the same server."""
        dump, begun = self.machine.root / "cairn.dump", time.monotonic()
        self.machine.run("pg_dump", *self.primary.where(), "--format", "custom", "--file", dump)
        dumped = time.monotonic() - begun
        self.primary.sql("CREATE DATABASE restored", "postgres")
        begun = time.monotonic()
        self.machine.run("pg_restore", "--exit-on-error", "--single-transaction", *self.primary.where("restored"), dump)
        self.say("restore from pg_dump", f"dumped in {dumped:.1f} s ({dump.stat().st_size // 1024} KiB), "
                                         f"restored in {time.monotonic() - begun:.1f} s")
        self.verify("verify the restored database", self.primary, "restored")
        self.primary.sql("DROP DATABASE restored", "postgres")

    def point_in_time(self):
        """To the moment before a mistake, from the base backup and the archive."""
        before = self.primary.sql("SELECT count(*), (SELECT count(*) FROM showcase_projects) FROM users WHERE first_name = 'Learner'")
        moment = self.primary.sql("SELECT clock_timestamp()")
        self.primary.sql("UPDATE users SET first_name = 'Mistake'")
        last = self.primary.sql("SELECT pg_walfile_name(pg_switch_wal())")
        wait_for("the archive", 60, (self.archive / last).exists)
        with open(self.base.data / "postgresql.auto.conf", "a") as conf:
            conf.write(f"""
restore_command = 'cp {self.archive}/%f %p'
recovery_target_time = '{moment}'
recovery_target_action = 'promote'
archive_mode = off
synchronous_standby_names = ''
""")
        self.machine.write("recovered/recovery.signal", "")
        begun = time.monotonic()
        self.base.start()
        wait_for("the recovery", 120, lambda: self.base.sql("SELECT pg_is_in_recovery()", "postgres") == "f")
        took = time.monotonic() - begun
        found = self.base.sql("SELECT count(*), (SELECT count(*) FROM showcase_projects) FROM users WHERE first_name = 'Learner'")
        if found != before:
            self.faults.append(f"recovery to a point in time: {found} instead of {before}")
        self.say("recovery to a point in time", f"base backup in {self.base_seconds:.1f} s, recovered in {took:.1f} s")
        self.verify("verify the recovered database", self.base)
        self.base.stop("fast")

    def failover(self):
        """The primary is lost under load; the replica takes its place behind the same address."""
        self.load.begin()
        time.sleep(self.options.seconds)
        begun = time.monotonic()
        self.primary.stop("immediate")
        self.machine.run("pg_ctl", "--pgdata", self.replica.data, "--wait", "promote")
        promoted = time.monotonic() - begun
        # Otherwise every commit would wait for a replica that there is not.
        self.replica.sql("ALTER SYSTEM RESET synchronous_standby_names", "postgres")
        self.replica.sql("SELECT pg_reload_conf()", "postgres")
        self.bouncer.configure(self.replica)
        self.machine.started["pgbouncer"].send_signal(subprocess.signal.SIGHUP)
        switched = time.monotonic()
        wait_for("a request after the failover", 60, lambda: self.load.figures.last_success > switched)
        answered = self.load.figures.last_success - begun
        self.all_ready()
        ready = time.monotonic() - begun
        self.say("failover", f"promoted after {promoted:.1f} s, first request after {answered:.1f} s, "
                             f"all processes ready after {ready:.1f} s")
        time.sleep(self.options.seconds)
        self.checked("load during the failover", self.replica)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    newest = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    parser.add_argument("--programs", default=HERE.parent / "target" / "release", help="where cairn, cairn-api and cairn-worker are")
    parser.add_argument("--previous", help="where the programs of the previous release are: practise the upgrade from it instead")
    parser.add_argument("--postgres", default=newest[0] if newest else "/usr/bin", help="where initdb and pg_ctl are")
    parser.add_argument("--pgbouncer", default=shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin"))
    parser.add_argument("--learners", type=int, default=6, help="how many act at once")
    parser.add_argument("--seconds", type=float, default=3, help="how long they act between two restarts")
    parser.add_argument("--keep", action="store_true", help="keep the directory with all logs")
    options = parser.parse_args()
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in ("nginx", "openssl", "psql") if not shutil.which(name, path=path)]
    if options.previous:
        # It takes the place of the AI provider.
        if not (pathlib.Path(options.programs) / "cairn-stub-provider").exists():
            raise SystemExit("drill: cairn-stub-provider is not in the directory of the programs: cargo build --workspace --bins")
        missing = [name for name in missing if name != "nginx"]
    elif not options.pgbouncer:
        missing.append("pgbouncer")
    if missing:
        raise SystemExit(f"drill: not installed: {', '.join(missing)}")
    if options.previous:
        import upgrade  # it uses what is in this file
        return upgrade.practise(options)
    drill, faults = Drill(options), 1
    try:
        faults = drill.run()
        return faults
    finally:
        drill.options.keep |= faults != 0
        drill.load.stopping.set()
        drill.machine.end()


if __name__ == "__main__":
    sys.exit(main())
