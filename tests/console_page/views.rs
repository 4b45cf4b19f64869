//! What each view shows of what the service did.

use std::{future::Future, pin::Pin};

use serde_json::json;

use crate::{
    browser::Page,
    service::{self, World, done},
};

type Trial<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The words of the rows in sight, by their list.
const ROWS: &str = "[...document.querySelectorAll('.windowed .row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)\
                    .map((row) => row.innerText.replaceAll('\\n', ' '))";

async fn rows(page: &mut Page) -> Vec<String> {
    let rows = page.eval(ROWS).await;
    rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect()
}

/// Writes into the field of a label, as a person does.
async fn write(page: &mut Page, field: &str, text: &str) {
    page.click(&format!("main [name={field}]")).await;
    page.eval("document.activeElement.select()").await;
    page.write(text).await;
}

pub(crate) fn overview(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/overview").await;
        // from the first page to the answer: two clicks
        page.until("document.querySelector('.routes, table')?.innerText.includes('/orders/{id}')").await;
        let routes = page.eval("document.body.innerText").await;
        for words in ["GET /fails", "GET /quick", "500", "shop"] {
            assert!(routes.as_str().unwrap().contains(words), "{words}: {routes}");
        }
        let failed = world.known("failed");
        page.until(&format!("document.querySelector('a[href=\"#/traces/{failed}\"]')")).await;
        page.click(&format!(".notable a[href^='#/traces/{}']", world.known("slow"))).await;
        page.until("document.querySelector('.where')").await;
        let answer = page.eval("document.querySelector('.where li').innerText").await;
        assert!(answer.as_str().unwrap().contains("charge card"), "why was it slow: {answer}");
        let share = page.eval("parseFloat(document.querySelector('.where li .n').textContent)").await;
        assert!(share.as_f64().unwrap() > 80.0, "{share}");
        done(page).await;
    })
}

pub(crate) fn trace(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let slow = world.known("slow");
        let mut page = world.view(&format!("#/traces/{slow}")).await;
        page.until("document.querySelectorAll('.waterfall .row').length >= 5").await;
        let shown = rows(&mut page).await;
        let order = ["GET /orders/{id}", "order taken", "charge card", "the bank is slow", "order paid"];
        for (row, words) in shown.iter().zip(order) {
            assert!(row.contains(words), "in the order of time: {shown:#?}");
        }
        let levels = page
            .eval("[...document.querySelectorAll('.waterfall .row')].map((row) => row.ariaLevel).join()")
            .await;
        assert_eq!(levels, "1,2,2,3,2", "logs stand below their spans");
        // the stages that the registry saw
        page.until("[...document.querySelectorAll('.stages li')].some((stage) => /^paying 4\\d\\d ms/.test(stage.innerText))")
            .await;
        // a span in full, and its address
        page.click(".waterfall .row:nth-child(3)").await;
        page.until("document.querySelector('.side')?.innerText.includes('card.network')").await;
        let side = page.eval("document.querySelector('.side').innerText").await;
        for words in ["visa", "internal", "the bank is slow"] {
            assert!(side.as_str().unwrap().contains(words), "{words}: {side}");
        }
        let address = page.until("location.hash.includes('span=') && location.hash").await;
        let mut again = world.view(address.as_str().unwrap()).await;
        again.until("document.querySelector('.side h3')?.innerText === 'charge card'").await;
        done(again).await;
        // folded by the keyboard, with the root as the current row
        page.eval("document.querySelector('.waterfall').focus()").await;
        page.press("Home").await;
        page.press("ArrowLeft").await;
        page.until("document.querySelectorAll('.waterfall .row').length === 1").await;
        page.press("ArrowRight").await;
        page.until("document.querySelectorAll('.waterfall .row').length >= 5").await;
        let onward = page.until("document.querySelector('a.onward').href").await;
        let root = world.api(&format!("traces/{slow}/requests")).await["recent"][0]["span_id"].clone();
        assert_eq!(onward, format!("https://jaeger.example/trace/{slow}?uiFind={}", root.as_str().unwrap()));
        let downloaded =
            page.eval("fetch(document.querySelector('a[download]').href).then((answer) => answer.json())");
        assert_eq!(downloaded.await, world.api(&format!("traces/{slow}")).await);
        done(page).await;
    })
}

