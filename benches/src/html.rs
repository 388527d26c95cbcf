//! The report as one HTML page that loads nothing: its plots are inline SVG, its colors follow the reader's scheme.

use crate::Report;
use crate::served::{Latencies, StateRow};
use crate::tables::{OPEN_TITLE, STATES_TITLE, state_notes};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5c6670;--line:#d9dee3;--page:#fbfbfa;--card:#fff;--a:#2f6fb5;--b:#c2703d;\
--c:#4b8f5a;--d:#8a63b0}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#9aa4ae;--line:#343b42;--page:#15181b;--card:#1d2125;--a:#6ea8e6;\
--b:#e0996a;--c:#7dbf8c;--d:#b79add}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:82rem;padding:2rem 1.25rem 4rem;background:var(--page);color:var(--ink);\
font:15px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.5rem 0 .5rem}\
p,dl{color:var(--soft);margin:.25rem 0 1rem}.card{background:var(--card);border:1px solid var(--line);border-radius:8px;\
padding:1rem;overflow-x:auto;margin:0 0 1rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:12.5px;\
width:100%}th,td{text-align:right;padding:.3rem .45rem;border-bottom:1px solid var(--line);white-space:nowrap}\
th{color:var(--soft);font-weight:600;white-space:normal;vertical-align:bottom}th:first-child,td:first-child,th.w,td.w{text-align:left}tr:last-child td{border:0}\
svg{display:block;width:100%;height:auto;min-width:52rem}svg text{fill:var(--ink);font:12px system-ui,sans-serif}\
svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line)}svg .whisker{stroke:var(--ink);stroke-width:1.5}\
.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}.d{fill:var(--d)}.key i{display:inline-block;width:.8em;height:.8em;\
border-radius:2px;margin:0 .35em 0 1em;vertical-align:-.05em}";

/// One bar: label, parts that are stacked, least and most of their sum, text at its end.
struct Bar {
    label: String,
    parts: Vec<f64>,
    spread: Option<(f64, f64)>,
    note: String,
}

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut body = String::new();
    let host = &report.host;
    let _ = write!(
        body,
        "<h1>Tintype bench</h1><p>{} × {}, {:.1} GiB, {}<br>Commit {}, {} interleaved rounds; bars are medians, whiskers the \
         least and the most.<br>{}.<br>{}</p>",
        host.n_cores,
        escaped(&host.cpu),
        host.memory_bytes as f64 / f64::from(1 << 30),
        escaped(&host.system),
        escaped(report.commit),
        report.rounds,
        escaped(&report.memory_text()),
        escaped(&host.backends.join("; ")),
    );
    library(report, &mut body);
    served(report, &mut body);
    stress(report, &mut body);
    if !report.assets.is_empty() {
        body +=
            "<h2>The media library: small uploads at 16 connections, then one read after the other; milliseconds</h2>";
        body += &markdown_table(&report.assets_table().to_text());
    }
    kernels(report, &mut body);
    devices(report, &mut body);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Tintype bench</title><style>{STYLE}</style></head><body>{body}\
         </body></html>\n"
    )
}

fn library(report: &Report, body: &mut String) {
    if report.library.is_empty() {
        return;
    }
    *body += "<h2>Library calls: CPU milliseconds a call</h2><p class=\"key\">Stages by their share of the wall time:\
        <i style=\"background:var(--a)\"></i>decode<i style=\"background:var(--b)\"></i>render\
        <i style=\"background:var(--c)\"></i>encode</p>";
    // Every workload has a scale of its own, for they differ by two orders.
    let mut at = 0;
    *body += "<div class=\"card\">";
    while at < report.library.len() {
        let name = report.library[at].workload;
        let rows: Vec<_> = report.library[at..].iter().take_while(|row| row.workload == name).collect();
        at += rows.len();
        let bars: Vec<Bar> = rows
            .iter()
            .map(|row| {
                let stages = [row.decode_ms.median, row.render_ms.median, row.encode_ms.median];
                let whole: f64 = stages.iter().sum::<f64>().max(1e-9);
                let score = row.ssimulacra2.map_or_else(String::new, |score| format!(", SSIMULACRA2 {score:.1}"));
                Bar {
                    label: format!("{} {} {}", row.workload, row.profile, row.backend),
                    parts: stages.iter().map(|stage| stage / whole * row.cpu_ms.median).collect(),
                    spread: Some((row.cpu_ms.low, row.cpu_ms.high)),
                    note: format!("{:.2} ms, {} B{score}", row.cpu_ms.median, row.bytes),
                }
            })
            .collect();
        *body += &plot(&bars);
    }
    *body += "</div>";
    *body += &markdown_table(&report.library_table().to_text());
}

