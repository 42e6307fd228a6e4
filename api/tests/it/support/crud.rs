//! One test for the behaviour that all resources edited by admins have in common.

use serde_json::{Value, json};

use super::{Actor, Reply, TestApp};

/// Describes a resource by its paths and some of its values.
pub(crate) struct Case {
    /// The noun in activities and problem codes, such as `style`.
    pub(crate) noun: &'static str,
    /// The path of the admins' collection, such as `/v1/admin/styles`.
    pub(crate) path: &'static str,
    /// The path of the learners' collection, which contains what is published.
    pub(crate) learners: Option<&'static str>,
    /// Returns a valid body that creates the n-th resource. Its unique members differ from those of all other numbers.
    pub(crate) body: fn(usize) -> Value,
    /// The name of the unique member.
    pub(crate) unique: &'static str,
    /// A member that cannot be null, and another value for it.
    pub(crate) changed: (&'static str, Value),
    /// A member that can be null, and a value for it.
    pub(crate) cleared: Option<(&'static str, Value)>,
    /// Changes that are refused, each with the expected problem.
    pub(crate) refused: Vec<(Value, Vec<(&'static str, &'static str)>)>,
    /// Whether the collection can be reordered at `{path}/order`.
    pub(crate) ordered: bool,
}

/// Asserts everything that resources have in common. The collection must be empty.
pub(crate) async fn crud_contract(app: &TestApp, case: Case) {
    let contract = Contract { admin: app.admin("root").await, student: app.student("sam").await, app, case };
    let id = contract.creates().await;
    contract.changes(&id).await;
    contract.refuses(&id).await;
    contract.publishes(&id).await;
    contract.deletes_and_restores(&id).await;
    contract.records(&id).await;
    contract.lists().await;
    if contract.case.ordered {
        contract.reorders().await;
    }
    app.run_jobs().await;
}

struct Contract<'a> {
    app: &'a TestApp,
    case: Case,
    admin: Actor,
    student: Actor,
}

impl Contract<'_> {
    /// The path of a resource. Those of a nested collection (`/v1/admin/roadmaps/{roadmap_id}/stages`) have paths of their
    /// own (`/v1/admin/stages/{stage_id}`).
    fn at(&self, id: &str) -> String {
        let segments: Vec<&str> = self.case.path.split('/').collect();
        match segments[..] {
            ["", "v1", "admin", _, parent, items] if parent.parse::<uuid::Uuid>().is_ok() => {
                format!("/v1/admin/{items}/{id}")
            }
            _ => format!("{}/{id}", self.case.path),
        }
    }

    fn not_found(&self) -> String {
        format!("{}_not_found", self.case.noun)
    }

    async fn create(&self, n: usize) -> Value {
        self.admin.post(self.case.path, (self.case.body)(n)).await.expect(201).json
    }

    async fn get(&self, id: &str) -> Value {
        self.admin.get(&self.at(id)).await.expect(200).json
    }

    /// A request that changes the resource in its current version.
    async fn act(&self, id: &str, action: &str) -> Reply {
        let version = etag(&self.get(id).await);
        let path = format!("{}/{action}", self.at(id));
        self.admin.call(poem::http::Method::POST, &path).header("If-Match", &version).await
    }

    async fn delete(&self, id: &str) -> Reply {
        let version = etag(&self.get(id).await);
        self.admin.delete(&self.at(id)).header("If-Match", &version).await
    }

    async fn patch(&self, id: &str, changes: Value) -> Reply {
        let version = etag(&self.get(id).await);
        self.admin.patch(&self.at(id), changes).header("If-Match", &version).await
    }

    /// A creation returns the location, can be repeated, and refuses a name that exists.
    async fn creates(&self) -> String {
        let (path, body) = (self.case.path, (self.case.body)(1));
        let create = |body| self.admin.post(path, body).header("Idempotency-Key", "first");
        let created = create(body.clone()).await.expect(201);
        let id = id_of(&created.json);
        assert_eq!(created.header("location"), self.at(&id));
        assert_eq!(created.header("etag"), "\"1\"");
        let again = create(body.clone()).await.expect(201);
        assert_eq!((again.header("location"), &again.json), (created.header("location"), &created.json));
        create((self.case.body)(2)).await.expect(409).problem("idempotency_key_reused");
        let pointer = format!("/{}", self.case.unique);
        let twice = self.admin.post(path, body).await.expect(409);
        twice.problem("value_taken").blames(&[(&pointer, "taken")]);

        let read = self.admin.get(created.header("location")).await.expect(200);
        assert_eq!(read.header("etag"), "\"1\"");
        assert_part(&created.json, &read.json);
        let listed = self.admin.get(path).await.expect(200).json;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        assert_part(&listed["items"][0], &created.json);
        let unknown = self.at(&cairn_core::clock::new_id().to_string());
        self.admin.get(&unknown).await.expect(404).problem(&self.not_found());
        let changes = json!({ self.case.changed.0: self.case.changed.1 });
        let update = self.admin.patch(&unknown, changes).header("If-Match", "\"1\"").await;
        update.expect(404).problem(&self.not_found());
        id
    }