pub(crate) fn traces(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/traces").await;
        page.until(&format!("{ROWS}.length > 5")).await;
        for (field, text, found) in [
            ("route", "/fails", "GET /fails"),
            ("min_ms", "300", "GET /(orders|long)"),
            ("attribute", "card.network=visa", "GET /orders"),
            ("status", "500", "GET /fails"),
            ("text", "the shelf is empty", "GET /fails"),
        ] {
            write(&mut page, field, text).await;
            page.until(&format!(
                "{ROWS}.length > 0 && {ROWS}.every((row) => new RegExp({found:?}).test(row))"
            ))
            .await;
            let address = page.eval("decodeURIComponent(location.hash.replaceAll('+', ' '))").await;
            assert!(address.as_str().unwrap().contains(text), "{address}");
            page.eval("document.activeElement.select()").await;
            page.press("Backspace").await;
            page.eval("document.execCommand('delete')").await;
            page.until(&format!("new Set({ROWS}).size > 5")).await;
        }
        // what happens now comes by itself
        let now = world.request("/orders/8").await;
        page.until(&format!("document.querySelector('.row a[href=\"#/traces/{now}\"]')")).await;
        // what is not accepted is said, and nothing breaks
        let problem = world.api("traces?limit=0").await;
        assert!(problem["error"].as_str().unwrap().contains("limit"), "{problem}");
        // an id leads to its trace
        write(&mut page, "text", world.known("failed")).await;
        page.until("document.querySelector('main h1').innerText === 'GET /fails'").await;
        done(page).await;
    })
}

pub(crate) fn logs(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/logs").await;
        page.until(&format!("{ROWS}.length > 10")).await;
        page.eval(
            "(() => { const level = document.querySelector('[name=min_level]'); level.value = 'error'; \
             level.dispatchEvent(new Event('input', { bubbles: true })); })()",
        )
        .await;
        page.until(&format!("{ROWS}.length && {ROWS}.every((row) => /error/i.test(row))")).await;
        let shown = rows(&mut page).await;
        assert!(
            shown.iter().any(|row| row.contains("the shelf is empty") && row.contains("stock=0")),
            "{shown:?}"
        );
        page.goto(&format!("{}/#/logs?text=order+paid", world.admin)).await;
        page.until(&format!("{ROWS}.length && {ROWS}.every((row) => row.includes('order paid'))")).await;
        // the tail follows, unless it is told not to
        let following = page.eval("document.querySelector('.windowed').ariaRowCount ?? document.querySelector('.windowed').getAttribute('aria-rowcount')").await;
        let count = |more: u64| {
            format!(
                "Number(document.querySelector('.windowed').getAttribute('aria-rowcount')) >= {}",
                following.as_str().unwrap().parse::<u64>().unwrap() + more
            )
        };
        let trace = world.request("/orders/9").await;
        page.until(&format!("document.querySelector('.row a[href^=\"#/traces/{trace}\"]')")).await;
        page.click("main button[aria-pressed]").await;
        page.until("document.querySelector('main').innerText.includes('paused')").await;
        let later = world.request("/orders/10").await;
        page.until("/[1-9]\\d* new/.test(document.querySelector('main').innerText)").await;
        let link = format!("document.querySelector('.row a[href^=\"#/traces/{later}\"]')");
        assert_eq!(page.eval(&format!("{link} === null")).await, true, "it is paused");
        page.click("main button[aria-pressed]").await;
        page.until(&link).await;
        page.until(&count(2)).await;
        // and a line leads to its trace, with its span chosen
        page.click(&format!(".row a[href^=\"#/traces/{later}\"]")).await;
        page.until("document.querySelector('.side h3')?.innerText === 'GET /orders/{id}'").await;
        page.click("a[href^='#/logs']:not([data-path])").await;
        page.until(&format!("{ROWS}.length === 3")).await;
        done(page).await;
    })
}

