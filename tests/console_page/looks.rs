//! Every view on a wide screen and a phone, by day and by night, and without eyes.

use std::{future::Future, pin::Pin};

use crate::{
    browser::Page,
    service::{World, done},
};

type Trial<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Every view, and what says that it is there.
fn views(world: &World) -> [(&'static str, String, &'static str); 10] {
    let trace = format!("#/traces/{}", world.known("slow"));
    [
        (
            "overview",
            "#/overview".into(),
            "document.querySelector('.tile') && document.querySelector('.notable') && document.querySelector('.chart')",
        ),
        ("requests", "#/requests".into(), "document.querySelector('tbody tr')"),
        ("traces", "#/traces".into(), "document.querySelector('.traces .row')"),
        ("trace", trace, "document.querySelector('.where') && document.querySelector('.waterfall .row')"),
        ("logs", "#/logs".into(), "document.querySelector('.logs .row')"),
        (
            "metrics",
            "#/metrics".into(),
            "document.querySelector('.chart') && document.querySelector('.names a')",
        ),
        ("health", "#/health".into(), "document.querySelector('.checks')"),
        ("environment", "#/environment".into(), "document.querySelector('main dl')"),
        ("loglevel", "#/loglevel".into(), "document.querySelector('code.filter')"),
        ("configuration", "#/configuration".into(), "document.querySelector('tbody tr')"),
    ]
}

async fn show(page: &mut Page, hash: &str, there: &str) {
    page.eval(&format!("location.hash = {hash:?}")).await;
    // a frame later it is painted
    page.until(&format!("location.hash === {hash:?} && {there}")).await;
    page.eval(
        "new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(() => painted(1))))",
    )
    .await;
}

pub(crate) fn pictures(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/overview").await;
        for (kind, width, height, scheme) in
            [("light", 1280, 900, "light"), ("dark", 1280, 900, "dark"), ("phone", 360, 780, "light")]
        {
            page.size(width, height).await;
            page.prefer(scheme).await;
            for (name, hash, there) in views(world) {
                show(&mut page, &hash, there).await;
                let wide = page.eval("document.documentElement.scrollWidth").await.as_u64().unwrap();
                assert!(wide <= u64::from(width), "{name} is {wide} wide on {width}");
                world.picture(&mut page, &format!("{kind}-{name}")).await;
            }
        }
        done(page).await;
    })
}

/// What a screen reader has no name for, and headings or landmarks that are not there.
const NAMELESS: &str = r"(() => {
  const problems = [];
  const named = (element) => (element.getAttribute('aria-label') || element.textContent || element.title || '').trim()
    || (element.getAttribute('aria-labelledby') ?? '').split(' ').some((id) => document.getElementById(id)?.textContent);
  for (const element of document.querySelectorAll('a, button, [role=grid], [role=treegrid], [role=row], svg.chart, aside, nav, dialog')) {
    if (!element.closest('[hidden]') && !named(element)) problems.push(element.outerHTML.slice(0, 200));
  }
  for (const field of document.querySelectorAll('input, select, textarea')) {
    if (!field.labels?.length && !field.getAttribute('aria-label')) problems.push(field.outerHTML);
  }
  for (const [selector, count] of [['main', 1], ['nav', 1], ['h1', 1], ['header', 1], ['[aria-live]', 1], ['html[lang]', 1], ['#nav [aria-current]', 1]]) {
    const found = document.querySelectorAll(selector).length;
    if (found !== count) problems.push(`${found} ${selector}`);
  }
  for (const image of document.querySelectorAll('svg:not([aria-hidden])')) {
    if (!image.getAttribute('aria-label')) problems.push('an svg without a label');
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`two ${id}`);
  return problems;
})()";

pub(crate) fn names(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/overview").await;
        let skip = page.eval("document.querySelector('a').textContent").await;
        assert_eq!(skip, "Skip to the view", "the first thing that is reached");
        for (name, hash, there) in views(world) {
            show(&mut page, &hash, there).await;
            let problems = page.eval(NAMELESS).await;
            assert_eq!(problems, serde_json::json!([]), "{name}");
            let title = page.eval("document.title").await;
            assert!(title.as_str().unwrap().ends_with(" · shop"), "{title}");
        }
        done(page).await;
    })
}
