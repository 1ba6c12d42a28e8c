//! The page of a run: one file that needs nothing else, no script, no font, no network; light and dark. It must
//! never show a text of the run unescaped.

use super::document::{Document, PartReport};
use super::plot::{self, Line};
use super::units;
use crate::measure::{Claim, Spread, Verdict};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
/// Parts with larger operations are streams of bytes: in the tables, but not among the latencies of single requests.
const PLOTTED_BYTES_MAX: f64 = 64.0 * 1024.0;

/// The whole page.
pub fn page(document: &Document) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let title = format!("flumen bench {}", escape(&document.bench));
    let _ = write!(page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(page, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let _ = write!(page, "<meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>");
    let _ = write!(page, "<style>{STYLE}</style></head><body><main>");
    head(&mut page, document, &title);
    tiles(&mut page, document);
    notes(&mut page, document);
    claims(&mut page, document);
    latencies(&mut page, document);
    figures(&mut page, document);
    throughput(&mut page, document);
    stalls(&mut page, document);
    profiles(&mut page, document);
    costs(&mut page, document);
    facts(&mut page, document);
    let _ = write!(page, "</main></body></html>");
    page
}

fn head(page: &mut String, document: &Document, title: &str) {
    let started = escape(&document.started.replace('T', " ").replace('Z', " UTC"));
    let _ = write!(page, "<header><h1>{title}</h1><p class=\"sub\">");
    let chips = [
        format!("result <b>{}</b>", escape(&document.result_part)),
        format!("host <b>{}</b>", escape(&document.host)),
        format!("durability <b>{}</b>", escape(&document.durability)),
        format!("<b>{}</b>", units::plural(document.rounds as u64, "interleaved round")),
        started,
    ];
    for chip in chips {
        let _ = write!(page, "<span class=\"chip\">{chip}</span>");
    }
    let _ = write!(page, "</p></header>");
}

/// The result at a glance.
fn tiles(page: &mut String, document: &Document) {
    let (result, ratio) = (&document.result, &document.ratio);
    let against = |floor: f64, host: f64| match (floor > 0.0, host > 0.0) {
        (false, false) => String::new(),
        _ => format!("{} × floor · {} × host floor", units::multiple(floor), units::multiple(host)),
    };
    let tiles = [
        ("p50", units::latency(result.p50_us), against(ratio.floor_p50, ratio.host_floor_p50)),
        ("p99", units::latency(result.p99_us), against(ratio.floor_p99, ratio.host_floor_p99)),
        ("p99.9", units::latency(result.p999_us), against_floor(ratio.floor_p999)),
        (
            "records a second",
            units::rate(result.records_per_s),
            format!("{}/s", units::bytes(result.bytes_per_s)),
        ),
    ];
    let _ = write!(page, "<section class=\"tiles\" aria-label=\"{}\">", escape(&document.result_part));
    for (name, value, below) in tiles {
        let _ = write!(
            page,
            "<div class=\"tile\"><span>{name}</span><strong>{value}</strong><em>{below}</em></div>"
        );
    }
    let _ = write!(page, "</section>");
}

fn against_floor(floor: f64) -> String {
    if floor > 0.0 { format!("{} × floor", units::multiple(floor)) } else { String::new() }
}

fn notes(page: &mut String, document: &Document) {
    for note in &document.notes {
        let _ = write!(page, "<p class=\"note\">{}</p>", escape(note));
    }
}

fn claims(page: &mut String, document: &Document) {
    if document.claims.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section><h2>Claims</h2><div class=\"scroll\"><table><thead><tr><th>claim</th><th>limit</th>"
    );
    let _ = write!(page, "<th>median</th><th>spread</th><th class=\"wide\">rounds against the limit</th>");
    let _ = write!(page, "<th>verdict</th></tr></thead><tbody>");
    for claim in &document.claims {
        let Spread { min, median, max } = claim.measured;
        let class = match claim.verdict {
            Verdict::Holds => "good",
            Verdict::Missed => "bad",
            Verdict::TooFewRounds | Verdict::EmptyJournal => "open",
        };
        let _ =
            write!(page, "<tr><td>{}</td><td class=\"n\">{}</td>", escape(&claim.name), units::limit(claim));
        let _ = write!(page, "<td class=\"n\"><b>{}</b></td>", units::value(median));
        let _ = write!(page, "<td class=\"n dim\">{} – {}</td>", units::value(min), units::value(max));
        let _ = write!(page, "<td>{}</td><td><span class=\"pill {class}\">", range(claim));
        let _ = write!(page, "{}</span></td></tr>", claim.verdict.text());
    }
    let _ = write!(page, "</tbody></table></div></section>");
}

