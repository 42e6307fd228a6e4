// A small layer over the generated types: sign-in, errors, pages, retries and the stream of a reply.

import { EventSourceParserStream } from "eventsource-parser/stream";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];
export type Cairn = Client<paths>;
export type Problem = Schemas["Problem"];

/** An answer of the API that is not a success. Branch on `problem.code`. */
export class CairnError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail} (request ${problem.request_id})`);
  }
}

/** The content of a successful answer. Throws a `CairnError` for any other. */
export function unwrap<T>(answer: { data?: T; error?: Problem; response: Response }): T {
  if (answer.error !== undefined) throw new CairnError(answer.error);
  return answer.data as T;
}

/** A session: keeps the tokens, and refreshes them once for all requests that find the access token expired. */
export class Session {
  private refreshing: Promise<void> | null = null;

  constructor(
    private readonly anonymous: Cairn,
    public tokens: Schemas["Tokens"],
  ) {}

  /** Each refresh token works once, so the new one is stored before it is used. */
  refresh(): Promise<void> {
    this.refreshing ??= (async () => {
      const body = { refresh_token: this.tokens.refresh_token };
      this.tokens = unwrap(await this.anonymous.POST("/v1/auth/refresh", { body }));
    })().finally(() => (this.refreshing = null));
    return this.refreshing;
  }

  /** `fetch` with the access token. A request that is answered with 401 is repeated once, with a new token. */
  readonly fetch = async (request: Request): Promise<Response> => {
    const repeat = request.clone();
    const response = await retryingFetch(this.authorized(request));
    if (response.status !== 401) return response;
    await this.refresh();
    return retryingFetch(this.authorized(repeat));
  };

  private authorized(request: Request): Request {
    request.headers.set("Authorization", `Bearer ${this.tokens.access_token}`);
    return request;
  }
}

/** `fetch` that waits as long as 429 and 503 say, up to a minute, and then repeats the request. */
export async function retryingFetch(request: Request, send: typeof fetch = fetch): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await send(request.clone());
    const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
    const isTemporary = response.status === 429 || response.status === 503;
    if (!isTemporary || !(seconds <= 60) || attempt === 4) return response;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

export function connect(baseUrl: string): Cairn {
  return createClient<paths>({ baseUrl, fetch: retryingFetch });
}

export function connectAs(baseUrl: string, session: Session): Cairn {
  return createClient<paths>({ baseUrl, fetch: session.fetch });
}

/** Every item of a list, page by page. `page` gets the next cursor, which the first page does not have. */
export async function* items<T>(
  page: (next: { cursor?: string }) => Promise<{ items: T[]; next_cursor: string | null }>,
): AsyncGenerator<T> {
  let cursor: string | null = null;
  do {
    const { items, next_cursor }: { items: T[]; next_cursor: string | null } = await page(
      cursor === null ? {} : { cursor },
    );
    yield* items;
    cursor = next_cursor;
  } while (cursor !== null);
}

/** The events of a reply on one connection, after `lastEventId`. */
export async function* replyEvents(
  cairn: Cairn,
  reply_id: string,
  lastEventId: string | null,
): AsyncGenerator<{ id: string; event: Schemas["ReplyEvent"] }> {
  const header = lastEventId === null ? {} : { "Last-Event-ID": lastEventId };
  const answer = await cairn.GET("/v1/replies/{reply_id}/stream", {
    params: { path: { reply_id }, header },
    parseAs: "stream",
  });
  const body = unwrap<ReadableStream<BufferSource> | null>({ ...answer, data: answer.response.body });
  if (body === null) return;
  const frames = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { id, data } of frames) {
    if (id !== undefined) yield { id, event: JSON.parse(data) as Schemas["ReplyEvent"] };
  }
}
