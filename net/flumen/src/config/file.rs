//! The configuration file as a flat list: dotted name, value as text, line. TOML is read here and nowhere else;
//! what the names mean is the table's business.

use flumen_model::{Code, Error, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name with its tables: `topic.retention.ms`.
    pub(super) path: String,
    /// The value as text: a list has commas between its values.
    pub(super) text: String,
    /// The line of the name, from 1.
    pub(super) line: usize,
}

/// The values of a file's text; `file` is its name, for errors.
pub(super) fn entries(file: &str, text: &str) -> Result<Vec<Entry>> {
    let wrong = |message: String| Error::new(Code::InvalidSetting, format!("{file}: {message}"));
    let table = DeTable::parse(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    let mut entries = Vec::new();
    flatten(text, "", table.get_ref(), &mut entries).map_err(wrong)?;
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn flatten(
    text: &str,
    above: &str,
    table: &DeTable<'_>,
    entries: &mut Vec<Entry>,
) -> std::result::Result<(), String> {
    for (name, value) in table {
        let path =
            if above.is_empty() { name.get_ref().to_string() } else { format!("{above}.{}", name.get_ref()) };
        if let DeValue::Table(below) = value.get_ref() {
            flatten(text, &path, below, entries)?;
            continue;
        }
        let line = line_of(text, name);
        let value = scalar(value.get_ref()).ok_or_else(|| {
            format!("line {line}: {path} must be text, a number, true or false, or a list of them")
        })?;
        entries.push(Entry { path, text: value, line });
    }
    Ok(())
}

fn line_of<T>(text: &str, spanned: &Spanned<T>) -> usize {
    1 + text.as_bytes()[..spanned.span().start.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(list) => {
            let parts: Option<Vec<String>> = list.iter().map(|part| scalar(part.get_ref())).collect();
            parts.map(|parts| parts.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
