//! The learning content: exact values, all tables or none, and what is never touched.

use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use serde_json::{Value, json};

use crate::support::{ContentApi, TestNight, execute_on, rows_on};

const STAGE: Stage = Stage::LearningContentReplication;

async fn try_replicate(night: &TestNight, answer: &Value) -> Result<StageOutcome, Error> {
    let api = ContentApi::answering(answer.clone()).await;
    night.try_run(STAGE, &[("LCMS_API_URL", &api.url()), ("LCMS_API_KEY", ContentApi::KEY)]).await
}

async fn replicate(night: &TestNight, answer: &Value) -> StageOutcome {
    try_replicate(night, answer).await.unwrap_or_else(|error| panic!("{error}"))
}

fn content() -> Value {
    // More digits than a float holds.
    let delta: Value = serde_json::from_str("0.12345678901234567890123456789").unwrap();
    json!({
        "areas": [{"id": "area1", "name": "Données"}],
        "attachments": [{"id": "att1", "type": "image", "size": 12345678901234567_u64, "challengeId": "ch1"}],
        "competences": [{"id": "comp1", "index": "1.1", "name_i18n": {"fr": "Chercher", "en": "Search"}, "areaId": "area1"}],
        "tubes": [{"id": "tube1", "name": "@web", "competenceId": "comp1"}],
        "skills": [{"id": "sk1", "name": "@web1", "level": 1, "pixValue": 4.00001, "tubeId": "tube1", "tutorialIds": ["t1", "t,2"]}],
        "challenges": [{
            "id": "ch1", "skillId": "sk1", "locales": ["fr", "fr-fr"], "embedUrl": "", "requireGafamWebsiteAccess": null,
            "createdAt": "2024-01-01T00:30:00.000Z", "area": ["France", "Monde"], "delta": delta,
            "instruction": "a tab\t, a line\n and \\N",
            "urlsToConsult": ["https://x.example/?a=1,2", "", "{\"q\"}", "NULL"]
        }],
        "courses": [{"id": "co1", "name": "Test"}],
        "tutorials": [{"id": "t1", "title": "T"}],
        "frameworks": [{"id": "unknown lists are passed over"}]
    })
}