    /// A change names the version that it changes, and changes the members that it names and nothing else.
    async fn changes(&self, id: &str) {
        let path = self.at(id);
        let (member, value) = &self.case.changed;
        let (before, changes) = (self.get(id).await, json!({ *member: value }));
        let missing = self.admin.patch(&path, changes.clone()).invalid().await;
        missing.expect(428).problem("precondition_required");
        for malformed in ["1", "*", "W/\"1\"", "\"x\"", ""] {
            let call = self.admin.patch(&path, changes.clone()).invalid().header("If-Match", malformed);
            call.await.expect(400).problem("malformed_parameter");
        }
        let stale = self.admin.patch(&path, changes.clone()).header("If-Match", "\"7\"").await;
        stale.expect(412).problem("version_mismatch");
        assert_eq!(self.get(id).await, before, "nothing is changed by what is refused");

        let updated = self.patch(id, changes.clone()).await.expect(200);
        assert_eq!((updated.header("etag"), &updated.json["version"]), ("\"2\"", &json!(2)));
        assert_eq!(&updated.json[*member], value);
        for (name, new) in updated.json.as_object().unwrap() {
            let follows = [*member, "version", "updated_at"].contains(&name.as_str());
            assert!(follows || &before[name] == new, "{name} was changed too");
        }
        let same = self.patch(id, changes).await.expect(200);
        assert_eq!(same.json, updated.json, "a change to what is so already is none");
        let empty = self.patch(id, json!({})).await.expect(200);
        assert_eq!(empty.json, updated.json);

        if let Some((member, value)) = &self.case.cleared {
            let set = self.patch(id, json!({ *member: value })).await.expect(200).json;
            assert_eq!(&set[*member], value);
            let kept = self.patch(id, json!({})).await.expect(200).json;
            assert_eq!(&kept[*member], value, "what is left out stays");
            let cleared = self.patch(id, json!({ *member: null })).await.expect(200).json;
            assert_eq!(cleared[*member], Value::Null);
        }
    }

    async fn refuses(&self, id: &str) {
        let (member, _) = self.case.changed;
        let null = (json!({ member: null }), vec![(format!("/{member}"), "wrong_type".to_owned())]);
        let owned = |blames: &[(&str, &str)]| {
            blames.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect::<Vec<_>>()
        };
        let refused = self.case.refused.iter().map(|(changes, blames)| (changes.clone(), owned(blames)));
        for (changes, blames) in refused.chain([null]) {
            let version = etag(&self.get(id).await);
            let call = self.admin.patch(&self.at(id), changes).invalid().header("If-Match", &version);
            let blames: Vec<(&str, &str)> = blames.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
            call.await.expect(422).problem("invalid_body").blames(&blames);
        }
    }

    /// Learners see published resources only.
    async fn publishes(&self, id: &str) {
        let Some(learners) = self.case.learners else { return };
        let path = format!("{learners}/{id}");
        let seen = async || self.student.get(learners).await.expect(200).json["items"].as_array().unwrap().len();
        self.student.get(&path).await.expect(404).problem(&self.not_found());
        assert_eq!(seen().await, 0, "a draft is not listed");
        assert_eq!(self.act(id, "publish").await.expect(200).json["publication"], "published");
        self.student.get(&path).await.expect(200);
        assert_eq!(seen().await, 1);
        assert_eq!(self.act(id, "archive").await.expect(200).json["publication"], "archived");
        self.student.get(&path).await.expect(404).problem(&self.not_found());
        assert_eq!(seen().await, 0);
        self.act(id, "publish").await.expect(200);
    }