fn served(report: &Report, body: &mut String) {
    if report.servers.is_empty() {
        return;
    }
    *body += "<h2>Server: milliseconds until the answer</h2><p class=\"key\">Closed loop, and open loops at parts of what it \
        reached:<i style=\"background:var(--a)\"></i>p50<i style=\"background:var(--b)\"></i>up to p90\
        <i style=\"background:var(--c)\"></i>up to p99; one scale for each workload and profile</p><div class=\"card\">";
    for row in &report.servers {
        let name = format!("{} {} {}", row.workload, row.profile, row.renderer);
        let closed = format!("{:.0}/s, {:.2} ms CPU", row.per_second.median, row.cpu_ms.median);
        let mut bars = vec![latency_bar(format!("{name}, closed"), &row.latency, closed)];
        for open in &row.open {
            let note = format!("of {:.0}/s", open.offered_per_second.median);
            bars.push(latency_bar(format!("at {:.0} %", open.share * 100.0), &open.latency, note));
        }
        *body += &plot(&bars);
    }
    *body += "</div>";
    *body += &markdown_table(&report.server_table().to_text());
    let _ = write!(body, "<p>{OPEN_TITLE}.</p>");
    *body += &markdown_table(&report.open_table().to_text());
    if report.servers.iter().all(|row| row.states.is_empty()) {
        return;
    }
    let _ = write!(
        body,
        "<h2>{STATES_TITLE}</h2><p>{}</p><p class=\"key\"><i style=\"background:var(--a)\"></i>p50\
         <i style=\"background:var(--b)\"></i>up to p90<i style=\"background:var(--c)\"></i>up to p99, milliseconds</p>\
         <div class=\"card\">",
        escaped(&state_notes())
    );
    for row in &report.servers {
        let bar = |state: &StateRow| {
            let name = format!("{} {} {}, {}", row.workload, row.profile, row.renderer, state.state);
            latency_bar(name, &state.latency, String::new())
        };
        *body += &plot(&row.states.iter().map(bar).collect::<Vec<_>>());
    }
    *body += "</div>";
    *body += &markdown_table(&report.state_table().to_text());
}

/// p50, p90 and p99 on top of each other; the whisker is the spread of p99.
fn latency_bar(label: String, latency: &Latencies, note: String) -> Bar {
    let (p50, p90, p99) = (latency.p50_ms.median, latency.p90_ms.median, latency.p99_ms.median);
    let note = if note.is_empty() { note } else { format!(", {note}") };
    Bar {
        label,
        parts: vec![p50, (p90 - p50).max(0.0), (p99 - p90).max(0.0)],
        spread: Some((latency.p99_ms.low, latency.p99_ms.high)),
        note: format!("{p50:.2}, {p90:.2}, {p99:.2} ms{note}"),
    }
}

fn stress(report: &Report, body: &mut String) {
    if report.overload.is_none() && report.eager.is_none() {
        return;
    }
    *body += "<h2>Too much at once</h2>";
    let text = report.stress_text();
    *body += &markdown_table(&text);
    for note in text.lines().filter(|line| !line.is_empty() && !line.starts_with('|')) {
        let _ = write!(body, "<p>{}</p>", escaped(note));
    }
}

/// What adapters are, and what batches on them reach.
fn devices(report: &Report, body: &mut String) {
    if !report.adapters.is_empty() {
        *body += "<h2>Adapters, as calibration at the start measures them</h2>";
        *body += &markdown_table(&report.adapter_table().to_text());
        *body += "<p>Millions a second: multiplications of a pixel for resampling, pixels for all others.</p>";
        *body += &markdown_table(&report.rate_table().to_text());
    }
    if !report.batches.is_empty() {
        *body += "<h2>Batches on devices: upload, kernels and readback, without decoding and encoding</h2>";
        *body += &markdown_table(&report.batch_table().to_text());
    }
    if let Some(why) = report.no_expectation.as_ref().filter(|_| !report.library.is_empty()) {
        let _ = write!(body, "<p>Measured over expected: {}</p>", escaped(why));
    }
    for note in &report.notes {
        let _ = write!(body, "<p>{}</p>", escaped(note));
    }
}

