"""What a service does with Cairn, against a running one. Fails with a clear line where the answer is not as expected."""

import os
import sys
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx

from cairn import CairnError, Retrying, Session, connect, connect_as, items, reply_events, unwrap
from cairn_client import AuthenticatedClient, Client
from cairn_client.api.admin_content import get_admin_lesson, list_admin_lessons, update_lesson
from cairn_client.api.auth import login, register
from cairn_client.api.lessons import complete_lesson, get_lesson
from cairn_client.api.library import list_terms
from cairn_client.api.me import get_me, list_my_projects
from cairn_client.api.projects import create_project
from cairn_client.api.roadmaps import get_roadmap, get_roadmap_progress, list_roadmaps
from cairn_client.api.platform import get_platform_settings
from cairn_client.api.tools import ask_tool, get_reply
from cairn_client.models.lesson_changes import LessonChanges
from cairn_client.models.login_request import LoginRequest
from cairn_client.models.new_project import NewProject
from cairn_client.models.new_question import NewQuestion
from cairn_client.models.problem import Problem
from cairn_client.models.register_request import RegisterRequest
from cairn_client.models.reply_event_reply_chunk import ReplyEventReplyChunk
from cairn_client.models.reply_event_reply_restart import ReplyEventReplyRestart
from cairn_client.types import Unset

BASE_URL = os.environ.get("CAIRN_URL", "http://127.0.0.1:8080")
PASSWORD = os.environ.get("CAIRN_PASSWORD", "cairn-demo-2026")
INVITE = os.environ.get("CAIRN_INVITE", "demo-invite-cairn-2026")
ADMIN = os.environ.get("CAIRN_ADMIN", "admin@demo.test")


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"expected: {what}")


def problem_of(request: Callable[[], object]) -> Problem:
    """The problem that a request is expected to be refused with."""
    try:
        unwrap(request())
    except CairnError as error:
        return error.problem
    raise AssertionError("a request succeeded that should have been refused")


def sign_up(anonymous: Client) -> Session:
    body = RegisterRequest(email=f"{uuid4()}@client.test", password=PASSWORD, first_name="Pia", invite_code=INVITE)
    return Session(anonymous, unwrap(register.sync(client=anonymous, body=body)).tokens)


def refresh(session: Session, client: AuthenticatedClient) -> None:
    before = session.tokens
    session.refresh(before.access_token)
    expect(session.tokens.refresh_token != before.refresh_token, "a refresh gives a new refresh token")
    # An access token that has expired is noticed by the client, which gets a new one and repeats the request.
    session.tokens.access_token = "expired"
    expect(unwrap(get_me.sync(client=client)).first_name == "Pia", "a request with an expired token is repeated")


def walk_a_list(client: AuthenticatedClient) -> None:
    terms = items(lambda cursor: unwrap(list_terms.sync(client=client, limit=7, cursor=cursor)))
    slugs = [term.slug for term in terms]
    expect(len(slugs) > 7, f"more than one page of terms, not {len(slugs)}")
    expect(len(set(slugs)) == len(slugs), "no term comes twice")


def complete_a_lesson(client: AuthenticatedClient) -> None:
    roadmap = unwrap(list_roadmaps.sync(client=client)).items[0]
    tree = unwrap(get_roadmap.sync(roadmap.id, client=client))
    lessons = [lesson for stage in tree.stages for lesson in stage.lessons]
    lesson = next(lesson for lesson in lessons if not lesson.is_locked and lesson.completion == "manual")

    change = unwrap(complete_lesson.sync(lesson.id, client=client))
    expect(change.status == "completed", "the lesson is completed")
    seq = next(mark.seq for mark in change.progress if mark.roadmap_id == roadmap.id)
    progress = unwrap(get_roadmap_progress.sync(roadmap.id, client=client, min_seq=seq))
    expect(progress.seq >= seq, "the rollup includes the change")
    expect(progress.lessons_completed == 1, "one lesson is completed")


