//! The dashboard: who may see and do what, names that would be markup, a warehouse that is away, four hundred nights.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nightferry::adapters::ledger::{Ledger, Origin};
use nightferry::adapters::queue::{Job, JobStatus, Queues};
use nightferry::ids::{RunId, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::web::{OPERATOR, READER, WebProcess};
use crate::support::{Proxy, TestNight, until};

const PAGES: [&str; 6] = [
    "/nights",
    "/nights/20261120T041000Z",
    "/tables",
    "/table?schema=public&name=users",
    "/indexes",
    "/queues",
];
const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// A night with an empty ledger.
async fn with_ledger() -> TestNight {
    let night = TestNight::new().await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    night
}

/// A proxy in front of its warehouse, and the warehouse's URL through it.
async fn through_a_proxy(night: &TestNight) -> (Proxy, String) {
    let proxy = Proxy::before(night.warehouse.port()).await;
    let url = night.warehouse.url_at(proxy.port());
    (proxy, url)
}

/// A night with four hundred before it.
async fn with_big_ledger() -> TestNight {
    let night = with_ledger().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/big_ledger.sql");
    night.warehouse.psql_file(&path);
    night
}

#[tokio::test]
async fn nobody_sees_anything_without_a_token() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    for path in PAGES.into_iter().chain(["/nothing", "/metrics", "/../nights", "//nights"]) {
        let machine = web.ask("GET", path, &[]).await;
        assert_eq!(machine.status, 401, "{path}: {}", machine.body);
        assert!(machine.header("www-authenticate").starts_with("Bearer"), "{machine:?}");
        let person = web.ask("GET", path, &[HTML]).await;
        assert_eq!(person.status, 303, "{path}");
        assert!(person.header("location").starts_with("/login?next=%2F"), "{person:?}");
        assert_eq!(person.body, "");
    }
    for path in ["/queues/pause", "/queues/resume", "/queues/retry", "/nights"] {
        assert_eq!(web.post(path, &[], &[("stage", "notification")]).await.status, 401, "{path}");
    }
    for header in [
        format!("Bearer {READER}x"),
        "Bearer".to_owned(),
        format!("Basic {READER}"),
        format!("Bearer {}", &READER[1..]),
    ] {
        assert_eq!(web.ask("GET", "/nights", &[("Authorization", &header)]).await.status, 401, "{header}");
    }
    for path in ["/nights", "/tables", "/indexes", "/metrics"] {
        assert_eq!(web.get(path, READER).await.status, 200, "{path}");
        assert_eq!(web.get(path, OPERATOR).await.status, 200, "{path}");
    }
    assert_eq!(web.get("/nothing", READER).await.status, 404);
    // What is open stays open, and says little.
    for path in ["/health", "/ready", "/", "/login"] {
        assert_eq!(web.ask("GET", path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(web.ask("GET", "/", &[HTML]).await.header("location"), "/nights");
    let log = web.log();
    assert!(!log.contains(READER) && !log.contains(OPERATOR), "{log}");
}

#[tokio::test]
async fn after_ten_wrong_tokens_no_other_from_there_is_looked_at_for_a_while() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let cookie = web.sign_in(READER).await;
    for attempt in 0..10 {
        let wrong = format!("wrong-token-number-{attempt}");
        let answer = if attempt % 2 == 0 {
            web.get("/nights", &wrong).await
        } else {
            web.post("/login", &[], &[("token", &wrong)]).await
        };
        assert_eq!(answer.status, 401, "{attempt}");
    }
    for token in ["wrong-token-number-11", READER] {
        let answer = web.post("/login", &[], &[("token", token)]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (429, ""), "{token}");
        let pause: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=61).contains(&pause), "{pause}");
        assert_eq!(web.get("/nights", token).await.status, 429);
    }
    let signed_in = web.ask("GET", "/nights", &[("Cookie", &cookie)]).await;
    assert_eq!(signed_in.status, 200, "who is in stays");
    let bearer = format!("Bearer {READER}");
    let from = |address| [("Authorization", bearer.as_str()), ("X-Forwarded-For", address)];
    assert_eq!(web.ask("GET", "/nights", &from("192.0.2.1, 192.0.2.2")).await.status, 200, "another address");
    assert_eq!(web.ask("GET", "/nights", &from("192.0.2.2, 127.0.0.1")).await.status, 429);
    assert_eq!(web.log().matches("web.too-many-wrong-tokens").count(), 1);
}

