"""A small layer over the generated client: sign-in, errors, pages, retries and the stream of a reply."""

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Protocol, TypeVar
from uuid import UUID

import httpx
from httpx_sse import connect_sse

from cairn_client import AuthenticatedClient, Client
from cairn_client.api.auth import refresh_session
from cairn_client.models.problem import Problem
from cairn_client.models.refresh_request import RefreshRequest
from cairn_client.models.reply_event_reply_cancelled import ReplyEventReplyCancelled
from cairn_client.models.reply_event_reply_chunk import ReplyEventReplyChunk
from cairn_client.models.reply_event_reply_completed import ReplyEventReplyCompleted
from cairn_client.models.reply_event_reply_failed import ReplyEventReplyFailed
from cairn_client.models.reply_event_reply_restart import ReplyEventReplyRestart
from cairn_client.models.tokens import Tokens
from cairn_client.types import UNSET, Unset

T = TypeVar("T")

ReplyEvent = (
    ReplyEventReplyChunk
    | ReplyEventReplyRestart
    | ReplyEventReplyCompleted
    | ReplyEventReplyFailed
    | ReplyEventReplyCancelled
)

# Comments keep a stream open; they come at least every 15 seconds.
TIMEOUT = httpx.Timeout(10, read=30)


class CairnError(Exception):
    """An answer of the API that is not a success. Branch on `problem.code`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail} (request {problem.request_id})")
        self.problem = problem


def unwrap(answer: T | Problem | None) -> T:
    """The content of a successful answer."""
    if isinstance(answer, Problem):
        raise CairnError(answer)
    if answer is None:
        raise ValueError("the answer has no content")
    return answer


class Retrying(httpx.BaseTransport):
    """Waits as long as 429 and 503 say, up to a minute, and then repeats the request."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(3):
            response = self.inner.handle_request(request)
            seconds = response.headers.get("Retry-After", "")
            if response.status_code not in (429, 503) or not seconds.isdecimal() or int(seconds) > 60:
                return response
            response.close()
            time.sleep(int(seconds))
        return self.inner.handle_request(request)


class Session(httpx.Auth):
    """Sends the access token, and refreshes the session when a request is answered with 401."""

    def __init__(self, anonymous: Client, tokens: Tokens) -> None:
        self.anonymous = anonymous
        self.tokens = tokens
        self.lock = threading.Lock()

    def refresh(self, expired: str) -> None:
        """Each refresh token works once, so one thread uses it, and the new one is stored before it is used."""
        with self.lock:
            if self.tokens.access_token == expired:
                body = RefreshRequest(refresh_token=self.tokens.refresh_token)
                self.tokens = unwrap(refresh_session.sync(client=self.anonymous, body=body))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self.tokens.access_token
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            self.refresh(token)
            request.headers["Authorization"] = f"Bearer {self.tokens.access_token}"
            yield request


def connect(base_url: str) -> Client:
    httpx_args = {"transport": Retrying(httpx.HTTPTransport())}
    return Client(base_url=base_url, timeout=TIMEOUT, raise_on_unexpected_status=True, httpx_args=httpx_args)


def connect_as(base_url: str, session: Session) -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=base_url,
        token="",  # The session sends it.
        timeout=TIMEOUT,
        raise_on_unexpected_status=True,
        httpx_args={"auth": session, "transport": Retrying(httpx.HTTPTransport())},
    )


class Page(Protocol[T]):
    """What every list is answered with."""

    items: list[T]
    next_cursor: str | None


def items(page: Callable[[str | Unset], Page[T]]) -> Iterator[T]:
    """Every item of a list, page by page. `page` gets the next cursor, which the first page does not have."""
    cursor: str | Unset = UNSET
    while True:
        answer = page(cursor)
        yield from answer.items
        if answer.next_cursor is None:
            return
        cursor = answer.next_cursor


def reply_events(
    client: AuthenticatedClient, reply_id: UUID, last_event_id: str | None
) -> Iterator[tuple[str, ReplyEvent]]:
    """The events of a reply on one connection, after `last_event_id`."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    url = f"/v1/replies/{reply_id}/stream"
    with connect_sse(client.get_httpx_client(), "GET", url, headers=headers) as source:
        if source.response.is_error:
            raise CairnError(Problem.from_dict(json.loads(source.response.read())))
        for frame in source.iter_sse():
            # httpx-sse takes a comment that keeps the connection open for an event without data.
            if frame.data:
                yield frame.id, parse_event(frame.json())


def parse_event(data: dict[str, object]) -> ReplyEvent:
    match data["type"]:
        case "chunk":
            return ReplyEventReplyChunk.from_dict(data)
        case "restart":
            return ReplyEventReplyRestart.from_dict(data)
        case "completed":
            return ReplyEventReplyCompleted.from_dict(data)
        case "failed":
            return ReplyEventReplyFailed.from_dict(data)
        case _:
            return ReplyEventReplyCancelled.from_dict(data)