/// A claim's rounds as a bar from the smallest to the largest, the median a dot, the limit a rule.
fn range(claim: &Claim) -> String {
    let high = claim.measured.max.max(claim.limit) * 1.1;
    let x = |value: f64| 4.0 + value.clamp(0.0, high) / high.max(1e-9) * 192.0;
    let Spread { min, median, max } = claim.measured;
    let class = if claim.within() { "good" } else { "bad" };
    format!(
        "<svg class=\"range {class}\" viewBox=\"0 0 200 20\" aria-hidden=\"true\">\
         <line class=\"rail\" x1=\"4\" x2=\"196\" y1=\"10\" y2=\"10\"/>\
         <line class=\"span\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"10\" y2=\"10\"/>\
         <circle cx=\"{:.1}\" cy=\"10\" r=\"4.5\"/>\
         <line class=\"limit\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"2\" y2=\"18\"/></svg>",
        x(min),
        x(max),
        x(median),
        x(claim.limit),
        x(claim.limit)
    )
}

/// Whether a part's latencies are those of single requests.
fn plotted(part: &PartReport) -> bool {
    let f = &part.figures;
    f.has_latency() && f.bytes_per_s < PLOTTED_BYTES_MAX * f.records_per_s.max(1.0)
}

/// The lines of some parts; a part has the same colour in every plot, the result the first.
fn lines<'a, P>(
    document: &'a Document,
    shown: impl Fn(&PartReport) -> bool,
    points: impl Fn(&'a PartReport) -> &'a [P],
) -> Vec<Line<'a, P>> {
    let mut others = 0;
    let mut lines = Vec::new();
    for part in document.parts.iter().filter(|part| plotted(part) || !part.timeline_per_s.is_empty()) {
        let bold = part.name == document.result_part;
        others += usize::from(!bold);
        if shown(part) {
            let colour = if bold { 0 } else { others };
            lines.push(Line { name: &part.name, bold, colour, points: points(part) });
        }
    }
    lines
}

fn latencies(page: &mut String, document: &Document) {
    let lines = lines(document, plotted, |part| &part.curve);
    let svg = plot::percentiles(&lines);
    if svg.is_empty() {
        return;
    }
    let _ = write!(page, "<section><h2>Latency by percentile</h2><figure>{svg}");
    legend(page, &lines);
    let _ = write!(page, "</figure><p class=\"dim\">All rounds together; both axes logarithmic. ");
    let _ = write!(
        page,
        "The figures below are medians of the rounds, the maximum is the worst of all.</p></section>"
    );
}

