// What a front-end does with Cairn, against a running one. Fails with a clear line where the answer is not as expected.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type Cairn, CairnError, Session, connect, connectAs, items, replyEvents, retryingFetch, unwrap } from "./cairn.js";

const baseUrl = process.env["CAIRN_URL"] ?? "http://127.0.0.1:8080";
const password = process.env["CAIRN_PASSWORD"] ?? "cairn-demo-2026";
const invite_code = process.env["CAIRN_INVITE"] ?? "demo-invite-cairn-2026";
const adminEmail = process.env["CAIRN_ADMIN"] ?? "admin@demo.test";

/** The problem that a request is expected to be refused with. */
async function problemOf(request: Promise<Parameters<typeof unwrap>[0]>) {
  try {
    unwrap(await request);
  } catch (error) {
    if (error instanceof CairnError) return error.problem;
    throw error;
  }
  return assert.fail("a request succeeded that should have been refused");
}

async function register(anonymous: Cairn): Promise<Session> {
  const body = { email: `${randomUUID()}@client.test`, password, first_name: "Tess", invite_code };
  const { tokens } = unwrap(await anonymous.POST("/v1/auth/register", { body }));
  return new Session(anonymous, tokens);
}

async function refresh(session: Session, cairn: Cairn) {
  const { access_token, refresh_token } = session.tokens;
  await session.refresh();
  assert.notEqual(session.tokens.refresh_token, refresh_token, "a refresh gives a new refresh token");
  // An access token that has expired is noticed by the client, which gets a new one and repeats the request.
  session.tokens = { ...session.tokens, access_token: `${access_token}x` };
  const me = unwrap(await cairn.GET("/v1/me"));
  assert.equal(me.first_name, "Tess");
}

async function walkAList(cairn: Cairn) {
  const terms = items(async (next) => unwrap(await cairn.GET("/v1/glossary", { params: { query: { limit: 7, ...next } } })));
  const slugs: string[] = [];
  for await (const term of terms) slugs.push(term.slug);
  assert.ok(slugs.length > 7, `the glossary has more than one page: ${slugs.length} terms`);
  assert.equal(new Set(slugs).size, slugs.length, "no term comes twice");
}

async function completeALesson(cairn: Cairn) {
  const { items: roadmaps } = unwrap(await cairn.GET("/v1/roadmaps"));
  const roadmap_id = roadmaps[0]?.id;
  assert.ok(roadmap_id, "there is a roadmap");
  const tree = unwrap(await cairn.GET("/v1/roadmaps/{roadmap_id}", { params: { path: { roadmap_id } } }));
  const lesson = tree.stages.flatMap((stage) => stage.lessons).find((l) => !l.is_locked && l.completion === "manual");
  assert.ok(lesson, "there is a lesson to complete");

  const path = { lesson_id: lesson.id };
  const change = unwrap(await cairn.PUT("/v1/lessons/{lesson_id}/completion", { params: { path } }));
  assert.equal(change.status, "completed");
  const mark = change.progress.find((progress) => progress.roadmap_id === roadmap_id);
  assert.ok(mark, "the change names the roadmap that it moves");
  const progress = unwrap(
    await cairn.GET("/v1/roadmaps/{roadmap_id}/progress", {
      params: { path: { roadmap_id }, query: { min_seq: mark.seq } },
    }),
  );
  assert.ok(progress.seq >= mark.seq, "the rollup includes the change");
  assert.equal(progress.lessons_completed, 1);
}

async function meetProblems(anonymous: Cairn, cairn: Cairn) {
  const path = { lesson_id: "00000000-0000-7000-8000-000000000000" };
  const missing = await problemOf(cairn.GET("/v1/lessons/{lesson_id}", { params: { path } }));
  assert.equal(missing.status, 404);
  assert.equal(missing.code, "lesson_not_found");

  const body = { email: "no address", password, first_name: "Tess", invite_code };
  const invalid = await problemOf(anonymous.POST("/v1/auth/register", { body }));
  assert.equal(invalid.status, 422);
  assert.equal(invalid.code, "invalid_body");
  // Beside which input to show it.
  assert.equal(invalid.errors?.[0]?.pointer, "/email");
}

