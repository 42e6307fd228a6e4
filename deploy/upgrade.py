"""The upgrade of docs/RUNBOOK.md: programs of the previous release and of this one, side by side on one database.

`deploy/drill.py --previous DIRECTORY` runs it. The database is migrated while the programs of the previous release run. Then
every mixture of APIs and workers that an upgrade or its withdrawal brings does the work of a school: learners, mentors and
admins over HTTP, with the built-in provider of answers and with one that costs something. After each mixture nothing may have
failed, no job may be dead, and `cairn verify` of this release must find no difference.
"""

import http.client
import json
import random
import signal
import time
import uuid

from drill import ADMIN_PASSWORD, HERE, LEARNER_PASSWORD, Client, Cluster, Figures, Load, Machine, free_port, is_open, is_ready, wait_for

MENTOR_PASSWORD = "drill-mentor-2026-x"
UNFINISHED = "status IN ('Pending', 'Queued', 'Running', 'Failed')"
PROVIDERS = ("built-in provider", "stub provider")
# What a budget is tried with: more than any round spends.
BUDGETS = [{"scope": scope, "period": period, "unit": unit, "amount": 10**12}
           for scope in ("learner", "platform") for period in ("day", "month") for unit in ("tokens", "cost_micros")]


class Direct(Client):
    """Sends each request to one of the APIs that run now, in turn, without a proxy."""

    def __init__(self, ports, figures):
        super().__init__(0, figures)
        self.ports, self.turn = ports, 0

    def connect(self):
        ports = self.ports()
        self.turn += 1
        return http.client.HTTPConnection("127.0.0.1", ports[self.turn % len(ports)], timeout=40)

    def once(self, method, path, body, key, headers=()):
        try:
            return super().once(method, path, body, key, headers)
        finally:
            # So that the next one goes to the next API.
            self.connection = None

    def read(self, text):
        try:
            return super().read(text)
        except ValueError:
            return None  # an export, a line for each object

    def must(self, method, path, body=None, headers=(), statuses=(200, 201, 202, 204)):
        """Sends a request that has to succeed."""
        status, answer = self.ask(method, path, body, key=str(uuid.uuid4()) if method == "POST" else None, headers=headers)
        if status not in statuses:
            raise AssertionError(f"{method} {path}: {status} {json.dumps(answer)[:300]}")
        return answer


class MixedLoad(Load):
    """The learners of the drill, who use the APIs that run now."""

    def client(self, figures):
        return Direct(self.services.ports, figures)


class Programs:
    """The processes of both releases."""

    def __init__(self, machine, database, folders, worker_settings):
        self.machine, self.database, self.folders, self.worker_settings = machine, database, folders, worker_settings
        self.apis = {}
        self.common = {"CAIRN_JWT_SECRET": machine.run("openssl", "rand", "-base64", "48"),
                       "DATABASE_URL": database.url("cairn_app")}
        self.documents = {release: json.loads(self.cairn(release, "openapi")) for release in folders}

    def ports(self, release=None):
        return [port for of, port in self.apis.items() if release in (None, of)]

    def ports_of(self, release):
        return [self.apis[release]]

    def start(self, kind, release):
        name, ops = f"{release}-{kind}", free_port()
        settings = {**self.common, "CAIRN_OPS_ADDR": f"127.0.0.1:{ops}"}
        if kind == "api":
            port = free_port()
            settings["CAIRN_API_ADDR"] = f"127.0.0.1:{port}"
        else:
            settings |= self.worker_settings
        self.machine.start(name, self.folders[release] / f"cairn-{kind}", environment=settings)
        wait_for(name, 60, lambda: is_ready(ops))
        if kind == "api":
            self.apis[release] = port

    def stop(self, kind, release):
        if kind == "api":
            self.apis.pop(release)
        self.machine.stop(f"{release}-{kind}", signal.SIGTERM, 50)

    def run_only(self, apis, workers):
        """Starts what is missing, then stops what is too much."""
        wanted = {f"{release}-{kind}" for kind, releases in (("api", apis), ("worker", workers)) for release in releases}
        running = {name for name in self.machine.started if name.endswith(("-api", "-worker"))}
        for name in sorted(wanted - running):
            release, kind = name.split("-")
            self.start(kind, release)
        for name in sorted(running - wanted):
            release, kind = name.split("-")
            self.stop(kind, release)

    def cairn(self, release, *arguments, environment=(), given=None, check=True):
        return self.machine.run(self.folders[release] / "cairn", *arguments, given=given, check=check,
                                environment={**self.common, **dict(environment)})

    def errors(self):
        """What the programs have logged as errors."""
        found = []
        for log in sorted(self.machine.root.glob("*-api.log")) + sorted(self.machine.root.glob("*-worker.log")):
            found += [f"{log.name}: {line.strip()[:300]}" for line in log.read_text(errors="replace").splitlines()
                      if " ERROR " in line]
        return found


