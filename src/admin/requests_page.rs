//! `/debug/requests` for a person's browser; everything shown is escaped.

use std::{fmt::Write as _, time::SystemTime};

use super::{
    endpoints::rfc3339,
    page::{escape, page},
};
use crate::{
    requests::{ActiveEntry, Found, History, Kind, LogLine, RecentEntry, Snapshot, Totals},
    tasks::{PeriodicJob, State, TaskCounts},
};

/// Active entries, oldest first, what ended last by route and latency, and periodic tasks.
pub(super) fn list(
    snapshot: &Snapshot,
    history: &[History],
    jobs: &[PeriodicJob],
    counts: &[TaskCounts],
) -> String {
    let mut body = String::new();
    totals("Requests", &snapshot.totals, snapshot.unlisted, &mut body);
    totals("Tasks", &snapshot.task_totals, snapshot.unlisted_tasks, &mut body);
    filters(&mut body);
    let _ = write!(body, "<h2>Active ({})</h2>", snapshot.active.len());
    body.push_str("<table><tr><th>id<th>age<th>request or task<th>stage<th>trace<th>annotations");
    for entry in &snapshot.active {
        let stuck = if entry.stuck { " <b>stuck</b>" } else { "" };
        let _ = write!(body, "<tr><td>{}<td class=n>{} ms{stuck}", link(entry), entry.age.as_millis());
        let _ = write!(body, "<td>{}<td>{}<td><code>{}</code><td>", what(entry), stage(entry), trace(entry));
        annotations(entry, &mut body);
    }
    body.push_str("</table><h2>By route and latency</h2>");
    history.iter().for_each(|group| bands(group, &mut body));
    body.push_str("<h2>Recent</h2>");
    table(&snapshot.recent, &mut body);
    periodic(jobs, &mut body);
    states(counts, &mut body);
    page("Requests", &body)
}

fn totals(what: &str, totals: &Totals, unlisted: u64, body: &mut String) {
    let Totals { started, completed, failed, cancelled, panicked, aborted } = totals;
    let _ = write!(
        body,
        "<p>{what}: {started} started, {completed} completed, {failed} failed, {cancelled} cancelled, \
         {panicked} panicked, {aborted} aborted, {} active",
        totals.active(),
    );
    if unlisted > 0 {
        let _ = write!(body, " ({unlisted} of them not listed)");
    }
    body.push_str("</p>");
}

fn filters(body: &mut String) {
    body.push_str("<p>");
    for (query, name) in [
        ("", "all"),
        ("?kind=request", "requests"),
        ("?kind=task", "tasks"),
        ("?min_age_ms=1000", "older than 1 s"),
        ("?stuck=true", "stuck"),
        ("?outcome=failed", "failed"),
        ("?outcome=cancelled", "cancelled"),
    ] {
        let _ = write!(body, "<a href=\"/debug/requests{query}\">{name}</a> ");
    }
    body.push_str("</p>");
}

/// One line of a route, with its lists to be opened.
fn bands(group: &History, body: &mut String) {
    let name = match (group.kind, &*group.name) {
        (Kind::Request, "") => "(no route)",
        (_, name) => name,
    };
    let _ = write!(body, "<details><summary>{} <code>{}</code>", group.kind.as_str(), escape(name));
    let _ = write!(body, " {} active", group.active);
    let latencies =
        group.latencies.iter().map(|band| (format!("≥{} ms", band.from.as_millis()), &band.recent));
    let others = [("errors".to_owned(), &group.errors), ("cancelled".to_owned(), &group.given_up)];
    let lists: Vec<_> = latencies.chain(others).filter(|(_, list)| !list.is_empty()).collect();
    for (title, list) in &lists {
        let _ = write!(body, ", {title}: {}", list.len());
    }
    body.push_str("</summary>");
    for (title, list) in lists {
        let _ = write!(body, "<h3>{title}</h3>");
        table(list, body);
    }
    body.push_str("</details>");
}

fn table(list: &[RecentEntry], body: &mut String) {
    body.push_str(
        "<table><tr><th>id<th>started<th>duration<th>request or task<th>outcome<th>status<th>trace",
    );
    for recent in list {
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td class=n>{:.1} ms<td>{}<td>{}<td>{}<td><code>{}</code>",
            link(&recent.entry),
            rfc3339(recent.entry.started_at),
            recent.duration.as_secs_f64() * 1e3,
            what(&recent.entry),
            recent.outcome,
            recent.status.map_or_else(String::new, |status| status.to_string()),
            trace(&recent.entry),
        );
    }
    body.push_str("</table>");
}

fn periodic(jobs: &[PeriodicJob], body: &mut String) {
    if jobs.is_empty() {
        return;
    }
    body.push_str(
        "<h2>Periodic tasks</h2><table><tr><th>name<th>every<th>last run<th>took<th>next run<th>runs\
         <th>failures<th>left out<th>now<th>last error",
    );
    for job in jobs {
        let now = match (job.running, job.overrun) {
            (true, true) => "running, late",
            (true, false) => "running",
            (false, true) => "was late",
            (false, false) => "",
        };
        let took = job.last_duration.map_or_else(String::new, |took| format!("{} ms", took.as_millis()));
        let _ = write!(
            body,
            "<tr><td>{}<td class=n>{} ms<td>{}<td class=n>{took}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{now}<td>{}",
            escape(&job.name),
            job.interval.as_millis(),
            job.last_run.map_or_else(String::new, rfc3339),
            rfc3339(job.next_run),
            job.runs,
            job.failures,
            job.overruns,
            escape(job.last_error.as_deref().unwrap_or("")),
        );
    }
    body.push_str("</table>");
}

