//! A database of whose locale only ASCII letters have upper and lower case (`initdb --locale=C`).

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::dev::Dev;
use crate::support::Sandbox;

const PASSWORD: &str = "Длинный-пароль-2026";

const COURSE: &str = "
version: 1
modules:
  - slug: buttons
    title: КНОПКИ И ССЫЛКИ
    lessons:
      - slug: big-buttons
        title: КРУПНЫЕ КНОПКИ
        summary: Кнопка видна издалека.
        body: Размер задаётся СТИЛЕМ. Ёлка здесь ни при чём.
        duration_minutes: 5
roadmaps:
  - slug: russian
    title: Вёрстка
    stages:
      - slug: first
        title: Начало
        lessons: [{ lesson: big-buttons }]
";

/// Who uses the API, signed in or not.
struct Person {
    client: Client,
    url: String,
    token: Option<String>,
}

impl Person {
    async fn post(&self, path: &str, body: Value) -> Response {
        self.client.post(format!("{}/v1{path}", self.url)).json(&body).send().await.unwrap()
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("{}/v1{path}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.client.get(url).bearer_auth(self.token.as_ref().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} {query:?}");
        answer.json().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capitals_of_other_alphabets_make_no_difference_with_the_locale_c() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let sandbox = Sandbox::with_empty_database_in("C").await;
    let folded: String = sqlx::query_scalar("SELECT lower('Я')").fetch_one(&sandbox.pool().await).await.unwrap();
    assert_eq!(folded, "Я", "the database knows other capitals than those of ASCII");
    let dev = Dev::start(&sandbox);
    sandbox.write("russian.yaml", COURSE);
    sandbox.run(&["import", "russian.yaml"]).ok();
    let invite = sandbox.run(&["invite", "create", "--uses", "2"]);
    let invite = invite.ok().lines().last().unwrap().to_owned();

    let client = Client::builder().no_proxy().build().unwrap();
    let mut person = Person { client, url: dev.url.clone(), token: None };
    let register = |email: &str| json!({ "email": email, "password": PASSWORD, "first_name": "Ольга", "last_name": "ЁЖИКОВА", "invite_code": invite });
    let answer = person.post("/auth/register", register("Ольга.Ämtler@ПОЧТА.example")).await;
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    // The same address in another writing belongs to the same account.
    let answer = person.post("/auth/register", register("ОЛЬГА.ämtler@почта.EXAMPLE")).await;
    assert_eq!(answer.status(), 409);
    for email in ["ольга.ämtler@почта.example", "ОЛЬГА.ÄMTLER@xn--80a1acny.example", "Ольга.Ämtler@ПОЧТА.example"]
    {
        let answer = person.post("/auth/login", json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status(), 200, "{email}");
        let session: Value = answer.json().await.unwrap();
        assert_eq!(session["user"]["email"], "Ольга.Ämtler@ПОЧТА.example", "it is shown as it was typed");
        person.token = session["tokens"]["access_token"].as_str().map(str::to_owned);
    }

    for question in ["кнопка", "КНОПКАМИ", "Крупная кнопка", "стилей", "елка", "ЁЛКИ", "издалека"]
    {
        let found = person.get("/search", &[("q", question), ("type", "lesson")]).await;
        let slugs: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| &item["slug"]).collect();
        assert!(slugs.contains(&&json!("big-buttons")), "{question}: {found}");
    }
    let misspelt = person.get("/search", &[("q", "кнопкка"), ("type", "lesson")]).await;
    assert_eq!(misspelt["items"][0]["slug"], "big-buttons", "{misspelt}");

    // Admins find people whatever the case of their names.
    let admin =
        sandbox.run_with_input(&["admin", "create", "--email", "admin@example.test", "--first-name", "А"], PASSWORD);
    admin.ok();
    let answer = person.post("/auth/login", json!({ "email": "ADMIN@example.test", "password": PASSWORD })).await;
    let session: Value = answer.json().await.unwrap();
    person.token = session["tokens"]["access_token"].as_str().map(str::to_owned);
    for name in ["ёжикова", "ЁЖИКОВА", "ОЛЬГА", "ÄMTLER"] {
        let found = person.get("/admin/users", &[("q", name)]).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{name}: {found}");
    }

    let doctor = sandbox.run(&["doctor"]);
    assert!(doctor.out.contains("locale C\n"), "{doctor:?}");
    assert_eq!(dev.stop(), 0);
    assert_eq!(sandbox.run(&["verify", "--while-running"]).ok(), "verify: no differences\n");
}