class School:
    """What learners, mentors and admins do, once each. Who is asked changes with every request."""

    def __init__(self, programs, answers, figures):
        self.programs, self.answers, self.figures = programs, answers, figures
        self.round = 0

    def client(self, email=None, password=None, ports=None):
        client = Direct(ports or self.programs.ports, self.figures)
        if email:
            client.token = client.must("POST", "/v1/auth/login", {"email": email, "password": password})["tokens"]["access_token"]
        return client

    def day(self):
        """All of it."""
        self.round += 1
        self.admin = self.client("admin@example.org", ADMIN_PASSWORD)
        self.teach()
        learner, email = self.join()
        self.mentor = self.join_as_mentor()
        project = self.study(learner)
        replies = self.ask(learner)
        if "new" in self.programs.apis:
            self.ask_what_is_new(learner, replies)
        self.run_tools()
        self.read_everything()
        self.leave(learner, email, project)

    def join(self):
        invite = self.admin.must("POST", "/v1/admin/invites", {"role": "student", "max_uses": 2})["code"]
        client, email = self.client(), f"Pupil{self.round}.{uuid.uuid4().hex[:8]}@Example.ORG"
        client.must("POST", "/v1/auth/register",
                    {"email": email, "password": LEARNER_PASSWORD, "first_name": "Pupil", "invite_code": invite})
        signed_in = client.must("POST", "/v1/auth/login", {"email": email.lower(), "password": LEARNER_PASSWORD})
        tokens = client.must("POST", "/v1/auth/refresh", {"refresh_token": signed_in["tokens"]["refresh_token"]})
        client.token = tokens["access_token"]
        client.must("PATCH", "/v1/me", {"last_name": "Of both releases"})
        return client, email

    def join_as_mentor(self):
        email = f"mentor{uuid.uuid4().hex[:8]}@example.org"
        invite = self.admin.must("POST", "/v1/admin/invites", {"role": "mentor", "max_uses": 1})["code"]
        client = self.client()
        client.must("POST", "/v1/auth/register",
                    {"email": email, "password": MENTOR_PASSWORD, "first_name": "Mentor", "invite_code": invite})
        return self.client(email, MENTOR_PASSWORD)

    def edit(self, path, changes, method="PATCH"):
        """Changes a row in the version that it has."""
        version = self.admin.must("GET", path)["version"]
        return self.admin.must(method, path, changes, headers={"If-Match": f'"{version}"'})

    def publish(self, kind, row):
        path = f"/v1/admin/{kind}/{row['id']}"
        version = self.admin.must("GET", path)["version"]
        self.admin.must("POST", f"{path}/publish", headers={"If-Match": f'"{version}"'})

    def teach(self):
        """Content is created, published and edited."""
        tag = uuid.uuid4().hex[:8]
        module = self.admin.must("POST", "/v1/admin/modules", {"slug": f"m-{tag}", "title": f"Module {tag}"})
        lesson = self.admin.must("POST", "/v1/admin/lessons", {
            "module_id": module["id"], "slug": f"l-{tag}", "title": f"Lesson {tag}", "duration_minutes": 5,
            "body": f"# Viewports\n\nThe word {tag} is in here.", "tasks": [{"slug": "one", "title": "Do it", "is_required": True}]})
        for kind, row in (("modules", module), ("lessons", lesson)):
            self.publish(kind, row)
        self.edit(f"/v1/admin/lessons/{lesson['id']}", {"title": f"Lesson {tag}, again", "body": f"The word {tag} stays."})
        style = self.admin.must("POST", "/v1/admin/styles", {"slug": f"s-{tag}", "title": f"Style {tag}", "category": "minimal"})
        self.edit(f"/v1/admin/styles/{style['id']}", {"description": "White space"})
        self.admin.must("POST", "/v1/admin/glossary", {"slug": f"t-{tag}", "term": f"Term {tag}", "definition": "A word."})
        document = f"version: 1\nmodules: [{{slug: m-{tag}, title: Module {tag} by import}}]\n"
        imported = self.admin.must("POST", "/v1/admin/course/imports", {"document": document})
        self.until_done(f"/v1/admin/course/imports/{imported['id']}", "the import")
        found = wait_for("the search", 20, lambda: self.admin.must("GET", f"/v1/search?q={tag}")["items"])
        assert found, "an edited lesson is not found"
        settings = self.admin.must("GET", "/v1/admin/settings")
        assert settings["items"], settings
        stages = self.admin.must("GET", f"/v1/admin/roadmaps/{self.roadmap()}/stages")["items"]
        self.edit(f"/v1/admin/stages/{stages[-1]['id']}", {"title": f"Stage of round {self.round}"})

    def roadmap(self):
        return self.admin.must("GET", "/v1/roadmaps")["items"][0]["id"]

    def study(self, learner):
        roadmap = learner.must("GET", f"/v1/roadmaps/{self.roadmap()}")
        lessons = [lesson["id"] for lesson in roadmap["stages"][0]["lessons"]]
        seq = 0
        for lesson in lessons:
            learner.must("POST", f"/v1/lessons/{lesson}/start")
            for task in learner.must("GET", f"/v1/lessons/{lesson}")["tasks"]:
                answer = learner.must("PUT", f"/v1/lessons/{lesson}/tasks/{task['id']}/check")
            status, answer = learner.ask("PUT", f"/v1/lessons/{lesson}/completion")
            assert status in (200, 409), (status, answer)
            seq = max([seq] + [progress["seq"] for progress in (answer or {}).get("progress", [])])
        progress = wait_for("the progress", 30, lambda: self.caught_up(learner, roadmap["id"], seq))
        assert progress["lessons_completed"] >= 1, progress
        project = learner.must("POST", "/v1/projects", {"title": f"Project {self.round}", "summary": "Of both"})
        self.mentor.must("PUT", f"/v1/projects/{project['id']}/like")
        wait_for("the like", 30, lambda: learner.must("GET", f"/v1/projects/{project['id']}")["likes_count"] == 1)
        categories = self.admin.must("POST", "/v1/admin/prompt-categories",
                                     {"slug": f"c-{uuid.uuid4().hex[:8]}", "name": f"C {uuid.uuid4().hex[:6]}", "kind": "planning"})
        prompt = self.admin.must("POST", "/v1/admin/prompts", {
            "category_id": categories["id"], "slug": f"p-{uuid.uuid4().hex[:8]}", "title": "Plan", "body": "Plan a page."})
        self.publish("prompts", prompt)
        learner.must("PUT", f"/v1/prompts/{prompt['id']}/favorite", statuses=(200, 204))
        learner.must("POST", f"/v1/prompts/{prompt['id']}/copies")
        assert learner.must("GET", "/v1/me/activity")["items"] is not None
        return project["id"]

    def caught_up(self, learner, roadmap, seq):
        progress = learner.must("GET", f"/v1/roadmaps/{roadmap}/progress?min_seq={seq}", statuses=(200, 202))
        return progress if progress["seq"] >= seq and not progress["is_recalculating"] else None

    def ask(self, learner):
        """One question to each tool; an answer is cleared, one is retried if it failed."""
        replies = {}
        for number, tool in enumerate(("assistant", "ideas", "tz_helper")):
            prefix = "" if self.answers == PROVIDERS[0] else f"stub:words={20 + number},think={number} "
            asked = learner.must("POST", f"/v1/tools/{tool}/messages", {"message": f"{prefix}Why does content come before layout?"})
            replies[tool] = asked["reply_id"]
        for tool, reply in replies.items():
            ended = self.until_done(f"/v1/replies/{reply}", f"a reply of {tool}", learner)
            assert ended["state"] == "completed" and ended["text"], ended
        learner.must("DELETE", "/v1/tools/ideas/messages")
        learner.must("GET", "/v1/tools/assistant/messages")
        return replies

    def ask_what_is_new(self, learner, replies):
        """What only this release has, beside workers of either: ratings, questions to mentors, budgets, evaluations."""
        ports = lambda: self.programs.ports_of("new")  # noqa: E731
        clients = {}
        for name, client in (("learner", learner), ("mentor", self.mentor), ("admin", self.admin)):
            clients[name] = self.client(ports=ports)
            clients[name].token = client.token
        reply = replies["assistant"]
        clients["learner"].must("PUT", f"/v1/replies/{reply}/rating", {"thumb": "down", "reason": "Too short"})
        clients["learner"].must("PUT", f"/v1/replies/{reply}/mentor-question", {"consent": True})
        waiting = clients["mentor"].must("GET", "/v1/mentor/questions?answered=false&limit=100")["items"]
        for question in waiting:
            clients["mentor"].must("POST", f"/v1/mentor/questions/{question['id']}/answer", {"text": "Because readers come for it."})
        assert waiting, "the question has not reached the mentors"
        setting = clients["admin"].must("GET", "/v1/admin/settings/ai.budgets")
        version = setting["version"]
        clients["admin"].must("PUT", "/v1/admin/settings/ai.budgets", {"value": BUDGETS},
                              headers={"If-Match": f'"{version}"'})
        budgets = clients["admin"].must("GET", "/v1/admin/tools/budgets")["items"]
        assert len(budgets) == len(BUDGETS), budgets
        # A worker of the previous release does not know this kind of job, which is why workers are replaced before APIs.
        if "old-worker" not in self.programs.machine.started:
            instructions = clients["admin"].must("GET", "/v1/admin/tools/assistant/instructions")["items"]
            evaluation = clients["admin"].must("POST", "/v1/admin/evaluations", {
                "tool_type": "assistant", "name": f"Evaluation {uuid.uuid4().hex[:8]}", "cases": [{"question": "What is a viewport?"}]})
            run = clients["admin"].must("POST", f"/v1/admin/evaluations/{evaluation['id']}/runs",
                                        {"candidate_version": instructions[0]["version"]})
            ended = self.until_done(f"/v1/admin/evaluation-runs/{run['id']}", "the evaluation", clients["admin"])
            assert ended["state"] == "completed", ended

    def run_tools(self):
        """Instructions are written, tried out and activated."""
        made = self.admin.must("POST", "/v1/admin/tools/ideas/instructions",
                               {"content": f"Answer briefly, round {self.round}.", "max_tokens": 500, "include_learner": True})
        tryout = self.admin.must("POST", f"/v1/admin/tools/ideas/instructions/{made['version']}/tryouts",
                                 {"question": "What is a viewport?"})
        ended = self.until_done(f"/v1/admin/tryouts/{tryout['id']}", "a try-out")
        assert ended["state"] == "completed", ended
        self.admin.must("POST", f"/v1/admin/tools/ideas/instructions/{made['version']}/activate")

    def until_done(self, path, what, client=None):
        done = ("completed", "failed", "cancelled", "done", "rejected")
        asked = lambda: (client or self.admin).must("GET", path)  # noqa: E731
        return wait_for(what, 60, lambda: next((found for found in [asked()] if found.get("state", found.get("status")) in done), None))

    def read_everything(self):
        """Every list, and the first row of each, of every API: what one release has written, the other can read."""
        for release in self.programs.apis:
            ports = lambda release=release: self.programs.ports_of(release)
            client = self.client(ports=ports)
            client.token = self.admin.token
            paths = self.programs.documents[release]["paths"]
            lists = {path: item["get"] for path, item in paths.items() if "get" in item and "{" not in path}
            for path, operation in lists.items():
                if path.endswith("/events"):
                    continue
                found = client.must("GET", path + required(operation, self.programs.documents[release]), statuses=(200,))
                first = (found.get("items") or [{}])[0] if isinstance(found, dict) else {}
                for other, item in paths.items():
                    name, _, rest = other.removeprefix(path + "/{").partition("}")
                    key = first.get(name, first.get("id"))
                    if not other.startswith(path + "/{") or "get" not in item or "{" in rest or "stream" in rest or key is None:
                        continue
                    client.must("GET", f"{path}/{key}{rest}" + required(item["get"], self.programs.documents[release]), statuses=(200, 404))

    def leave(self, learner, email, project):
        """Passwords are changed, data exported, and the account is deleted, with all that the other release has stored of it."""
        changed = LEARNER_PASSWORD + "-2"
        learner.must("PUT", "/v1/me/password", {"current_password": LEARNER_PASSWORD, "new_password": changed})
        learner.token = self.client(email, changed).token
        learner.must("GET", "/v1/me/export")
        version = learner.must("GET", f"/v1/projects/{project}")["version"]
        learner.must("DELETE", f"/v1/projects/{project}", headers={"If-Match": f'"{version}"'})
        learner.must("DELETE", "/v1/me", {"password": changed})


