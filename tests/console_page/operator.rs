//! What an operator may do from the page, and what the page does not do to the operator.

use std::{future::Future, pin::Pin};

use tracewell::{Telemetry, requests::NewEntry};

use crate::service::{PLANTED, PLANTED_ROUTE, TOKEN, World, done};

type Trial<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

pub(crate) fn cancel(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let hanging = world.hang();
        let mut page = world.view("#/requests").await;
        page.until("document.querySelector('.active .row')?.innerText.includes('GET /hangs')").await;
        let row = page.eval("document.querySelector('.active .row').innerText").await;
        for words in ["waiting", PLANTED] {
            assert!(row.as_str().unwrap().contains(words), "{row}");
        }
        // nobody is cancelled by a page that has no token
        for (token, said) in [("wrong", "only with the admin token"), (TOKEN, "was cancelled")] {
            page.click(".active .row button.danger").await;
            page.until("document.querySelector('dialog[open] input') === document.activeElement").await;
            page.write(token).await;
            page.press("Enter").await;
            if token != TOKEN {
                page.until(&format!(
                    "document.querySelector('main [role=alert]')?.innerText.includes({said:?})"
                ))
                .await;
                assert!(!hanging.is_finished());
                // the browser says so too
                let complaints = page.complaints();
                assert!(complaints.iter().all(|said| said.contains("403")), "{complaints:?}");
            } else {
                page.until(&format!("document.querySelector('main .done')?.innerText.includes({said:?})"))
                    .await;
            }
        }
        assert_eq!(hanging.await.unwrap(), 503);
        page.until("!document.querySelector('.active')?.innerText.includes('GET /hangs')").await;
        page.until("[...document.querySelectorAll('tbody tr')].some((row) => /GET \\/hangs[^]*cancelled/.test(row.innerText))").await;
        done(page).await;
    })
}

pub(crate) fn log_level(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/loglevel").await;
        page.until("document.querySelector('main code.filter')?.innerText === 'info'").await;
        page.click("main [name=filter]").await;
        page.write(",quiet_target=debug").await;
        page.eval("document.querySelector('[name=for]').value = '60'").await;
        page.press("Enter").await;
        page.until("/goes back in \\d+\\.\\d s/.test(document.querySelector('main').innerText)").await;
        let now = world.get("loglevel").await;
        assert_eq!(now["filter"], "info,quiet_target=debug");
        assert!(now["reverts_at"].is_string(), "{now}");
        // what is not accepted is said
        page.eval("document.querySelector('[name=filter]').select()").await;
        page.write("info,=nonsense=").await;
        page.click("main button[type=submit]").await;
        page.until("document.querySelector('main [role=alert]')").await;
        let complaints = page.complaints();
        assert!(complaints.iter().all(|said| said.contains("400")), "{complaints:?}");
        assert_eq!(world.get("loglevel").await["filter"], "info,quiet_target=debug");
        done(page).await;
    })
}

pub(crate) fn keys(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let mut page = world.view("#/overview").await;
        for (key, path) in
            [("t", "traces"), ("l", "logs"), ("h", "health"), ("m", "metrics"), ("t", "traces")]
        {
            page.press("g").await;
            page.press(key).await;
            page.until(&format!("location.hash.startsWith('#/{path}')")).await;
            page.until(&format!("document.querySelector('#nav [aria-current]').dataset.path === {path:?}"))
                .await;
        }
        page.until("document.querySelectorAll('.traces .row').length > 3").await;
        page.press("/").await;
        page.until("document.activeElement.name === 'text'").await;
        page.write("the bank is slow").await;
        page.until("[...document.querySelectorAll('.traces .row')].every((row) => row.innerText.includes('/orders/{id}'))").await;
        page.press("Escape").await;
        page.until("document.activeElement === document.body").await;
        page.press("?").await;
        page.until("document.querySelector('dialog[open]')?.innerText.includes('Keys')").await;
        page.press("Escape").await;
        page.until("!document.querySelector('dialog')").await;
        page.press("j").await;
        page.until("document.querySelector('.traces .row[aria-selected=true]')?.ariaRowIndex === '1'").await;
        page.press("Enter").await;
        page.until("document.querySelector('main h1').innerText === 'GET /orders/{id}'").await;
        page.press("j").await;
        page.press("j").await;
        page.press("Enter").await;
        page.until("document.querySelector('.side:not([hidden])')").await;
        page.press("Escape").await;
        page.until("document.querySelector('.side[hidden]')").await;
        // the colours are the reader's choice, and stay
        page.click("#theme").await;
        page.click("#theme").await;
        page.goto(&format!("{}/", world.admin)).await;
        page.until("document.documentElement.dataset.theme === 'dark'").await;
        done(page).await;
    })
}

