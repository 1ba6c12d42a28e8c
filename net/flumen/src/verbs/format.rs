//! Records as lines: the value alone, or everything as JSON. Bytes that are no text keep their place as
//! `{"hex": "…"}`. Pure.

use flumen_client::Record;
use serde::{Serialize, Serializer};
use std::io::{self, Write};

/// How a record becomes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The value as it is; a tombstone is an empty line.
    Value,
    /// One JSON object.
    Json,
}

/// Bytes as a JSON string, or as `{"hex": "…"}` when they are no UTF-8.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Hex {
            hex: String,
        }
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let hex = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                Hex { hex }.serialize(serializer)
            }
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<HeaderLine<'a>>,
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    key: Text<'a>,
    value: Option<Text<'a>>,
}

impl Format {
    /// Writes a record and a line break.
    pub(crate) fn write(self, record: &Record, out: &mut impl Write) -> io::Result<()> {
        match self {
            Format::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
            Format::Json => serde_json::to_writer(&mut *out, &line(record))?,
        }
        out.write_all(b"\n")
    }
}

fn line(record: &Record) -> Line<'_> {
    let headers = record.headers.iter();
    Line {
        topic: &record.topic,
        partition: record.partition.0,
        offset: record.offset.0,
        timestamp: record.timestamp.0,
        key: record.key.as_deref().map(Text),
        value: record.value.as_deref().map(Text),
        headers: headers
            .map(|header| HeaderLine { key: Text(&header.key), value: header.value.as_deref().map(Text) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use flumen_client::Header;
    use flumen_model::{Offset, PartitionNumber, UnixMillis};

    fn record() -> Record {
        Record {
            topic: "orders".into(),
            partition: PartitionNumber(2),
            offset: Offset(7),
            timestamp: UnixMillis(1_772_366_400_250),
            key: Some(Bytes::from_static(b"k\"")),
            value: Some(Bytes::from_static(b"\xff\x00")),
            headers: vec![
                Header { key: Bytes::from_static(b"h"), value: None },
                Header { key: Bytes::from_static(b"h"), value: Some(Bytes::from_static(b"")) },
            ],
        }
    }

    fn written(format: Format, record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(record, &mut out).unwrap();
        out
    }

    #[test]
    fn a_value_is_printed_as_it_is() {
        assert_eq!(written(Format::Value, &record()), b"\xff\x00\n");
        assert_eq!(written(Format::Value, &Record { value: None, ..record() }), b"\n");
    }

    #[test]
    fn json_keeps_everything_apart() {
        let line = written(Format::Json, &record());
        let wanted = concat!(
            r#"{"topic":"orders","partition":2,"offset":7,"timestamp":1772366400250,"key":"k\"","#,
            r#""value":{"hex":"ff00"},"headers":[{"key":"h","value":null},{"key":"h","value":""}]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
        let bare =
            Record { key: None, value: Some(Bytes::from_static(b"")), headers: Vec::new(), ..record() };
        let json: serde_json::Value = serde_json::from_slice(&written(Format::Json, &bare)).unwrap();
        assert_eq!((&json["key"], &json["value"]), (&serde_json::Value::Null, &serde_json::json!("")));
    }
}