fn states(counts: &[TaskCounts], body: &mut String) {
    if counts.is_empty() {
        return;
    }
    body.push_str("<h2>Tasks by state</h2><table><tr><th>name");
    for state in State::ALL {
        let _ = write!(body, "<th>{state}");
    }
    for task in counts {
        let _ = write!(body, "<tr><td>{}", escape(&task.name));
        for state in State::ALL {
            let _ = write!(body, "<td class=n>{}", task.of(state));
        }
    }
    body.push_str("</table>");
}

/// One entry in full.
pub(super) fn detail(found: &Found) -> String {
    let mut body = String::from("<p><a href=\"/debug/requests\">all requests</a></p><table>");
    let (entry, lines) = match found {
        Found::Active(entry, lines) => (entry, lines),
        Found::Ended(recent, lines) => (&recent.entry, lines),
    };
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(body, "<tr><th>{name}<td>{value}");
        }
    };
    row("id", entry.id.to_string());
    row("kind", entry.kind.as_str().to_owned());
    row("what", what(entry));
    row("trace", format!("<code>{}</code>", trace(entry)));
    row("span", entry.span_id.map_or_else(String::new, |id| id.to_string()));
    row("sampled", entry.sampled.to_string());
    row("started", rfc3339(entry.started_at));
    if let Found::Ended(recent, _) = found {
        row("outcome", recent.outcome.to_string());
        row("status", recent.status.map_or_else(String::new, |status| status.to_string()));
        row("duration", format!("{:.3} ms", recent.duration.as_secs_f64() * 1e3));
    } else {
        row("age", format!("{} ms{}", entry.age.as_millis(), if entry.stuck { ", stuck" } else { "" }));
    }
    row("stage", stage(entry));
    row(
        "parent",
        entry.parent_id.map_or_else(String::new, |id| format!("<a href=\"/debug/requests/{id}\">{id}</a>")),
    );
    row("spawned tasks running", entry.tasks_running.to_string());
    body.push_str("</table><h2>Annotations</h2><p>");
    annotations(entry, &mut body);
    body.push_str("</p>");
    stages(entry, &mut body);
    log(entry.started_at, lines, &mut body);
    page(&format!("{} {}", entry.kind.as_str(), entry.id), &body)
}

fn stages(entry: &ActiveEntry, body: &mut String) {
    body.push_str("<h2>Stages</h2><table><tr><th>at<th>stage");
    for stage in &entry.stages {
        let name = if stage.name.is_empty() { "(none)" } else { &stage.name };
        let _ = write!(body, "<tr><td class=n>{:.3} ms<td>{}", stage.at.as_secs_f64() * 1e3, escape(name));
    }
    body.push_str("</table>");
    if entry.stages_dropped > 0 {
        let _ = write!(body, "<p>{} stages in between are left out</p>", entry.stages_dropped);
    }
}

fn log(started_at: SystemTime, lines: &[LogLine], body: &mut String) {
    body.push_str("<h2>Last log lines</h2>");
    if lines.is_empty() {
        body.push_str("<p>none are kept; TRACEWELL_REQUEST_LOG_LINES says how many to keep</p>");
        return;
    }
    body.push_str("<table><tr><th>at<th>level<th>line");
    for line in lines {
        let at = rfc3339(started_at + line.at);
        let _ = write!(body, "<tr><td>{at}<td>{}<td>{}", line.level, escape(&line.text));
    }
    body.push_str("</table>");
}

fn link(entry: &ActiveEntry) -> String {
    format!("<a href=\"/debug/requests/{0}\">{0}</a>", entry.id)
}

fn what(entry: &ActiveEntry) -> String {
    format!("{} <code>{}</code>", escape(&entry.name), escape(&entry.path))
}

fn stage(entry: &ActiveEntry) -> String {
    escape(entry.stage.as_deref().unwrap_or(""))
}

fn trace(entry: &ActiveEntry) -> String {
    entry.trace_id.map_or_else(String::new, |id| id.to_string())
}

fn annotations(entry: &ActiveEntry, body: &mut String) {
    for annotation in &entry.annotations {
        let _ = write!(body, "{}=<code>{}</code> ", escape(&annotation.key), escape(annotation.shown()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::requests::{EndDetails, NewEntry, Outcome, Registry};

    #[test]
    fn markup_in_anything_a_stranger_or_a_program_says_stays_text() {
        const HOSTILE: &str = "<script>\"'&</script>";
        let registry = Registry::new(8);
        registry.keep_log_lines(1);
        let start = || {
            let new = NewEntry::request(HOSTILE).with_path(HOSTILE).with_route(HOSTILE);
            let guard = registry.start(new);
            guard.handle().set_stage(HOSTILE);
            guard.handle().annotate(HOSTILE, HOSTILE);
            guard.handle().keep_log_line("INFO", HOSTILE);
            guard
        };
        let (active, task) = (start(), registry.start(NewEntry::task(HOSTILE)));
        start().end(Outcome::Failed, EndDetails::new(Duration::from_secs(2)).with_status(500));
        let mut pages = vec![super::list(&registry.snapshot(), &registry.history(), &[], &[])];
        for id in [active.handle().id(), task.handle().id(), registry.snapshot().recent[0].entry.id] {
            pages.push(super::detail(&registry.find(id).unwrap()));
        }
        registry.keep_log_lines(0);
        for page in pages {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;"), "{page}");
        }
    }
}
