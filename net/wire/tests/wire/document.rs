//! FORMAT.md says what the table of kinds says.

use flumen_wire::{AnsweredBy, Flow, KINDS};

#[test]
fn every_kind_stands_in_the_document_with_its_number_and_who_answers() {
    let document = include_str!("../../FORMAT.md");
    for row in KINDS {
        let by = match (row.answered_by, row.flow) {
            (_, Flow::Unanswered) => "nobody",
            (AnsweredBy::Any, _) => "any shard",
            (AnsweredBy::Owner, _) => "the owner",
            (AnsweredBy::First, _) => "shard 0",
            (AnsweredBy::Client, _) => "nobody",
        };
        let line = format!("| {:#x} | {} | {by} |", row.number, row.name);
        assert!(document.contains(&line), "FORMAT.md lacks the line\n{line}");
    }
}