#[tokio::test]
async fn who_sends_half_of_a_form_is_let_go_and_keeps_nobody_out() {
    const HALF: &[u8] = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntoken";
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let mut idle = Vec::new();
    for _ in 0..550 {
        let mut stream = TcpStream::connect(("127.0.0.1", web.port)).await.unwrap();
        stream.write_all(HALF).await.unwrap();
        idle.push(stream);
    }
    assert_eq!(web.ask("GET", "/health", &[]).await.status, 200);
    let mut answer = String::new();
    idle[0].read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive in 5 s"), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_page() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let twice = web.get("/tables?page=1&page=2", READER).await;
    assert_eq!((twice.status, twice.header("content-type")), (400, "text/html; charset=utf-8"));
    assert!(twice.body.contains("The URL cannot be read") && twice.body.contains("<main"), "{}", twice.body);
    let no_form = web.ask("POST", "/login", &[("Content-Type", "text/plain")]).await;
    assert!(no_form.status == 415 && no_form.body.contains("The form cannot be read"), "{}", no_form.body);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_neither_paused_nor_made() {
    let night = with_ledger().await;
    let file = night.path("no-queue.sqlite");
    let web = WebProcess::of(&night, &[("QUEUE_FILE", file.to_str().unwrap())]).await;
    let operator = format!("Bearer {OPERATOR}");
    let answer =
        web.post("/queues/pause", &[("Authorization", &operator)], &[("stage", "notification")]).await;
    assert!(answer.status == 503 && answer.body.contains("there is no queue yet"), "{}", answer.body);
    assert!(!file.exists());
}

#[tokio::test]
async fn people_sign_in_once_and_are_led_to_where_they_wanted() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let sent = web.ask("GET", "/tables?q=a%22b&sort=rows", &[HTML]).await;
    let form = web.ask("GET", sent.header("location"), &[HTML]).await;
    assert!(form.body.contains(r#"name="next" value="/tables?q=a%22b&#38;sort=rows""#), "{}", form.body);
    assert!(form.body.contains(r#"type="password" autocomplete="current-password""#), "{}", form.body);

    let wrong = web.post("/login", &[], &[("token", "not-the-token")]).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    assert!(wrong.body.contains("This is not the token."));

    let fields = [("token", READER), ("next", "/tables?q=a%22b&sort=rows")];
    let right = web.post("/login", &[("Origin", &web.origin())], &fields).await;
    assert_eq!((right.status, right.header("location")), (303, "/tables?q=a%22b&sort=rows"));
    let set = right.header("set-cookie");
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Strict") && !set.contains("; Secure"),
        "{set}"
    );
    assert!(!set.contains(READER), "{set}");
    let behind_tls = web.post("/login", &[("X-Forwarded-Proto", "https")], &fields).await;
    assert!(behind_tls.header("set-cookie").contains("; Secure"));

    let cookie = right.cookie();
    assert_eq!(web.ask("GET", "/nights", &[("Cookie", &cookie)]).await.status, 200);
    for forged in [
        cookie.replace("reader", "operator"),
        format!("{cookie}x"),
        "nightferry=reader.9999999999.".to_owned(),
    ] {
        assert_eq!(web.ask("GET", "/nights", &[("Cookie", &forged)]).await.status, 401, "{forged}");
    }
    let elsewhere = web.post("/login", &[], &[("token", READER), ("next", "//evil.example/")]).await;
    assert_eq!(elsewhere.header("location"), "/nights");
    let planted = web.post("/login", &[("Origin", "https://evil.example")], &fields).await;
    assert_eq!((planted.status, planted.header("set-cookie")), (403, ""));

    let out = web.post("/logout", &[("Cookie", &cookie), ("Origin", &web.origin())], &[]).await;
    assert_eq!((out.status, out.header("location"), out.cookie().as_str()), (303, "/login", "nightferry="));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn every_answer_says_that_nothing_may_run_or_be_kept() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    for path in PAGES.into_iter().chain(["/nothing", "/login", "/ready"]) {
        let answer = web.get(path, READER).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        // The policy would silence them, and the page would look otherwise.
        for forbidden in ["<script", " style=", "javascript:", " onload=", "http://", "https://"] {
            assert!(!answer.body.contains(forbidden), "{path} has {forbidden}: {}", answer.body);
        }
    }
    let page = web.page("/nights").await;
    let style = page.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let answer = web.ask("GET", style, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(answer.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn the_head_alone_is_that_of_the_whole_answer() {
    let night = with_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let token = format!("Bearer {READER}");
    for path in ["/health", "/ready", "/", "/login", "/icon.svg", "/nights", "/metrics", "/nothing"] {
        let shown = [("Authorization", token.as_str())];
        let (whole, head) = (web.ask("GET", path, &shown).await, web.ask("HEAD", path, &shown).await);
        assert_eq!((head.status, &*head.body), (whole.status, ""), "{path}");
        assert_eq!(head.header("content-type"), whole.header("content-type"), "{path}");
    }
    assert_eq!(web.ask("HEAD", "/nights", &[]).await.status, 401);
}

#[tokio::test]
async fn only_operators_act_and_only_from_a_page_of_ours() {
    let night = with_ledger().await;
    let file = night.path("queue.sqlite");
    let extra = [("QUEUE_FILE", file.to_str().unwrap())];
    let queues = Queues::open(&night.config(&extra).queue).await.unwrap();
    let job = Job::first(RunId::from("20261120T041000Z".to_owned()), Stage::Notification, Origin::Schedule);
    assert!(queues.push(&job, Duration::ZERO).await.unwrap());
    assert!(queues.withdraw(&job, "no <b>room</b>").await.unwrap());
    let web = WebProcess::of(&night, &extra).await;
    let (reader, operator) = (web.sign_in(READER).await, web.sign_in(OPERATOR).await);
    let origin = web.origin();
    let stage = [("stage", "full-replication")];
    let paused = async || queues.paused().await.unwrap();

    let page = web.ask("GET", "/queues", &[("Cookie", &reader)]).await.body;
    assert!(page.contains(&job.id()) && page.contains("no &#60;b&#62;room&#60;/b&#62;"), "{page}");
    assert!(!page.contains("/queues/pause") && page.contains("operators' token"), "{page}");
    let refused = web.post("/queues/pause", &[("Cookie", &reader), ("Origin", &origin)], &stage).await;
    assert!(refused.status == 403 && refused.body.contains("Only operators"), "{}", refused.body);
    for from in [
        &[("Origin", "https://evil.example")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[],
    ] {
        let headers = [&[("Cookie", operator.as_str())], from].concat();
        let answer = web.post("/queues/pause", &headers, &stage).await;
        assert!(
            answer.status == 403 && answer.body.contains("not sent by a page of this process"),
            "{from:?}"
        );
    }
    assert_eq!(
        web.ask("GET", "/queues/pause?stage=full-replication", &[("Cookie", &operator)]).await.status,
        404
    );
    assert!(paused().await.is_empty());

    let ours = [("Cookie", operator.as_str()), ("Origin", origin.as_str())];
    let page = web.ask("GET", "/queues", &[("Cookie", &operator)]).await.body;
    assert!(page.contains("action=\"/queues/pause\"") && page.contains("action=\"/queues/retry\""), "{page}");
    let done = web.post("/queues/pause", &ours, &stage).await;
    assert_eq!((done.status, done.header("location")), (303, "/queues?done=pause"), "{}", done.body);
    assert_eq!(paused().await, [Stage::FullReplication]);
    let machine = [("Authorization", &*format!("Bearer {OPERATOR}"))];
    assert_eq!(web.post("/queues/resume", &machine, &stage).await.status, 303);
    assert!(paused().await.is_empty());

    let done = web.post("/queues/retry", &ours, &[("job", &job.id())]).await;
    assert_eq!(done.header("location"), "/queues?done=retry", "{}", done.body);
    let again = queues.find(&job.again(1).id()).await.unwrap().unwrap();
    assert_eq!(again.status, JobStatus::Waiting);
    let twice = web.post("/queues/retry", &ours, &[("job", &job.id())]).await;
    assert!(twice.status == 409 && twice.body.contains("was followed by"), "{}", twice.body);
    let unknown = web.post("/queues/retry", &ours, &[("job", "<x>")]).await;
    assert!(unknown.status == 404 && unknown.body.contains("there is no job"), "{}", unknown.body);
    let log = web.log();
    assert_eq!(log.matches("web.action").count(), 3, "{log}");
}

#[tokio::test]
async fn names_that_would_be_markup_are_shown_as_they_are_and_each_has_its_page() {
    let night = with_big_ledger().await;
    let web = WebProcess::of(&night, &[]).await;
    let list = web.page("/tables?sort=size").await;
    for name in [
        "&#60;script&#62;alert(1)&#60;/script&#62;",
        "&#34;&#62;&#60;img src=x onerror=alert(1)&#62;",
        "evil\\u{202e}gnp.exe",
        "tab\\u{9}and\\u{a}line",
        "{{7*7}}",
        "שלום",
    ] {
        assert!(list.contains(name), "{name}: {list}");
    }
    let links: BTreeSet<&str> = list
        .split("<a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with("/table?"))
        .collect();
    assert_eq!(links.len(), 50);
    for link in &links {
        let page = web.page(&link.replace("&#38;", "&")).await;
        assert!(page.contains("Rows, night after night") || page.contains("Rows added"), "{link}: {page}");
        harmless(link, &page);
    }
    let run = night.warehouse.one("select max(run_id) from nightferry.runs where status = 'succeeded'").await;
    let found = web.page("/tables?q=%3Cscript").await;
    assert!(found.contains("1 table ") && found.contains(r#"value="&#60;script""#), "{found}");
    for path in [
        "/nights",
        &format!("/nights/{run}"),
        "/tables",
        "/tables?q=%22%3E%3Cscript%3E",
        "/indexes",
        "/indexes?q=script&kind=%3Cb%3E",
    ] {
        harmless(path, &web.page(path).await);
    }
    // Nothing of what a URL says is a path, a number that is none, or more than one page.
    for path in [
        "/tables?page=-1",
        "/tables?page=99999999999999999999",
        "/nights?page=0",
        "/tables?q=%00%FF",
        "/indexes?q=%25_",
    ] {
        assert_eq!(web.get(path, READER).await.status, 200, "{path}");
    }
    for path in [
        "/nights/..%2F..%2Fetc%2Fpasswd",
        "/nights/%00",
        "/table?schema=public",
        "/table?name=%00",
        "/table?schema=a%27%3B--&name=b",
    ] {
        assert_eq!(web.get(path, READER).await.status, 404, "{path}");
    }
}

/// No tag but those of the templates, and nothing that turns the text around it.
fn harmless(path: &str, page: &str) {
    for forbidden in ["<script", "<img", "<b>v", "onerror=alert(1)>", "\u{202e}", "\t"] {
        assert!(!page.contains(forbidden), "{path} has {forbidden:?}: {page}");
    }
}

/// What a page may take: a tenth of a second; the tests' build is some times slower, and so is a machine that runs them all at once.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 100 });
const SIZE: usize = 300_000;

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was measured is what somebody runs this test for")]
async fn pages_are_fast_and_small_after_four_hundred_nights_of_two_thousand_tables() {
    let night = with_big_ledger().await;
    assert_eq!(night.warehouse.one("select count(*) from nightferry.tables").await, "800000");
    let web = WebProcess::of(&night, &[]).await;
    let run = night.warehouse.one("select max(run_id) from nightferry.runs where status = 'succeeded'").await;
    let night_page = format!("/nights/{run}");
    for path in [
        "/nights",
        "/nights?page=14",
        &night_page,
        "/tables",
        "/tables?sort=month&q=9&page=5",
        "/table?schema=public&name=table_700",
        "/indexes",
        "/indexes?kind=INDEX&q=object_1",
    ] {
        let mut fastest = LIMIT * 10;
        let mut size = 0;
        for _ in 0..5 {
            let start = Instant::now();
            size = web.page(path).await.len();
            fastest = fastest.min(start.elapsed());
        }
        println!("{path}: {} ms, {size} bytes", fastest.as_millis());
        assert!(fastest < LIMIT, "{path} took {fastest:?}");
        assert!(size < SIZE, "{path} has {size} bytes");
    }
    let page = web.page(&night_page).await;
    assert!(page.contains("<svg class=\"timeline\"") && page.contains("connection 5"), "{page}");
    assert!(page.contains("And 20 more") && page.contains("publish"), "{page}");
    let slow = web.page("/indexes").await;
    assert!(slow.contains("class=\"slower\""), "{slow}");
    let tables = web.page("/tables?q=table_1960").await;
    assert!(tables.contains(">incremental<") && tables.contains("+34,"), "{tables}");
}

#[tokio::test]
async fn a_real_night_is_on_every_page() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id int primary key, name text); create index users_by_name on users (name);
             insert into users select n, 'x' from generate_series(1, 4321) as n",
        )
        .await;
    std::fs::write(night.path("enrichment/10_seen.sql"), "-- needs:\nselect 1;").unwrap();
    let output = night.binary(&["run", "night"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let web = WebProcess::of(&night, &[]).await;
    let run = night.warehouse.one("select run_id from nightferry.runs").await;
    let nights = web.page("/nights").await;
    assert!(
        nights.contains(&format!("/nights/{run}")) && nights.contains("The warehouse holds the copy of"),
        "{nights}"
    );
    assert!(!nights.contains("http-equiv=\"refresh\""));
    let page = web.page(&format!("/nights/{run}")).await;
    for part in [
        "public.users",
        "users_by_name",
        "users_pkey",
        "4,321",
        "publish",
        "notification",
        "aria-label=\"Timeline: ",
        // The file of the enrichment: on its lane, and in a table of its own, since it is no index.
        "<title>enrichment 1</title>",
        "<title>10_seen.sql, ",
        "<rect class=\"e\"",
        "<bdi>10_seen.sql</bdi></th><td class=\"wide\">enrichment 1</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("public.<") && !page.contains("ENRICHMENT on"), "{page}");
    let story = night.binary(&["history", &run], &[]).await;
    let story = String::from_utf8(story.stdout).unwrap();
    assert!(story.contains("10_seen.sql") && !story.contains("public. "), "{story}");
    assert!(web.page("/tables").await.contains("4,321"));
    assert!(web.page("/table?schema=public&name=users").await.contains("4,321"));
    let indexes = web.page("/indexes").await;
    assert!(indexes.contains("users_by_name"));
    assert!(!indexes.contains("10_seen.sql") && !indexes.contains("ENRICHMENT"), "{indexes}");
    // A night that is at work is asked for again.
    night.warehouse_sql("update nightferry.runs set status = 'running', ended_at = null").await;
    until("the dashboard to see that a run is at work", async || {
        web.page("/nights").await.contains("http-equiv=\"refresh\"").then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_stage_by_hand_does_not_hide_that_the_night_failed() {
    let night = with_ledger().await;
    let run = |id: &str, origin: &str, stage: &str, status: &str| {
        format!(
            "insert into nightferry.runs (run_id, origin, host, version, status, started_at, ended_at)
                values ('{id}', '{origin}', 'h', '0', '{status}', to_timestamp('{id}', 'YYYYMMDD\"T\"HH24MISS'), to_timestamp('{id}', 'YYYYMMDD\"T\"HH24MISS'));
             insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at)
                values ('{id}', '{stage}', 1, '{status}', to_timestamp('{id}', 'YYYYMMDD\"T\"HH24MISS'), now());"
        )
    };
    night.warehouse_sql(&run("20261120T041000Z", "schedule", "full-replication", "failed")).await;
    night.warehouse_sql(&run("20261120T080000Z", "command", "notification", "succeeded")).await;
    let web = WebProcess::of(&night, &[]).await;
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains("nightferry_run_last_succeeded 0.0"), "{measures}");
    assert!(!measures.contains("last_success_timestamp_seconds{stage=\"night\"}"), "{measures}");

    // One that is taken up after its copy has not ended well: there is none.
    night.warehouse_sql(&run("20261120T090000Z", "restart", "notification", "succeeded")).await;
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains("nightferry_run_last_succeeded 0.0"), "{measures}");
    assert!(!measures.contains("last_success_timestamp_seconds{stage=\"night\"}"), "{measures}");

    // From its copy on, it has.
    night.warehouse_sql(&run("20261120T100000Z", "restart", "notification", "succeeded")).await;
    night
        .warehouse_sql(
            "insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at)
                select '20261120T100000Z', stage, 1, 'succeeded', '2026-11-20 10:00:00Z', now()
                from unnest(array['full-replication', 'incremental-replication', 'learning-content-replication']) as stage",
        )
        .await;
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains("nightferry_run_last_succeeded 1.0"), "{measures}");
    assert!(measures.contains("last_success_timestamp_seconds{stage=\"night\"}"), "{measures}");
}

#[tokio::test]
async fn what_each_try_left_out_is_listed_once() {
    let night = with_ledger().await;
    night
        .warehouse_sql(
            "insert into nightferry.runs (run_id, origin, host, version, status) values ('20261120T041000Z', 'schedule', 'h', '0', 'succeeded');
             insert into nightferry.stages (run_id, stage, attempt, status)
                select '20261120T041000Z', 'full-replication', attempt, case attempt when 3 then 'succeeded' else 'failed' end
                from generate_series(1, 3) as attempt;
             insert into nightferry.skipped (run_id, stage, attempt, object, reason)
                select run_id, stage, attempt, 'publication of ' || nth, 'not carried'
                from nightferry.stages, generate_series(1, 40) as nth",
        )
        .await;
    let web = WebProcess::of(&night, &[]).await;
    let page = web.page("/nights/20261120T041000Z").await;
    assert_eq!(page.matches("<bdi>publication of 7</bdi>").count(), 1, "{page}");
    assert!(!page.contains("more: see nightferry.skipped"), "{page}");
}

#[tokio::test]
async fn a_warehouse_that_is_away_is_one_sentence_and_comes_back() {
    let night = with_ledger().await;
    let (proxy, url) = through_a_proxy(&night).await;
    let web = WebProcess::of(&night, &[("TARGET_DATABASE_URL", &url)]).await;
    let ready = web.ask("GET", "/ready", &[]).await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"status":"ready","warehouse":"answers","queue":"answers"}"#)
    );
    web.page("/nights").await;
    let accepted = proxy.accepted();
    for _ in 0..20 {
        web.ask("GET", "/ready", &[]).await;
    }
    assert!(proxy.accepted() <= accepted + 1, "strangers cannot make it ask the warehouse again and again");

    proxy.cut();
    let away = until("the process to be unready", async || {
        let answer = web.ask("GET", "/ready", &[]).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(away.body, r#"{"status":"unready","warehouse":"away","queue":"answers"}"#);
    let page = web.get("/nights", READER).await;
    assert_eq!(page.status, 503, "{}", page.body);
    assert!(page.body.contains("<h1>No answer</h1>") && page.body.contains("What to do:"), "{}", page.body);
    assert!(!page.body.contains(&night.warehouse.password()));
    assert_eq!(web.ask("GET", "/health", &[]).await.status, 200);

    proxy.open();
    until("the process to be ready again", async || {
        (web.ask("GET", "/ready", &[]).await.status == 200).then_some(())
    })
    .await;
    web.page("/nights").await;
}

#[tokio::test]
async fn a_warehouse_that_is_silent_hides_neither_the_queues_nor_the_measures() {
    let night = with_ledger().await;
    let (proxy, url) = through_a_proxy(&night).await;
    let file = night.path("queue.sqlite");
    let extra = [("QUEUE_FILE", file.to_str().unwrap()), ("TARGET_DATABASE_URL", &url)];
    let queues = Queues::open(&night.config(&extra).queue).await.unwrap();
    let job = Job::first(RunId::from("20261120T041000Z".to_owned()), Stage::Notification, Origin::Schedule);
    assert!(queues.push(&job, Duration::ZERO).await.unwrap());
    assert!(queues.withdraw(&job, "no room").await.unwrap());
    let web = WebProcess::of(&night, &extra).await;
    proxy.silence();
    let page = web.get("/queues", READER).await;
    assert!(page.status == 200 && page.body.contains("no room"), "{}", page.body);

    // Prometheus waits for ten seconds.
    let asked = Instant::now();
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains("nightferry_up{component=\"warehouse\"} 0.0"), "{measures}");
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn all_that_it_asks_the_warehouse_it_asks_on_two_sessions() {
    let night = with_ledger().await;
    let (proxy, url) = through_a_proxy(&night).await;
    let web = WebProcess::of(&night, &[("TARGET_DATABASE_URL", &url)]).await;
    let paths = ["/nights", "/tables", "/indexes", "/metrics", "/ready", "/metrics"];
    for path in paths {
        assert_eq!(web.get(path, READER).await.status, 200, "{path}");
    }
    assert_eq!(proxy.accepted(), 1, "one after the other, they are asked on the same one");
    let paths = ["/nights", "/tables", "/indexes", "/metrics"].repeat(3);
    for answer in futures::future::join_all(paths.into_iter().map(|path| web.get(path, READER))).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(proxy.accepted() <= 2, "at once, on no more than two: {}", proxy.accepted());
    let names = "select distinct application_name from pg_stat_activity
        where datname = current_database() and application_name like 'nightferry %'";
    assert_eq!(night.warehouse.rows(names).await, ["nightferry web"]);
}

#[tokio::test]
async fn it_starts_while_all_is_away() {
    let night = TestNight::new().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = format!("redis://:s3cret@127.0.0.1:{nobody}/0");
    let extra = [("TARGET_DATABASE_URL", &*night.warehouse.url_at(nobody)), ("REDIS_URL", &redis)];
    let web = WebProcess::of(&night, &extra).await;
    assert_eq!(web.ask("GET", "/health", &[]).await.status, 200);
    let ready = web.ask("GET", "/ready", &[]).await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (503, r#"{"status":"unready","warehouse":"away","queue":"away"}"#)
    );
    for path in ["/nights", "/tables", "/queues"] {
        let answer = web.get(path, READER).await;
        assert!(answer.status == 503 && answer.body.contains("role=\"alert\""), "{path}: {}", answer.body);
        assert!(!answer.body.contains("s3cret"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_warehouse_without_a_ledger_or_with_an_older_one_says_what_to_do() {
    let night = TestNight::new().await;
    let web = WebProcess::of(&night, &[]).await;
    let none = web.get("/nights", READER).await;
    assert!(none.status == 503 && none.body.contains("the warehouse has no ledger yet"), "{}", none.body);
    assert!(none.body.contains("nightferry run night"), "{}", none.body);
    let queue = web.get("/queues", READER).await;
    assert!(queue.status == 503 && queue.body.contains("there is no queue yet"), "{}", queue.body);
    // It only reads: nothing was made, neither there nor here.
    assert_eq!(night.warehouse.one("select to_regnamespace('nightferry') is null").await, "t");
    assert!(!night.path("nightferry-queue.sqlite").exists());
    night.warehouse_sql("create schema nightferry; create table nightferry.runs (run_id text)").await;
    let older = web.get("/tables", READER).await;
    assert!(older.status == 503 && older.body.contains("older version of nightferry"), "{}", older.body);
    night.warehouse_sql("drop schema nightferry cascade").await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    assert!(web.page("/nights").await.contains("No run yet."));
}