async function createOnce(cairn: Cairn) {
  const header = { "Idempotency-Key": randomUUID() };
  const body = { title: "A page about tides", is_draft: true };
  const first = unwrap(await cairn.POST("/v1/projects", { params: { header }, body }));
  const again = unwrap(await cairn.POST("/v1/projects", { params: { header }, body }));
  assert.equal(again.id, first.id, "the same key gets the same answer");
  const { items: mine } = unwrap(await cairn.GET("/v1/me/projects"));
  assert.equal(mine.length, 1, "nothing is created twice");

  const other = { title: "Another page" };
  const reused = await problemOf(cairn.POST("/v1/projects", { params: { header }, body: other }));
  assert.equal(reused.status, 409);
  assert.equal(reused.code, "idempotency_key_reused");
}

async function followAReply(cairn: Cairn) {
  const { reply_id } = unwrap(
    await cairn.POST("/v1/tools/{tool_type}/messages", {
      params: { path: { tool_type: "assistant" }, header: { "Idempotency-Key": randomUUID() } },
      body: { message: "stub:words=40,gap=50 Why does content come before layout?" },
    }),
  );

  let text = "";
  let lastEventId: string | null = null;
  let connections = 0;
  let isFinished = false;
  while (!isFinished) {
    assert.ok(++connections <= 5, "the stream does not come to its end");
    let received = 0;
    for await (const { id, event } of replyEvents(cairn, reply_id, lastEventId)) {
      lastEventId = id;
      if (event.type === "chunk") text += event.text;
      else if (event.type === "restart") text = "";
      else isFinished = true;
      // The connection is lost half way, once, on purpose.
      if (connections === 1 && ++received === 3) break;
    }
  }

  assert.ok(connections > 1, "the stream was followed over more than one connection");
  const reply = unwrap(await cairn.GET("/v1/replies/{reply_id}", { params: { path: { reply_id } } }));
  assert.equal(reply.state, "completed");
  assert.equal(text, reply.text, "the text is whole and has nothing twice");
}

async function editALesson(anonymous: Cairn) {
  const { tokens } = unwrap(await anonymous.POST("/v1/auth/login", { body: { email: adminEmail, password } }));
  const admin = connectAs(baseUrl, new Session(anonymous, tokens));
  const { items: lessons } = unwrap(await admin.GET("/v1/admin/lessons", { params: { query: { limit: 1 } } }));
  const lesson_id = lessons[0]?.id;
  assert.ok(lesson_id, "there is a lesson to edit");

  const read = await admin.GET("/v1/admin/lessons/{lesson_id}", { params: { path: { lesson_id } } });
  const etag = read.response.headers.get("ETag");
  assert.ok(etag, "a lesson has a version");
  const header = { "If-Match": etag };
  const body = { summary: `Edited from TypeScript, ${randomUUID()}.` };
  const edit = () => admin.PATCH("/v1/admin/lessons/{lesson_id}", { params: { path: { lesson_id }, header }, body });
  assert.equal(unwrap(await edit()).summary, body.summary);

  const stale = await problemOf(edit());
  assert.equal(stale.status, 412);
  assert.equal(stale.code, "version_mismatch");
}

async function readUnchanged(cairn: Cairn) {
  const first = await cairn.GET("/v1/settings");
  const etag = first.response.headers.get("ETag");
  assert.ok(etag, "settings have an ETag");
  const again = await cairn.GET("/v1/settings", { params: { header: { "If-None-Match": etag } } });
  assert.equal(again.response.status, 304);
}

/** A service that is busy at first, which a real one is too rarely to wait for. */
async function waitWhileBusy() {
  let calls = 0;
  const busyOnce = async () =>
    ++calls === 1 ? new Response(null, { status: 503, headers: { "Retry-After": "0" } }) : new Response();
  const response = await retryingFetch(new Request(baseUrl), busyOnce);
  assert.deepEqual([response.status, calls], [200, 2]);
}

async function main() {
  const anonymous = connect(baseUrl);
  const session = await register(anonymous);
  const cairn = connectAs(baseUrl, session);
  await refresh(session, cairn);
  await walkAList(cairn);
  await completeALesson(cairn);
  await meetProblems(anonymous, cairn);
  await createOnce(cairn);
  await followAReply(cairn);
  await editALesson(anonymous);
  await readUnchanged(cairn);
  await waitWhileBusy();
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