fn kernels(report: &Report, body: &mut String) {
    if report.kernels.is_empty() {
        return;
    }
    let _ = write!(
        body,
        "<h2>Kernels: part of the bandwidth of a copy with one thread</h2><p>{}.</p><div class=\"card\">",
        escaped(&report.memory_text())
    );
    let bars: Vec<Bar> = report
        .kernels
        .iter()
        .map(|row| Bar {
            label: format!("{} {}², {}", row.kernel, row.side, row.backend),
            parts: vec![row.bandwidth_share * 100.0],
            spread: None,
            note: format!("{:.1} %, {:.2} GB/s", row.bandwidth_share * 100.0, row.bytes_per_second / 1e9),
        })
        .collect();
    *body += &plot(&bars);
    *body += "</div>";
}

/// Horizontal bars over one scale.
fn plot(bars: &[Bar]) -> String {
    const LEFT: f64 = 250.0;
    const WIDTH: f64 = 420.0;
    const STEP: f64 = 24.0;
    let reach = |bar: &Bar| bar.spread.map_or(0.0, |(_, high)| high).max(bar.parts.iter().sum());
    let most = bars.iter().map(reach).fold(1e-9, f64::max);
    let x = |value: f64| LEFT + value / most * WIDTH;
    let height = STEP * bars.len() as f64 + 8.0;
    let mut svg = format!("<svg viewBox=\"0 0 960 {height:.0}\" role=\"img\" aria-label=\"bars\">");
    let _ = write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"0\" y2=\"{height:.0}\"/>");
    for (number, bar) in bars.iter().enumerate() {
        let top = STEP * number as f64 + 4.0;
        let middle = top + 9.0;
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            escaped(&bar.label)
        );
        let mut from = 0.0;
        for (part, class) in bar.parts.iter().zip(["a", "b", "c", "d"]) {
            let width = x(from + part) - x(from);
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"18\"/>",
                x(from)
            );
            from += part;
        }
        if let Some((low, high)) = bar.spread {
            let _ = write!(
                svg,
                "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\"/>",
                x(low),
                x(high)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            x(reach(bar)) + 8.0,
            middle + 4.0,
            escaped(&bar.note)
        );
    }
    svg + "</svg>"
}

/// A table that was made as Markdown.
fn markdown_table(text: &str) -> String {
    // The rule below the head says which columns are numbers: theirs end with a colon.
    let rule = text.lines().filter(|line| line.starts_with('|')).nth(1).unwrap_or_default();
    let words: Vec<bool> = rule.trim_matches('|').split('|').map(|part| !part.trim().ends_with(':')).collect();
    let mut html = String::from("<div class=\"card\"><table>");
    for (number, line) in text.lines().filter(|line| line.starts_with('|')).enumerate() {
        if number == 1 {
            continue;
        }
        html += "<tr>";
        let cell = if number == 0 { "th" } else { "td" };
        for (column, word) in line.trim_matches('|').split('|').enumerate() {
            let word = word.trim();
            let kind = if words.get(column).copied().unwrap_or(false) { " class=\"w\"" } else { "" };
            let _ = write!(html, "<{cell}{kind}>{}</{cell}>", escaped(word));
        }
        html += "</tr>";
    }
    html + "</table></div>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
        let table = markdown_table("| a | b |\n| -- | -: |\n| <i> | 2 |\n");
        assert!(table.contains("<td class=\"w\">&lt;i&gt;</td><td>2</td>") && !table.contains("- "), "{table}");
    }

    #[test]
    fn bars_stay_on_their_scale() {
        let bar = |parts: Vec<f64>, spread| Bar { label: "x".into(), parts, spread, note: String::new() };
        let svg = plot(&[bar(vec![1.0, 1.0], Some((1.5, 4.0))), bar(vec![0.0], None)]);
        assert!(svg.contains("width=\"105.0\"") && svg.contains("x2=\"670.0\""), "{svg}");
        assert!(!svg.contains("NaN") && !plot(&[]).contains("inf"));
    }
}