#[tokio::test]
async fn values_arrive_as_the_api_wrote_them() {
    let night = TestNight::new().await;
    let outcome = replicate(&night, &content()).await;

    assert_eq!(outcome.tables.len(), 8);
    assert!(outcome.tables.iter().all(|table| table.treatment == "content" && table.rows == 1));
    assert_eq!(
        night.warehouse.one(r#"select instruction, area, "createdAt" at time zone 'UTC', "skillIds", "skillCount", languages from challenges"#).await,
        "a tab\t, a line\n and \\N|France|2024-01-01 00:30:00|{sk1}|1|{fr,fr-fr}"
    );
    assert_eq!(
        night.warehouse.rows(r#"select unnest("urlsToConsult") from challenges"#).await,
        ["https://x.example/?a=1,2", "", "{\"q\"}", "NULL"]
    );
    assert_eq!(
        night.warehouse.one(r#"select "requireGafamWebsiteAccess", "autoReply", shuffled, focus, "hasEmbedUrl", timer is null, "secondSkillId" is null from challenges"#).await,
        "f|f|f|f|f|t|t"
    );
    assert_eq!(night.warehouse.one("select size from attachments").await, "12345678901234567");
    assert_eq!(night.warehouse.one("select delta from challenges").await, "0.12345678901234567890123456789");
    assert_eq!(
        night.warehouse.one(r#"select name, code, title, origin from competences"#).await,
        "Chercher|1.1|Chercher|"
    );
    assert_eq!(
        night.warehouse.one(r#"select "pixValue", "tutorialIds"[2], hint is null from skills"#).await,
        "4.00001|t,2|t"
    );
    assert_eq!(
        night.warehouse.rows("select indexname from pg_indexes where schemaname = 'public' and indexname like '%idx' order by 1").await,
        ["challenges_firstSkillId_idx", "competences_areaId_idx", "skills_tubeId_idx", "tubes_competenceId_idx", "tutorials_title_idx"]
    );
}

#[tokio::test]
async fn each_table_is_told_on_the_connection_and_at_the_time_at_which_it_was_brought() {
    let night = TestNight::new().await;
    let many: Vec<Value> = (0..10_000).map(|nth| json!({"id": format!("id {nth}"), "name": "n"})).collect();
    let mut answer = content();
    for list in ["areas", "courses", "tubes"] {
        answer[list] = json!(many);
    }
    replicate(&night, &answer).await;
    let told = "select count(*), count(distinct table_name), min(connection), max(connection) from nightferry.tables";
    assert_eq!(night.warehouse.one(told).await, "8|8|content 1|content 1");
    // The step ends when all are safe and the dead rows are away; the ledger is told afterwards.
    let spans = "spans as (select table_name, started_at, started_at + make_interval(secs => duration_ms / 1000.0) as ended_at from nightferry.tables)";
    let beside = format!(
        "with {spans} select table_name from spans, nightferry.steps
         where step = 'replace' and (spans.started_at < steps.started_at - interval '5 ms' or spans.ended_at > steps.ended_at)"
    );
    assert_eq!(night.warehouse.rows(&beside).await, [""; 0]);
    let at_once = format!(
        "with {spans} select a.table_name, b.table_name from spans a join spans b on a.table_name < b.table_name
         where least(a.ended_at, b.ended_at) - greatest(a.started_at, b.started_at) > interval '50 ms'"
    );
    assert_eq!(night.warehouse.rows(&at_once).await, [""; 0]);
}

#[tokio::test]
async fn a_second_night_brings_every_table_to_the_new_rows_under_the_eyes_of_a_reader() {
    let night = TestNight::new().await;
    let mut answer = content();
    answer["areas"] =
        json!([{"id": "gone", "name": "g"}, {"id": "same", "name": "s"}, {"id": "changed", "name": "old"}]);
    replicate(&night, &answer).await;
    night
        .warehouse_sql(
            r#"create view "areas of BI" as select id, name from areas;
               create table notes (area text references areas (id) on delete cascade, note text);
               insert into notes values ('same', 'mine'), ('changed', 'mine too')"#,
        )
        .await;
    let same_before = night.warehouse.one("select ctid, xmin from areas where id = 'same'").await;
    // A reader in an open transaction, as a long query of an analyst: it neither waits nor keeps the stage waiting.
    let mut reader = night.warehouse.connect().await;
    execute_on(&mut reader, "begin isolation level repeatable read").await;
    assert_eq!(rows_on(&mut reader, "select count(*) from areas").await, ["3"]);

    answer["areas"] =
        json!([{"id": "same", "name": "s"}, {"id": "changed", "name": "new"}, {"id": "new", "name": "n"}]);
    replicate(&night, &answer).await;

    assert_eq!(rows_on(&mut reader, "select name from areas where id = 'changed'").await, ["old"]);
    assert_eq!(
        night.warehouse.rows(r#"select * from "areas of BI" order by id"#).await,
        ["changed|new", "new|n", "same|s"]
    );
    assert_eq!(night.warehouse.one("select count(*) from notes").await, "2");
    assert_eq!(
        night.warehouse.one("select ctid, xmin from areas where id = 'same'").await,
        same_before,
        "untouched"
    );
}

#[tokio::test]
async fn an_empty_or_missing_list_of_a_table_that_had_rows_is_refused_and_nothing_changes() {
    let night = TestNight::new().await;
    replicate(&night, &content()).await;
    let mut answer = content();
    answer["areas"][0]["name"] = json!("changed");
    answer["courses"] = json!([]);
    answer["tutorials"] = json!(null);
    answer.as_object_mut().unwrap().remove("skills");

    let error = try_replicate(&night, &answer).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    for part in ["courses (empty)", "tutorials (missing)", "skills (missing)"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(night.warehouse.one("select name from areas").await, "Données");
    assert_eq!(night.warehouse.one("select count(*) from courses").await, "1");
    for nothing in [json!({}), json!(null)] {
        assert_eq!(try_replicate(&night, &nothing).await.unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[tokio::test]
async fn a_list_that_never_had_rows_may_be_empty_or_missing() {
    let night = TestNight::new().await;
    let mut answer = content();
    answer["courses"] = json!([]);
    answer.as_object_mut().unwrap().remove("tutorials");
    for _ in 0..2 {
        let outcome = replicate(&night, &answer).await;
        assert_eq!(outcome.tables.len(), 7);
        assert_eq!(outcome.skipped[0].object, "content table tutorials");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_a_row_is_named_and_nothing_changes() {
    let night = TestNight::new().await;
    replicate(&night, &content()).await;
    let mut answer = content();
    answer["areas"][0]["name"] = json!("changed");
    answer["tubes"] = json!([{"id": "tube1"}, {"name": "without id"}]);
    let error = try_replicate(&night, &answer).await.unwrap_err();
    assert!(error.to_string().contains("content table tubes, record 2: it has no id"), "{error}");
    answer["tubes"] = json!([{"id": "tube1"}]);
    answer["skills"] = json!([{"id": "sk1", "level": "high"}]);
    let error = try_replicate(&night, &answer).await.unwrap_err();
    assert!(
        error.to_string().contains("content table skills, record 1: id \"sk1\", column \"level\""),
        "{error}"
    );
    assert_eq!(night.warehouse.one("select name from areas").await, "Données");
}

#[tokio::test]
async fn a_table_that_is_not_ours_is_refused_and_left_alone() {
    let night = TestNight::new().await;
    night
        .warehouse_sql(
            "create table courses (id text primary key, name text); insert into courses values ('1', 'BI')",
        )
        .await;
    let error = try_replicate(&night, &content()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("public.courses: it was there before"), "{error}");
    assert_eq!(night.warehouse.rows("select * from courses").await, ["1|BI"]);
    assert_eq!(night.warehouse.one("select to_regclass('public.areas') is null").await, "t");
}

#[tokio::test]
async fn a_table_that_the_source_brought_is_refused() {
    let night = TestNight::new().await;
    replicate(&night, &content()).await;
    night
        .warehouse_sql(
            "insert into nightferry.generations (run_id, mode, state) select run_id, 'in_place', 'live' from nightferry.runs limit 1;
             insert into nightferry.generation_objects
             select generation_id, 'table', 'public', 'courses', 'public.courses' from nightferry.generations",
        )
        .await;
    let error = try_replicate(&night, &content()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("public.courses: the source has a table of this name"), "{error}");
}

#[tokio::test]
async fn a_mapping_that_changed_gives_the_table_its_new_columns_and_an_analysts_view_stays() {
    let night = TestNight::new().await;
    replicate(&night, &content()).await;
    // As an earlier version would have made it.
    night
        .warehouse_sql(
            "alter table challenges drop column focus, add column older text;
             update nightferry.content_tables set columns = array_append(array_remove(columns, 'focus boolean'), 'older text')
             where table_name = 'challenges';
             create view mine as select id, area from challenges",
        )
        .await;
    replicate(&night, &content()).await;
    assert_eq!(night.warehouse.rows("select * from mine").await, ["ch1|France"]);
    let columns = "select string_agg(column_name, ',' order by 1) from information_schema.columns
                   where table_name = 'challenges' and column_name in ('focus', 'older')";
    assert_eq!(night.warehouse.one(columns).await, "focus");
}

#[tokio::test]
async fn without_an_api_the_stage_succeeds() {
    let night = TestNight::new().await;
    let outcome = night.run(STAGE, &[]).await;
    assert!(outcome.tables.is_empty());
}

#[tokio::test]
async fn a_refusing_api_is_not_asked_again_and_its_key_is_nowhere() {
    let night = TestNight::new().await;
    let api = ContentApi::answering(content()).await;
    let key = "wrong-k3y-of-this-test";
    let error =
        night.try_run(STAGE, &[("LCMS_API_URL", &api.url()), ("LCMS_API_KEY", key)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let ledger = night.warehouse.rows("select s::text from nightferry.stages s").await.join("\n");
    assert!(!format!("{error} {error:?} {ledger}").contains(key));
}

#[tokio::test]
async fn an_api_that_fails_or_hangs_may_be_asked_again() {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers};
    let night = TestNight::new().await;
    let late = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(60));
    for (answer, kind) in [
        (ResponseTemplate::new(503), ErrorKind::Unavailable),
        (ResponseTemplate::new(429), ErrorKind::Unavailable),
        (ResponseTemplate::new(200).set_body_string("<html>maintenance</html>"), ErrorKind::Unavailable),
        (late, ErrorKind::Timeout),
    ] {
        let server = MockServer::start().await;
        Mock::given(matchers::header("client", "the-app")).respond_with(answer).mount(&server).await;
        let extra = [
            ("LCMS_API_URL", server.uri()),
            ("LCMS_API_KEY", "k".into()),
            ("LCMS_TIMEOUT", "300ms".into()),
            ("APP", "the-app".into()),
        ];
        let extra = extra.each_ref().map(|(name, value): &(&str, String)| (*name, value.as_str()));
        let error = night.try_run(STAGE, &extra).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.kind().is_retryable());
    }
}
