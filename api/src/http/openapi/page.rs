//! The page that people read: plain HTML without scripts.

use super::{Group, OPERATIONS, Operation, Used, used};
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;\
background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #ddd}summary{cursor:pointer;padding:.3rem 0}\
code{font:14px/1.4 ui-monospace,monospace}.m{display:inline-block;min-width:4.2rem;text-align:center;border-radius:4px;\
color:#fff;font:600 12px/1.7 ui-monospace,monospace;margin-right:.6rem}.GET{background:#2c6e9b}.POST{background:#2b7a4b}\
.PUT{background:#96681a}.DELETE{background:#a03a3a}.s{color:#555}table{border-collapse:collapse;margin:.3rem 0 1rem 4.8rem}\
td{padding:.15rem .8rem .15rem 0;vertical-align:top;border-bottom:1px solid #eee}nav a{margin-right:1rem}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}h2{border-color:#444}.s{color:#aaa}\
td{border-color:#333}a{color:#8cc4f0}}";

/// The whole page.
pub fn page() -> String {
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html += "<meta name=\"viewport\" content=\"width=device-width\"><title>Tintype: the API</title>";
    let _ = write!(html, "<style>{STYLE}</style></head><body><h1>The API of Tintype</h1>");
    html += "<p>What clients of Cloudinary call, on this server. The same as a document for tools: \
             <a href=\"/openapi.json\">openapi.json</a>. Parameters come in the query or in the body, as JSON, form or \
             multipart; lists may be repeated as <code>name</code>, <code>name[]</code> or <code>name[0]</code>. Errors are \
             <code>{\"error\": {\"message\": …}}</code>.</p><nav>";
    for group in Group::ALL {
        let _ = write!(html, "<a href=\"#{}\">{}</a>", anchor(group), escaped(group.name()));
    }
    html += "</nav>";
    for group in Group::ALL {
        let _ = write!(
            html,
            "<h2 id=\"{}\">{}</h2><p>{} Paths begin with <code>{}</code>.</p>",
            anchor(group),
            escaped(group.name()),
            escaped(group.about()),
            escaped(group.base())
        );
        for operation in OPERATIONS.iter().filter(|operation| operation.group == group) {
            write_operation(&mut html, operation);
        }
    }
    html + "</body></html>\n"
}

fn write_operation(html: &mut String, operation: &Operation) {
    let _ = write!(
        html,
        "<details><summary><span class=\"m {0}\">{0}</span><code>{1}</code> <span class=\"s\">{2}</span></summary>",
        operation.method,
        escaped(operation.path),
        escaped(operation.summary)
    );
    let used = used(operation);
    if used.is_empty() {
        *html += "<table><tr><td class=\"s\">No parameters</td></tr></table>";
    } else {
        *html += "<table>";
        for Used { parameter, required } in used {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td class=\"s\">{}{}</td><td>{}</td></tr>",
                escaped(parameter.name),
                parameter.kind,
                if required { ", required" } else { "" },
                escaped(parameter.about)
            );
        }
        *html += "</table>";
    }
    *html += "</details>";
}

fn anchor(group: Group) -> String {
    group.name().to_ascii_lowercase().replace(' ', "-")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page() {
        let html = page();
        for operation in OPERATIONS {
            assert!(html.contains(operation.summary), "{}", operation.path);
        }
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
    }
}
