//! Values as people write them: `64MiB`, `7d`, `50us`, `true`, `0-3,6`. Each kind of value parses from text and
//! becomes TOML again; the two fit each other. Pure.

use crate::config::{Cores, DurableChoice, HostKind, LogFormat};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A kind of value: how it is called, read and written. `T` is what the program keeps.
pub(super) trait Kind<T> {
    /// What to write, for a person.
    const NAME: &'static str;
    /// The value of a text, or what would be right.
    fn parse(text: &str) -> Result<T, String>;
    /// The value as a TOML literal, which parses to the same value.
    fn literal(value: &T) -> String;
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn wrong(text: &str, wanted: &str) -> String {
    let text: String = text.chars().take(64).collect();
    format!("cannot be {text:?}; it must be {wanted}")
}

/// Splits `64MiB` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim()))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// The largest unit that divides the value.
fn in_units(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let (name, factor) =
        units.iter().rev().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))?;
    Some(format!("{}{name}", value / factor))
}

const SIZES: [(&str, u64); 6] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Bytes.
pub(super) struct Size;

impl Kind<u64> for Size {
    const NAME: &'static str = "size";
    fn parse(text: &str) -> Result<u64, String> {
        scaled(text, &SIZES).ok_or_else(|| wrong(text, "bytes, such as 65536, 64KiB, 16MiB or 1GiB"))
    }
    fn literal(value: &u64) -> String {
        quoted(&in_units(*value, &SIZES[1..]).unwrap_or_else(|| "0B".to_owned()))
    }
}

impl Kind<usize> for Size {
    const NAME: &'static str = "size";
    fn parse(text: &str) -> Result<usize, String> {
        let bytes: u64 = Size::parse(text)?;
        usize::try_from(bytes).map_err(|_| wrong(text, "a size that fits into memory"))
    }
    fn literal(value: &usize) -> String {
        <Size as Kind<u64>>::literal(&(*value as u64))
    }
}

const DURATIONS_MS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The milliseconds of a text such as `10ms`, `30s`, `5m`, `7d`; a bare number is milliseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    scaled(text, &DURATIONS_MS).or_else(|| scaled(text, &[("", 1)]))
}

/// The bytes of a text such as `64KiB`; a bare number is bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    scaled(text, &SIZES)
}

/// Milliseconds.
pub(super) struct Duration;

impl Kind<u64> for Duration {
    const NAME: &'static str = "duration";
    fn parse(text: &str) -> Result<u64, String> {
        millis(text).ok_or_else(|| wrong(text, "a duration, such as 10ms, 30s, 5m, 12h or 7d"))
    }
    fn literal(value: &u64) -> String {
        quoted(&in_units(*value, &DURATIONS_MS).unwrap_or_else(|| "0ms".to_owned()))
    }
}

/// Microseconds.
pub(super) struct Micros;

impl Kind<u64> for Micros {
    const NAME: &'static str = "microseconds";
    fn parse(text: &str) -> Result<u64, String> {
        scaled(text, &[("", 1), ("us", 1)]).ok_or_else(|| wrong(text, "microseconds, such as 50"))
    }
    fn literal(value: &u64) -> String {
        value.to_string()
    }
}

/// How many.
pub(super) struct Count;

impl Kind<usize> for Count {
    const NAME: &'static str = "number";
    fn parse(text: &str) -> Result<usize, String> {
        text.trim().replace('_', "").parse().map_err(|_| wrong(text, "a whole number"))
    }
    fn literal(value: &usize) -> String {
        value.to_string()
    }
}

/// Yes or no.
pub(super) struct Switch;

impl Kind<bool> for Switch {
    const NAME: &'static str = "true or false";
    fn parse(text: &str) -> Result<bool, String> {
        text.trim().parse().map_err(|_| wrong(text, "true or false"))
    }
    fn literal(value: &bool) -> String {
        value.to_string()
    }
}

/// A path.
pub(super) struct Directory;

impl Kind<PathBuf> for Directory {
    const NAME: &'static str = "path";
    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err(wrong(text, "a path")) } else { Ok(PathBuf::from(text)) }
    }
    fn literal(value: &PathBuf) -> String {
        quoted(&value.display().to_string())
    }
}

/// A path, or `auto`.
pub(super) struct PathOrAuto;

impl Kind<Option<PathBuf>> for PathOrAuto {
    const NAME: &'static str = "path or \"auto\"";
    fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        if text == "auto" { Ok(None) } else { Directory::parse(text).map(Some) }
    }
    fn literal(value: &Option<PathBuf>) -> String {
        value.as_ref().map_or_else(|| quoted("auto"), Directory::literal)
    }
}