pub(crate) fn metrics(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let slow = world.known("slow");
        world
            .until("the exemplar is exported", async || {
                world.api("metrics/http.server.request.duration").await.to_string().contains(slow)
            })
            .await;
        let mut page = world.view("#/metrics").await;
        page.until("document.querySelector('.metric h2')?.innerText === 'http.server.request.duration'")
            .await;
        page.until("document.querySelector('.metric path.line')?.getAttribute('d').length > 10").await;
        page.until(&format!("document.querySelector('.exemplar[href*=\"{slow}\"]')")).await;
        let label = page.eval(&format!("document.querySelector('.exemplar[href*=\"{slow}\"]').ariaLabel ?? document.querySelector('.exemplar[href*=\"{slow}\"]').getAttribute('aria-label')")).await;
        assert!(label.as_str().unwrap().contains("GET /orders/{id} 200"), "{label}");
        // by the keyboard: dots that lie on each other hide each other from the mouse
        page.eval(&format!("document.querySelector('.exemplar[href*=\"{slow}\"]').focus()")).await;
        page.press("Enter").await;
        page.until("document.querySelector('.side h3')?.innerText === 'GET /orders/{id}'").await;
        page.goto(&format!("{}/#/metrics/logins", world.admin)).await;
        page.until("document.querySelector('.metric h2')?.innerText === 'logins'").await;
        page.until("document.querySelector('.metric td.n')?.innerText === '21'").await;
        write_search(&mut page, "active").await;
        page.until(
            "[...document.querySelectorAll('.names a')].every((name) => name.innerText.includes('active'))",
        )
        .await;
        done(page).await;
    })
}

async fn write_search(page: &mut Page, text: &str) {
    page.click("main input[type=search]").await;
    page.write(text).await;
}

pub(crate) fn health_and_environment(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/health").await;
        page.until("document.querySelector('.checks')?.innerText.includes('3 wait')").await;
        service::set_waiting(7);
        page.click("main button").await;
        page.until("document.querySelector('.checks')?.innerText.includes('7 wait')").await;
        page.goto(&format!("{}/#/environment", world.admin)).await;
        page.until("document.querySelectorAll('main section').length >= 4").await;
        write_search(&mut page, "service.name").await;
        page.until("document.querySelector('main dl')?.innerText.includes('shop')").await;
        done(page).await;
    })
}

pub(crate) fn configuration(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/configuration").await;
        page.until("document.querySelectorAll('tbody tr').length > 50").await;
        let all = page.eval("document.body.textContent").await;
        assert!(!all.as_str().unwrap().contains("s3cret"), "a secret is shown");
        write_search(&mut page, "METRIC_EXPORT_INTERVAL").await;
        page.until("document.querySelectorAll('main tbody tr').length === 1").await;
        let row = page.eval("document.querySelector('main tbody tr').innerText").await;
        let told = world.api("configuration").await;
        let setting = told["settings"].as_array().unwrap().iter();
        let setting =
            setting.clone().find(|one| one["name"] == json!("OTEL_METRIC_EXPORT_INTERVAL")).unwrap();
        for part in ["name", "value", "source"] {
            let said = setting[part].as_str().map_or_else(|| setting[part].to_string(), str::to_owned);
            assert!(row.as_str().unwrap().contains(&said), "{part}: {row} {setting}");
        }
        // what is the default can be left out
        page.click("main input[type=checkbox]").await;
        page.until("document.querySelectorAll('main tbody tr').length === 1").await;
        done(page).await;
    })
}