def required(operation, document):
    """The required parameters of a query."""
    values = {"q": "viewport", "from": "2026-01-01", "to": "2026-01-31"}
    names = []
    for parameter in operation.get("parameters", []):
        if "$ref" in parameter:
            parameter = document["components"]["parameters"][parameter["$ref"].split("/")[-1]]
        if parameter["in"] == "query" and parameter.get("required"):
            names.append(f"{parameter['name']}={values.get(parameter['name'], '1')}")
    return "?" + "&".join(names) if names else ""


class Upgrade:
    """The steps, in their order, with one provider."""

    # Which APIs and workers run, and what that is.
    MIXTURES = (
        ("migrated, nothing restarted", ["old"], ["old"]),
        ("workers replaced", ["old"], ["new"]),
        ("an API replaced", ["new", "old"], ["new"]),
        ("everything twice", ["new", "old"], ["new", "old"]),
        ("upgraded", ["new"], ["new"]),
        ("workers taken back", ["new", "old"], ["old"]),
        ("taken back", ["old"], ["old"]),
        ("upgraded again", ["new"], ["new"]),
    )

    def __init__(self, options, answers):
        self.options, self.answers, self.faults = options, answers, []
        self.machine = Machine(options)
        self.database = Cluster(self.machine, "database")

    def say(self, what, figures):
        print(f"{what:<34} {figures}", flush=True)

    def run(self):
        begun = time.monotonic()
        self.set_up()
        self.say(f"set up ({self.answers})", f"{time.monotonic() - begun:.1f} s")
        self.mixture("previous release", ["old"], ["old"])
        self.migrate()
        for mixture in self.MIXTURES:
            self.mixture(*mixture)
        self.faults += [f"logged: {line}" for line in self.programs.errors()[:20]]
        for fault in self.faults:
            print(f"FAILED: {fault}")
        return 1 if self.faults else 0

    def set_up(self):
        self.database.create(self.machine.root / "archive")
        self.database.start()
        self.database.sql("CREATE DATABASE cairn", "postgres")
        folders = {"old": self.machine.previous, "new": self.machine.programs}
        settings = {}
        if self.answers == PROVIDERS[1]:
            port = free_port()
            self.machine.start("stub", self.machine.programs / "cairn-stub-provider", f"127.0.0.1:{port}")
            wait_for("the stub provider", 20, lambda: is_open(port))
            settings = {"CAIRN_AI_BASE_URL": f"http://127.0.0.1:{port}/v1", "CAIRN_AI_MODEL": "stub", "CAIRN_AI_PRICES": "stub=1.5/6"}
        self.programs = Programs(self.machine, self.database, folders, settings)
        self.owner = {f"DATABASE_{kind}URL": self.database.url(role)
                      for kind, role in (("ADMIN_", "postgres"), ("OWNER_", "cairn_owner"), ("", "cairn_app"))}
        self.programs.cairn("old", "migrate", "--roles", environment=self.owner)
        self.programs.cairn("old", "admin", "create", "--email", "admin@example.org", "--first-name", "Ada", given=ADMIN_PASSWORD)
        course = self.machine.write("course.yaml", (HERE.parent / "cli" / "demo" / "course.yaml").read_text())
        self.programs.cairn("old", "import", course)
        self.programs.run_only(["old"], ["old"])
        self.load = MixedLoad(self.programs, self.options.learners)
        self.load.prepare(self.programs.cairn("old", "invite", "create", "--uses", "100").split()[-1])
        self.school = School(self.programs, self.answers, Figures())

    def migrate(self):
        """While the programs of the previous release work."""
        self.load.begin()
        time.sleep(self.options.seconds)
        begun = time.monotonic()
        printed = self.programs.cairn("new", "migrate", environment=self.owner)
        took = time.monotonic() - begun
        time.sleep(self.options.seconds)
        figures = self.load.end()
        self.faults += [f"migrate: {fault}" for fault in figures.uncured[:10]]
        self.say("migrate under load", f"{printed.splitlines()[-1]} ({took:.1f} s); {figures.line()}")

    def mixture(self, name, apis, workers):
        """A day of the school under load, whoever is asked and whoever does the jobs."""
        begun = time.monotonic()
        self.programs.run_only(apis, workers)
        self.load.begin()
        try:
            for _ in apis:
                self.school.day()
        except (Exception, SystemExit) as error:  # the other mixtures are tried as well
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
            print(f"FAILED: {self.faults[-1]}", flush=True)
        figures = self.load.end()
        self.faults += [f"{name}: {fault}" for fault in figures.uncured[:10]]
        self.faults += [f"{name}: lost or repeated: {loss}" for loss in self.load.lost()[:10]]
        # The last part of an erasure waits for a minute.
        self.database.sql("UPDATE erasures SET requested_at = requested_at - interval '10 minutes', queued_at = NULL")
        wait_for("the erasures", 60, lambda: self.database.sql("SELECT count(*) FROM erasures") == "0")
        wait_for("the queues", 60, lambda: self.database.sql(f"SELECT count(*) FROM apalis.jobs WHERE {UNFINISHED} AND run_at <= now()") == "0")
        dead = self.database.sql("SELECT coalesce(string_agg(DISTINCT job_type || ': ' || left(last_result::text, 200), '; '), '') FROM apalis.jobs WHERE status IN ('Killed')")
        if dead:
            self.faults.append(f"{name}: dead jobs: {dead}")
        printed = self.programs.cairn("new" if name != "previous release" else "old", "verify", check=False)
        if not printed.endswith("no differences"):
            self.faults.append(f"{name}: verify: {printed}")
        self.say(f"{name}: APIs {'+'.join(apis)}, workers {'+'.join(workers)}",
                 f"{time.monotonic() - begun:.0f} s, {self.school.figures.requests} + {figures.requests} requests, {printed.splitlines()[-1]}")
        self.school.figures = Figures()


def practise(options):
    """The upgrade with each provider. Returns an exit code."""
    failed = 0
    for answers in PROVIDERS:
        upgrade, faults = Upgrade(options, answers), 1
        try:
            faults = upgrade.run()
            failed |= faults
        finally:
            options.keep |= faults != 0
            if getattr(upgrade, "load", None):
                upgrade.load.stopping.set()
            upgrade.machine.end()
    return failed