    /// Learners no longer see a deleted resource. Its name is free, and as long as it stays free, the resource can be
    /// restored.
    async fn deletes_and_restores(&self, id: &str) {
        self.admin.delete(&self.at(id)).invalid().await.expect(428).problem("precondition_required");
        self.admin.delete(&self.at(id)).header("If-Match", "\"1\"").await.expect(412).problem("version_mismatch");
        self.delete(id).await.expect(204);
        assert!(!self.get(id).await["deleted_at"].is_null(), "admins still see it");
        assert_eq!(self.admin.get(self.case.path).await.expect(200).json["items"], json!([]));
        let deleted = self.admin.get(&format!("{}?deleted=true", self.case.path)).await.expect(200).json;
        assert_eq!(deleted["items"][0]["id"], *id);
        if let Some(learners) = self.case.learners {
            self.student.get(&format!("{learners}/{id}")).await.expect(404).problem(&self.not_found());
        }
        let (member, value) = &self.case.changed;
        self.patch(id, json!({ *member: value })).await.expect(409).problem("resource_deleted");

        let successor = id_of(&self.create(1).await);
        self.act(id, "restore").await.expect(409).problem("value_taken");
        self.delete(&successor).await.expect(204);
        let restored = self.act(id, "restore").await.expect(200).json;
        assert_eq!(restored["deleted_at"], Value::Null);
        assert_eq!(self.act(id, "restore").await.expect(200).json, restored, "restoring again changes nothing");
        self.delete(id).await.expect(204);
    }

    /// Every change has recorded one activity with the values before and after.
    async fn records(&self, id: &str) {
        self.app.run_jobs().await;
        let rows: Vec<(String, uuid::Uuid, Value)> = sqlx::query_as(
            "SELECT action, actor_id, metadata FROM activity_log WHERE target_id = $1 ORDER BY occurred_at, id",
        )
        .bind(id.parse::<uuid::Uuid>().unwrap())
        .fetch_all(self.app.app.pool())
        .await
        .unwrap();
        assert!(rows.iter().all(|(_, actor, _)| *actor == self.admin.id));
        let action = |verb| format!("{}.{verb}", self.case.noun);
        let (member, value) = &self.case.changed;
        let (_, _, created) = rows.iter().find(|(name, ..)| *name == action("created")).unwrap();
        assert_eq!(created["after"][self.case.unique], (self.case.body)(1)[self.case.unique]);
        let (_, _, updated) = rows.iter().find(|(name, ..)| *name == action("updated")).unwrap();
        assert_eq!(updated["after"], json!({ *member: value }));
        assert_eq!(updated["before"], json!({ *member: created["after"][*member] }), "only what differs");
        let count = |verb| rows.iter().filter(|(name, ..)| *name == action(verb)).count();
        assert_eq!((count("created"), count("deleted"), count("restored")), (1, 2, 1));
        let changes = if self.case.cleared.is_some() { 3 } else { 1 };
        assert_eq!(count("updated"), changes, "what changes nothing is not recorded");
        if self.case.learners.is_some() {
            assert_eq!((count("published"), count("archived")), (2, 1));
        }
    }

    /// Pages have a total order that does not change while resources are added.
    async fn lists(&self) {
        let mut expected = Vec::new();
        for n in 10..17 {
            expected.push(id_of(&self.create(n).await));
        }
        let (mut seen, mut cursor, mut added) = (Vec::new(), None, false);
        loop {
            let query = match &cursor {
                Some(cursor) => format!("{}?limit=2&cursor={cursor}", self.case.path),
                None => format!("{}?limit=2", self.case.path),
            };
            let page = self.admin.get(&query).await.expect(200).json;
            seen.extend(page["items"].as_array().unwrap().iter().map(id_of));
            if !added {
                self.create(17).await;
                added = true;
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert!(expected.iter().all(|id| seen.iter().filter(|seen| *seen == id).count() == 1), "{seen:?}");
        for bad in ["x", "W10", "bnVsbA"] {
            let call = self.admin.get(&format!("{}?cursor={bad}", self.case.path));
            call.await.expect(400).problem("malformed_parameter").blames(&[("cursor", "malformed")]);
        }
    }

    async fn reorders(&self) {
        let path = format!("{}/order", self.case.path);
        let listed = async || -> Vec<String> {
            let page = self.admin.get(&format!("{}?limit=100", self.case.path)).await.expect(200).json;
            page["items"].as_array().unwrap().iter().map(id_of).collect()
        };
        let put = |ids: Vec<String>| self.admin.put(&path).json(json!({ "ids": ids }));
        let mut order = listed().await;
        order.reverse();
        put(order[1..].to_vec()).await.expect(409).problem("order_mismatch");
        put([&order[..], &order[..1]].concat()).await.expect(409).problem("order_mismatch");
        assert_ne!(listed().await, order, "a refused order changes nothing");
        put(order.clone()).await.expect(204);
        assert_eq!(listed().await, order);
        put(order.clone()).await.expect(204);
        assert_eq!(listed().await, order);
    }
}

/// Asserts that all members of `part` are also in `whole`: lists show a summary, and an answer can show more than it takes.
fn assert_part(part: &Value, whole: &Value) {
    for (name, value) in part.as_object().unwrap() {
        assert_eq!(value, &whole[name], "{name}");
    }
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

fn etag(resource: &Value) -> String {
    format!("\"{}\"", resource["version"])
}