def meet_problems(anonymous: Client, client: AuthenticatedClient) -> None:
    nowhere = UUID("00000000-0000-7000-8000-000000000000")
    missing = problem_of(lambda: get_lesson.sync(nowhere, client=client))
    expect((missing.status, missing.code) == (404, "lesson_not_found"), "no such lesson")

    body = RegisterRequest(email="no address", password=PASSWORD, first_name="Pia", invite_code=INVITE)
    invalid = problem_of(lambda: register.sync(client=anonymous, body=body))
    expect((invalid.status, invalid.code) == (422, "invalid_body"), "the address is refused")
    # Beside which input to show it.
    errors = [] if isinstance(invalid.errors, Unset) else invalid.errors
    expect([error.pointer for error in errors] == ["/email"], "the problem points at the address")


def create_once(client: AuthenticatedClient) -> None:
    key = str(uuid4())
    body = NewProject(title="A page about tides", is_draft=True)
    first = unwrap(create_project.sync(client=client, body=body, idempotency_key=key))
    again = unwrap(create_project.sync(client=client, body=body, idempotency_key=key))
    expect(again.id == first.id, "the same key gets the same answer")
    expect(len(unwrap(list_my_projects.sync(client=client)).items) == 1, "nothing is created twice")

    other = NewProject(title="Another page")
    reused = problem_of(lambda: create_project.sync(client=client, body=other, idempotency_key=key))
    expect((reused.status, reused.code) == (409, "idempotency_key_reused"), "another body is refused")


def follow_a_reply(client: AuthenticatedClient) -> None:
    question = NewQuestion(message="stub:words=40,gap=50 Why does content come before layout?")
    asked = unwrap(ask_tool.sync("assistant", client=client, body=question, idempotency_key=str(uuid4())))

    text, last_event_id, connections, is_finished = "", None, 0, False
    while not is_finished:
        connections += 1
        expect(connections <= 5, "the stream comes to its end")
        for received, (last_event_id, event) in enumerate(reply_events(client, asked.reply_id, last_event_id), 1):
            if isinstance(event, ReplyEventReplyChunk):
                text += event.text
            elif isinstance(event, ReplyEventReplyRestart):
                text = ""
            else:
                is_finished = True
            # The connection is lost half way, once, on purpose.
            if connections == 1 and received == 3:
                break

    expect(connections > 1, "the stream is followed over more than one connection")
    reply = unwrap(get_reply.sync(asked.reply_id, client=client))
    expect(reply.state == "completed", "the reply is completed")
    expect(text == reply.text, "the text is whole and has nothing twice")


def edit_a_lesson(anonymous: Client) -> None:
    signed_in = unwrap(login.sync(client=anonymous, body=LoginRequest(email=ADMIN, password=PASSWORD)))
    admin = connect_as(BASE_URL, Session(anonymous, signed_in.tokens))
    lesson = unwrap(list_admin_lessons.sync(client=admin, limit=1)).items[0]

    read = get_admin_lesson.sync_detailed(lesson.id, client=admin)
    etag = read.headers["ETag"]
    body = LessonChanges(summary=f"Edited from Python, {uuid4()}.")
    edited = unwrap(update_lesson.sync(lesson.id, client=admin, body=body, if_match=etag))
    expect(edited.summary == body.summary, "the summary is changed")
    expect(edited.completion == lesson.completion, "what is left out stays as it is")

    stale = problem_of(lambda: update_lesson.sync(lesson.id, client=admin, body=body, if_match=etag))
    expect((stale.status, stale.code) == (412, "version_mismatch"), "an older version is refused")


def read_unchanged(client: AuthenticatedClient) -> None:
    etag = get_platform_settings.sync_detailed(client=client).headers["ETag"]
    again = get_platform_settings.sync_detailed(client=client, if_none_match=etag)
    expect(again.status_code == 304, "unchanged settings are not sent again")


def wait_while_busy() -> None:
    """A service that is busy at first, which a real one is too rarely to wait for."""
    answers = iter([httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(200)])
    transport = Retrying(httpx.MockTransport(lambda request: next(answers)))
    expect(httpx.Client(transport=transport).get(BASE_URL).status_code == 200, "a busy service is asked again")


def main() -> None:
    anonymous = connect(BASE_URL)
    session = sign_up(anonymous)
    client = connect_as(BASE_URL, session)
    refresh(session, client)
    walk_a_list(client)
    complete_a_lesson(client)
    meet_problems(anonymous, client)
    create_once(client)
    follow_a_reply(client)
    edit_a_lesson(anonymous)
    read_unchanged(client)
    wait_while_busy()


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, CairnError, KeyError, httpx.HTTPError) as error:
        sys.exit(str(error) or repr(error))