/// Where to listen.
pub(super) struct Address;

impl Kind<SocketAddr> for Address {
    const NAME: &'static str = "address";
    fn parse(text: &str) -> Result<SocketAddr, String> {
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        numeric
            .as_deref()
            .unwrap_or(text)
            .parse()
            .map_err(|_| wrong(text, "a numeric address and a port, such as 127.0.0.1:9644 or [::1]:9644"))
    }
    fn literal(value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }
}

/// What the log shows.
pub(super) struct Filter;

impl Kind<String> for Filter {
    const NAME: &'static str = "level";
    fn parse(text: &str) -> Result<String, String> {
        let fine = tracing_subscriber::EnvFilter::builder().parse(text).is_ok() && !text.trim().is_empty();
        if fine {
            Ok(text.to_owned())
        } else {
            Err(wrong(text, "error, warn, info, debug or trace, or a list such as info,flumen_log=debug"))
        }
    }
    fn literal(value: &String) -> String {
        quoted(value)
    }
}

/// The processors that run the shards.
pub(super) struct CoreList;

impl Kind<Cores> for CoreList {
    const NAME: &'static str = "list or \"auto\"";
    fn parse(text: &str) -> Result<Cores, String> {
        if text.trim() == "auto" {
            return Ok(Cores::Auto);
        }
        let wrong = || wrong(text, "\"auto\", or processors such as [2, 3] or \"0-3,6\", each once");
        let mut list = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let from: usize = from.trim().parse().map_err(|_| wrong())?;
            let to: usize = to.trim().parse().map_err(|_| wrong())?;
            if from > to || to >= PROCESSORS_MAX {
                return Err(wrong());
            }
            list.extend(from..=to);
        }
        let mut sorted = list.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() == list.len() { Ok(Cores::List(list)) } else { Err(wrong()) }
    }
    fn literal(value: &Cores) -> String {
        match value {
            Cores::Auto => quoted("auto"),
            Cores::List(list) => {
                let numbers: Vec<String> = list.iter().map(usize::to_string).collect();
                format!("[{}]", numbers.join(", "))
            }
        }
    }
}

/// The kernel's own bound of a processor mask here; a larger number is a slip of the pen.
const PROCESSORS_MAX: usize = 8192;

/// How many shards a new directory gets.
pub(super) struct Shards;

impl Kind<Option<u16>> for Shards {
    const NAME: &'static str = "number or \"auto\"";
    fn parse(text: &str) -> Result<Option<u16>, String> {
        if text.trim() == "auto" {
            return Ok(None);
        }
        let number = text.trim().parse().ok().filter(|&n| n > 0);
        number.map(Some).ok_or_else(|| wrong(text, "\"auto\" or a number from 1 to 65535"))
    }
    fn literal(value: &Option<u16>) -> String {
        value.map_or_else(|| quoted("auto"), |number| number.to_string())
    }
}

/// One of a few words; the words and values of a type.
pub(super) trait Words: Copy + PartialEq + Sized + 'static {
    /// The words, for a person.
    const NAME: &'static str;
    /// Each word with its value.
    const ALL: &'static [(&'static str, Self)];
}

impl Words for LogFormat {
    const NAME: &'static str = "text or json";
    const ALL: &'static [(&'static str, Self)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
}

impl Words for HostKind {
    const NAME: &'static str = "glommio";
    const ALL: &'static [(&'static str, Self)] = &[("glommio", HostKind::Glommio)];
}

impl Words for DurableChoice {
    const NAME: &'static str = "auto, dsync or flush";
    const ALL: &'static [(&'static str, Self)] =
        &[("auto", DurableChoice::Auto), ("dsync", DurableChoice::Dsync), ("flush", DurableChoice::Flush)];
}

/// One of a few words.
pub(super) struct OneOf;

impl<T: Words> Kind<T> for OneOf {
    const NAME: &'static str = T::NAME;
    fn parse(text: &str) -> Result<T, String> {
        let found = T::ALL.iter().find(|(word, _)| *word == text.trim());
        found.map(|(_, value)| *value).ok_or_else(|| wrong(text, T::NAME))
    }
    fn literal(value: &T) -> String {
        let (word, _) = T::ALL.iter().find(|(_, have)| have == value).expect("every value has its word");
        quoted(word)
    }
}