pub(crate) fn markup(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let planted = world.known("planted");
        let mut page = world.view(&format!("#/traces/{planted}")).await;
        page.until(&format!("document.querySelector('main h1').innerText === 'GET {PLANTED_ROUTE}'")).await;
        page.until(&format!("document.querySelector('.waterfall').innerText.includes({PLANTED:?})")).await;
        page.click(".waterfall .row").await;
        page.until(&format!("document.querySelector('.side').innerText.includes({PLANTED:?})")).await;
        page.until(&format!("document.querySelector('.stages')?.innerText.includes({PLANTED:?})")).await;
        for (view, shown) in [
            ("overview", PLANTED_ROUTE),
            ("traces?text=onerror", PLANTED_ROUTE),
            ("logs?text=onerror", PLANTED),
            ("metrics/http.server.request.duration", PLANTED_ROUTE),
            ("requests", PLANTED_ROUTE),
        ] {
            page.eval(&format!("location.hash = '#/{view}'")).await;
            page.until(&format!("document.querySelector('main').innerText.includes({shown:?})")).await;
        }
        // addresses are written by strangers too
        for hash in [
            "#/traces/%3Cimg%20src=x%20onerror=window.planted=1%3E?span=%3Cimg%3E",
            "#/javascript:planted()",
            "#/metrics/%3Cimg%3E",
        ] {
            page.eval(&format!("location.hash = {hash:?}")).await;
            page.until("document.querySelector('main h1')").await;
            page.until("!document.querySelector('main').innerText.includes('Reading…')").await;
        }
        let complaints = page.complaints();
        assert!(
            complaints.iter().all(|said| said.contains("the server responded with a status of 4")),
            "{complaints:?}"
        );
        // and nobody is let into the document by the side: the policy holds for what is tried by hand
        let tried = page.eval("(() => { try { document.body.innerHTML = '<b>'; return 'set'; } catch (error) { return error.name; } })()").await;
        assert_eq!(tried, "TypeError");
        page.complaints();
        done(page).await;
    })
}

pub(crate) fn store_off(world: &World) -> Trial<'_> {
    Box::pin(async move {
        let telemetry = Telemetry::builder()
            .with_env([
                ("OTEL_TRACES_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_LOGS_EXPORTER", "none"),
                ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
                ("TRACEWELL_CONSOLE", "false"),
            ])
            .with_stdout(false)
            .with_registry(tracewell::requests::Registry::new(8))
            .build()
            .unwrap();
        let _active =
            telemetry.requests().start(NewEntry::request("GET").with_route("/alone").with_path("/alone"));
        telemetry.health().set_ready();
        let admin = format!("http://{}", telemetry.admin_address().unwrap());
        let mut page = world.view_of(&admin, "#/traces").await;
        page.until("document.querySelector('main').innerText.includes('TRACEWELL_CONSOLE')").await;
        page.click("main a[href='#/requests']").await;
        page.until("document.querySelector('.active .row')?.innerText.includes('/alone')").await;
        let first = page.eval("document.querySelector('.active .row .age').innerText").await;
        // it is live without a stream, too
        page.until(&format!("document.querySelector('.active .row .age').innerText !== {first}")).await;
        assert_eq!(
            page.eval("document.querySelector('.danger')").await,
            serde_json::Value::Null,
            "none may be cancelled"
        );
        for (view, words) in [
            ("overview", "Telemetry on its way out"),
            ("health", "Checks"),
            ("environment", "os"),
            ("loglevel", "info"),
        ] {
            page.eval(&format!("location.hash = '#/{view}'")).await;
            page.until(&format!("document.querySelector('main').innerText.includes({words:?})")).await;
        }
        let complaints = page.complaints();
        assert!(complaints.iter().all(|said| said.contains("404")), "{complaints:?}");
        done(page).await;
    })
}
