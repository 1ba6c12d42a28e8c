//! What the page promises: whole, alone, escaped.

use super::*;
use crate::report::document::tests::example;

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page(&example());
    for outside in ["http:", "https:", "<script", "<link", "url(", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"));
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn every_tag_that_opens_also_closes() {
    let page = page(&example());
    for tag in ["section", "table", "tr", "td", "svg", "figure", "span", "dl", "div", "main", "small", "p"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn every_part_claim_and_verdict_is_shown() {
    let document = example();
    let page = page(&document);
    for part in &document.parts {
        assert!(page.contains(&format!("<b>{}</b>", part.name)), "{}", part.name);
    }
    for verdict in ["missed", "holds", "too few rounds"] {
        assert!(page.contains(verdict), "{verdict}");
    }
}

#[test]
fn texts_of_a_run_cannot_become_markup() {
    let mut document = example();
    document.notes.push("<img onerror=x>".into());
    document.configuration.insert("<b>".into(), "\"><script>".into());
    let page = page(&document);
    assert!(!page.contains("<img") && !page.contains("<script"));
    assert!(page.contains("O_DSYNC &lt;&quot;&amp;'&gt;"), "durability is escaped");
}
