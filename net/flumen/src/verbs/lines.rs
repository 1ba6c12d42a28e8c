//! Lines as records: reading them with a bound, and splitting a key off. Bytes are taken as they are; only the line
//! feed is not part of a line.

use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::{Code, Error, Result};
use std::io::{self, BufRead, Read};

/// No batch may be larger, so no record, and no line, can be.
const LINE_BYTES_MAX: usize = BATCH_BYTES_HARD_MAX;

/// Reads lines one after the other.
pub(crate) struct Lines<R> {
    reader: R,
    name: String,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`, which is called `name` in errors.
    pub(crate) fn new(reader: R, name: impl Into<String>) -> Lines<R> {
        Lines { reader, name: name.into(), line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The next line without its line feed. A last line needs none.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let bound = LINE_BYTES_MAX as u64 + 2;
        let read = self.reader.by_ref().take(bound).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| self.failed(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        if self.line.len() > LINE_BYTES_MAX {
            let message = format!(
                "{} line {}: the line has more than {LINE_BYTES_MAX} bytes, which no record may have",
                self.name, self.number
            );
            return Err(Error::new(Code::BatchTooLarge, message));
        }
        Ok(Some(&self.line))
    }

    /// The number of the line read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read, line feeds included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::new(Code::InvalidRequest, format!("{} cannot be read: {error}", self.name))
    }
}

impl<R: Read> Lines<io::BufReader<R>> {
    /// Whether nothing is left in memory, so that the next line may have to be waited for.
    pub(crate) fn is_drained(&self) -> bool {
        self.reader.buffer().is_empty()
    }
}

/// Key and value of a line: the key stands before the first `separator`. Without one in the line, it is all value.
pub(crate) fn split<'a>(line: &'a [u8], separator: Option<&[u8]>) -> (Option<&'a [u8]>, &'a [u8]) {
    let Some(separator) = separator.filter(|separator| !separator.is_empty()) else { return (None, line) };
    match line.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(text, "test");
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.to_vec());
        }
        assert_eq!((lines.number(), lines.bytes()), (all.len() as u64, text.len() as u64));
        all
    }

    #[test]
    fn lines_and_line_feeds_give_the_file_again() {
        assert!(all(b"").is_empty());
        assert_eq!(all(b"a\n\nb\r\n\xff"), [&b"a"[..], b"", b"b\r", b"\xff"]);
        assert_eq!(all(b"a\n"), [b"a"]);
        assert_eq!(all(b"\n"), [b""]);
    }

    #[test]
    fn a_line_that_never_ends_is_refused_without_its_memory() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x')), "endless");
        let error = lines.next().unwrap_err();
        assert_eq!(error.code, Code::BatchTooLarge);
        assert!(error.message.contains("endless line 1"), "{error}");
        assert!(lines.line.capacity() <= 4 * LINE_BYTES_MAX);
    }

    #[test]
    fn the_longest_line_is_taken() {
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        text.extend(b"\ny");
        let lines = all(&text);
        assert_eq!((lines[0].len(), &lines[1][..]), (LINE_BYTES_MAX, &b"y"[..]));
    }

    #[test]
    fn the_key_stands_before_the_first_separator() {
        assert_eq!(split(b"a:b:c", Some(b":")), (Some(&b"a"[..]), &b"b:c"[..]));
        assert_eq!(split(b"a=>b", Some(b"=>")), (Some(&b"a"[..]), &b"b"[..]));
        assert_eq!(split(b":b", Some(b":")), (Some(&b""[..]), &b"b"[..]));
        assert_eq!(split(b"ab", Some(b":")), (None, &b"ab"[..]));
        assert_eq!(split(b"a:b", None), (None, &b"a:b"[..]));
    }
}