fn legend<P>(page: &mut String, lines: &[Line<'_, P>]) {
    let _ = write!(page, "<figcaption>");
    for line in lines {
        let weight = if line.bold { " bold" } else { "" };
        let class = plot::class(line.colour);
        let _ = write!(page, "<span class=\"key{weight}\"><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\">");
        let _ = write!(
            page,
            "<path class=\"line {class} bold\" d=\"M1 4L21 4\"/></svg>{}</span>",
            escape(line.name)
        );
    }
    let _ = write!(page, "</figcaption>");
}

fn figures(page: &mut String, document: &Document) {
    let _ = write!(page, "<section><h2>Figures</h2><div class=\"scroll\"><table><thead><tr><th>part</th>");
    for name in ["p50", "p99", "p99.9", "p99.99", "max", "records/s", "bytes/s", "n"] {
        let _ = write!(page, "<th class=\"n\">{name}</th>");
    }
    let _ = write!(page, "</tr></thead><tbody>");
    for part in &document.parts {
        let f = &part.figures;
        let class = if part.name == document.result_part { " class=\"result\"" } else { "" };
        let _ = write!(page, "<tr{class}><td><b>{}</b>", escape(&part.name));
        let _ = write!(page, "<small>{}</small></td>", escape(&part.about));
        for us in [("p50_us", f.p50_us), ("p99_us", f.p99_us), ("p999_us", f.p999_us)] {
            let _ = write!(
                page,
                "<td class=\"n\">{}{}</td>",
                units::latency(us.1),
                spread(part, us.0, units::latency)
            );
        }
        let _ = write!(page, "<td class=\"n\">{}</td>", units::latency(f.p9999_us));
        let _ = write!(page, "<td class=\"n\">{}</td>", units::latency(f.max_us));
        for (key, value, text) in [
            ("records_per_s", f.records_per_s, units::rate as fn(f64) -> String),
            ("bytes_per_s", f.bytes_per_s, units::bytes),
        ] {
            let _ = write!(page, "<td class=\"n\">{}{}</td>", text(value), spread(part, key, text));
        }
        let _ = write!(page, "<td class=\"n dim\">{}</td></tr>", units::rate(f.n as f64));
    }
    let _ = write!(page, "</tbody></table></div></section>");
}

/// The smallest and largest round under a figure.
fn spread(part: &PartReport, key: &str, text: fn(f64) -> String) -> String {
    let found = part.spread.get(key).filter(|spread| spread.min < spread.max);
    found.map_or_else(String::new, |s| format!("<small>{} – {}</small>", text(s.min), text(s.max)))
}

fn throughput(page: &mut String, document: &Document) {
    let lines = lines(document, |part| !part.timeline_per_s.is_empty(), |part| &part.timeline_per_s);
    let svg = plot::timeline(&lines);
    if !svg.is_empty() {
        let _ = write!(page, "<section><h2>Records a second over the time of a round</h2><figure>{svg}");
        legend(page, &lines);
        let _ = write!(page, "</figure></section>");
    }
}

fn stalls(page: &mut String, document: &Document) {
    if document.stalls.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section><h2>Longest stalls</h2><div class=\"scroll\"><table class=\"narrow\"><thead><tr>"
    );
    let _ = write!(
        page,
        "<th class=\"n\">at</th><th class=\"n\">length</th><th>beside it</th></tr></thead><tbody>"
    );
    for stall in &document.stalls {
        let latency = units::latency(stall.latency.as_secs_f64() * 1e6);
        let _ = write!(
            page,
            "<tr><td class=\"n\">{:.1} s</td><td class=\"n\">{latency}</td>",
            stall.due.as_secs_f64()
        );
        let _ = write!(page, "<td>{}</td></tr>", escape(&stall.cause));
    }
    let _ = write!(page, "</tbody></table></div></section>");
}

fn profiles(page: &mut String, document: &Document) {
    for profile in &document.profiles {
        let _ = write!(page, "<section><h2>Where the time goes: {}</h2>", escape(&profile.part));
        let _ = write!(page, "<pre>{}</pre></section>", escape(&profile.text));
    }
}

fn costs(page: &mut String, document: &Document) {
    let _ = write!(page, "<section><h2>Costs</h2><div class=\"scroll\"><table><thead><tr><th>part</th>");
    for name in ["our CPU per record", "others’ CPU", "disk reads", "disk writes", "bytes written", "flushes"]
    {
        let _ = write!(page, "<th class=\"n\">{name}</th>");
    }
    let _ = write!(page, "</tr></thead><tbody>");
    for part in &document.parts {
        let a = &part.account;
        let _ = write!(page, "<tr><td>{}</td>", escape(&part.name));
        let _ = write!(
            page,
            "<td class=\"n\">{}</td>",
            units::latency(a.own_us_per_record(part.figures.records_per_s))
        );
        let _ = write!(page, "<td class=\"n\">{}</td>", units::share(a.other_share()));
        for count in [a.disk_reads, a.disk_writes] {
            let _ = write!(page, "<td class=\"n\">{}</td>", units::rate(count as f64));
        }
        let _ = write!(page, "<td class=\"n\">{}</td>", units::bytes(a.disk_write_bytes as f64));
        let _ = write!(page, "<td class=\"n\">{}</td></tr>", units::rate(a.disk_flushes as f64));
    }
    let _ = write!(
        page,
        "</tbody></table></div><p class=\"dim\">Sums of all rounds, warm-up included. The disk’s counts "
    );
    let _ = write!(
        page,
        "are everybody’s; kernel workers that complete our writes count as others.</p></section>"
    );
}

fn facts(page: &mut String, document: &Document) {
    let _ = write!(page, "<section class=\"facts\"><div><h2>Machine</h2><dl>");
    for (name, value) in document.machine.rows() {
        let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    let _ = write!(page, "</dl></div><div><h2>Configuration</h2><dl>");
    for (name, value) in &document.configuration {
        let _ = write!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    if let Some(journal) = document.journal {
        let _ = write!(page, "<dt>journal turns</dt><dd>{}</dd>", units::digits(journal.turns));
        let _ = write!(page, "<dt>bytes spread</dt><dd>{}</dd>", units::bytes(journal.bytes_spread as f64));
        let _ = write!(page, "<dt>checkpoints</dt><dd>{}</dd>", journal.checkpoints);
    }
    let _ = write!(page, "</dl></div></section>");
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
