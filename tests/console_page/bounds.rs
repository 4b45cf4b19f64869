//! However much is kept, the document stays small.

use std::{future::Future, pin::Pin};

use crate::service::{LINES, SPANS, World, done};

/// Rows in the document, at most: what is in sight and a little more.
const MOST: u64 = 100;

pub(crate) fn rows(world: &World) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(async move {
        let long = world.known("long");
        let mut page = world.view(&format!("#/traces/{long}")).await;
        let all = SPANS + 1 + LINES;
        page.until(&format!(
            "document.querySelector('.waterfall')?.getAttribute('aria-rowcount') === '{all}'"
        ))
        .await;
        let seen = "document.querySelectorAll('[data-row]').length";
        let has = |index: usize| format!("document.querySelector('[data-row=\"{index}\"]')");
        page.until(&has(0)).await;
        assert!(page.eval(seen).await.as_u64().unwrap() <= MOST);
        // to the end, as by the scroll bar, and a page back by the keyboard
        page.eval("document.querySelector('.windowed').scrollTop = 1e9").await;
        page.until(&has(all - 1)).await;
        assert!(page.eval(seen).await.as_u64().unwrap() <= MOST);
        assert!(page.eval("document.querySelectorAll('*').length").await.as_u64().unwrap() < 3_000);
        world.picture(&mut page, "long-trace").await;
        // every line of the store, page by page
        page.eval(&format!("location.hash = '#/logs?trace_id={long}'")).await;
        page.until("document.querySelectorAll('.logs .row').length > 10").await;
        page.until(&format!(
            "(() => {{ const list = document.querySelector('.windowed'); list.scrollTop = 1e9; \
             if ({seen} > {MOST}) throw new Error('too many rows'); \
             return list.getAttribute('aria-rowcount') === '{LINES}'; }})()"
        ))
        .await;
        page.until(&has(LINES - 1)).await;
        assert!(page.eval(seen).await.as_u64().unwrap() <= MOST);
        world.picture(&mut page, "long-log").await;
        done(page).await;
    })
}
