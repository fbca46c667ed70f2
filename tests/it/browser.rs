//! The dashboard in a real browser: wide and on a phone, light and dark, with the keyboard alone.

use std::path::Path;

use nightferry::adapters::ledger::Ledger;

use crate::support::TestNight;
use crate::support::browser::{Browser, Driver};
use crate::support::web::{OPERATOR, READER, WebProcess};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// The least ratio of the brightness of a text and of what it stands on (WCAG 2.2, 1.4.3), over all texts of the page.
const WORST_CONTRAST: &str = r"(() => {
    const parts = color => color.match(/[\d.]+/g).map(Number);
    const brightness = ([red, green, blue]) => {
        const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    };
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = parts(getComputedStyle(at).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    let worst = [21, ''];
    for (const element of document.querySelectorAll('main *, header *, footer')) {
        const says = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!says || element.closest('svg') || element.closest('.hidden')) continue;
        const [one, other] = [brightness(parts(getComputedStyle(element).color)), brightness(behind(element))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
    }
    return worst;
})()";

/// A warehouse with four hundred nights, and the dashboard on it.
async fn dashboard() -> (TestNight, WebProcess) {
    let night = TestNight::new().await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    night
        .warehouse
        .psql_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/big_ledger.sql"));
    let web = WebProcess::of(&night, &[]).await;
    (night, web)
}

async fn sign_in(browser: &Browser, web: &WebProcess, token: &str) {
    browser.go(&format!("{}/login", web.origin())).await;
    browser.keys(&format!("{token}{ENTER}")).await;
    crate::support::until("the browser to be signed in", async || {
        browser.url().await.ends_with("/nights").then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_can_be_read_wide_and_on_a_phone_light_and_dark() {
    let (night, web) = dashboard().await;
    let run = night.warehouse.one("select max(run_id) from nightferry.runs where status = 'succeeded'").await;
    let failed = night.warehouse.one("select max(run_id) from nightferry.runs where status = 'failed'").await;
    let (run, failed) = (format!("/nights/{run}"), format!("/nights/{failed}"));
    let pages = [
        "/nights",
        &run,
        &failed,
        "/tables",
        "/table?schema=public&name=table_700",
        "/indexes",
        "/queues",
        "/login",
    ];
    let driver = Driver::start();
    for width in [1400, 375] {
        let mut light = Vec::new();
        for scheme in ["light", "dark"] {
            let browser = driver.browser(width, scheme).await;
            sign_in(&browser, &web, READER).await;
            for (at, path) in pages.iter().enumerate() {
                browser.go(&format!("{}{path}", web.origin())).await;
                let of = format!("{path}, {width} wide, {scheme}");
                let needed = browser.sees("document.documentElement.scrollWidth").await;
                assert!(needed.as_u64().unwrap() <= u64::from(browser.width), "{of} is {needed} wide");
                let worst = browser.sees(WORST_CONTRAST).await;
                assert!(worst[0].as_f64().unwrap() >= 4.5, "{of}: {worst}");
                let picture = browser.screenshot().await;
                assert!(picture.len() > 12_000, "{of} is blank: {}", picture.len());
                match light.get(at) {
                    None => light.push(picture),
                    Some(light) => assert!(*light != picture, "{of} is as light"),
                }
            }
            // 401 and 503 are told as what did not load.
            let mut complaints = browser.complaints().await;
            complaints.retain(|told| !told.contains("status of 503"));
            assert!(complaints.is_empty(), "{width}, {scheme}: {complaints:?}");
            browser.close().await;
        }
    }
}

#[tokio::test]
async fn the_keyboard_alone_reaches_everything() {
    let (night, web) = dashboard().await;
    let run = night.warehouse.one("select max(run_id) from nightferry.runs where status = 'succeeded'").await;
    let driver = Driver::start();
    let browser = driver.browser(1400, "light").await;
    browser.go(&format!("{}/nights/{run}", web.origin())).await;
    assert!(browser.url().await.contains("/login?next="));
    // The field has the focus already.
    browser.keys(&format!("{OPERATOR}{ENTER}")).await;
    crate::support::until("the page that was asked for", async || {
        browser.url().await.ends_with(&format!("/nights/{run}")).then_some(())
    })
    .await;

    browser.keys(TAB).await;
    assert_eq!(browser.sees("document.activeElement.className").await, "skip");
    let shown = browser.sees("document.activeElement.getBoundingClientRect().left >= 0").await;
    assert_eq!(shown, true, "it is seen once it has the focus");
    browser.keys(ENTER).await;
    assert_eq!(browser.sees("document.activeElement.id").await, "main");
    let mut seen = Vec::new();
    let mut bar = None;
    for _ in 0..12 {
        browser.keys(TAB).await;
        let outline = browser.sees("getComputedStyle(document.activeElement).outlineStyle").await;
        let name = browser.sees("document.activeElement.outerHTML.slice(0, 120)").await.to_string();
        if browser.sees("!!document.activeElement.closest('svg.timeline')").await == true {
            bar = Some(name);
            break;
        }
        assert_ne!(outline, "none", "{name} does not show that it has the focus");
        seen.push(name);
    }
    assert!(bar.is_some(), "no bar of the timeline was reached: {seen:?}");
    let told = "getComputedStyle(document.activeElement.querySelector('.d')).visibility";
    assert_eq!(browser.sees(told).await, "visible", "{bar:?} tells what it is");

    browser.go(&format!("{}/tables", web.origin())).await;
    browser.sees("document.getElementById('q').focus()").await;
    browser.keys(&format!("script>{ENTER}")).await;
    crate::support::until("what was searched for", async || {
        browser.url().await.contains("q=script%3E").then_some(())
    })
    .await;
    assert_eq!(browser.sees("document.querySelectorAll('tbody tr').length").await, 1);
    assert_eq!(
        browser.sees("document.querySelector('tbody bdi').textContent").await,
        "sales.<script>alert(1)</script>"
    );
    browser.close().await;
}

#[tokio::test]
async fn an_operator_pauses_a_queue_with_a_button() {
    let night = TestNight::new().await;
    let file = night.path("queue.sqlite");
    let extra = [("QUEUE_FILE", file.to_str().unwrap())];
    let queues = nightferry::adapters::queue::Queues::open(&night.config(&extra).queue).await.unwrap();
    let web = WebProcess::of(&night, &extra).await;
    let driver = Driver::start();
    let browser = driver.browser(375, "dark").await;
    browser.go(&format!("{}/login?next=/queues", web.origin())).await;
    browser.keys(&format!("{OPERATOR}{ENTER}")).await;
    crate::support::until("the queues", async || browser.url().await.ends_with("/queues").then_some(()))
        .await;
    let needed = browser.sees("document.documentElement.scrollWidth").await;
    assert!(needed.as_u64().unwrap() <= u64::from(browser.width), "the page is {needed} wide");
    browser.sees("document.querySelector('tbody button').focus()").await;
    browser.keys(ENTER).await;
    crate::support::until("the queue to be paused", async || {
        browser.url().await.ends_with("/queues?done=pause").then_some(())
    })
    .await;
    assert_eq!(queues.paused().await.unwrap(), [nightferry::ids::Stage::FullReplication]);
    let label = browser.sees("document.querySelector('tbody button').textContent").await;
    assert_eq!(label, "Resume full-replication");
    browser.close().await;
}
