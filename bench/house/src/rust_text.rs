//! Just enough of Rust's lexing to tell code from comments and strings, and tests from the rest. It keeps every
//! line where it was. It understands no grammar beyond that.

/// One file, taken apart. Each part has the lines of the file; what belongs elsewhere is blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Code without comments; strings and characters are empty.
    pub code: String,
    /// The text of the comments alone.
    pub comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// Takes a file apart.
pub fn parts(text: &str) -> Parts {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Parts { code: String::new(), comments: String::new() };
    let mut at = 0;
    while at < chars.len() {
        let (part, len) = token(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
        for &char in &chars[at..at + len] {
            let blank = if char == '\n' { '\n' } else { ' ' };
            out.code.push(if part == Part::Code { char } else { blank });
            out.comments.push(if part == Part::Comment { char } else { blank });
        }
        at += len;
    }
    out
}

/// What begins here, and how long it is.
fn token(rest: &[char], before: Option<char>) -> (Part, usize) {
    match rest {
        ['/', '/', ..] => (Part::Comment, until(rest, |rest| rest[0] == '\n')),
        ['/', '*', ..] => (Part::Comment, block_comment(rest)),
        ['"', ..] => (Part::Text, quoted(rest, '"')),
        ['\'', ..] => character(rest),
        ['r' | 'b' | 'c', ..] if !before.is_some_and(is_word) => prefixed(rest),
        _ => (Part::Code, 1),
    }
}

fn until(rest: &[char], end: impl Fn(&[char]) -> bool) -> usize {
    (0..rest.len()).find(|&at| end(&rest[at..])).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// A string from its opening quote to its closing one.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            char if char == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character, or a lifetime's tick, which is code.
fn character(rest: &[char]) -> (Part, usize) {
    match rest {
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (Part::Text, quoted(rest, '\'')),
        _ => (Part::Code, 1),
    }
}

/// Raw, byte and C strings, or a word that only begins like one.
fn prefixed(rest: &[char]) -> (Part, usize) {
    let letters = rest.iter().take_while(|char| matches!(char, 'r' | 'b' | 'c')).count();
    let hashes = rest[letters..].iter().take_while(|char| **char == '#').count();
    let raw = rest[..letters].contains(&'r');
    match rest.get(letters + hashes) {
        Some('"') if raw && letters <= 2 => {
            let body = letters + hashes + 1;
            let closes = |rest: &[char]| {
                rest[0] == '"' && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            (Part::Text, (body + until(&rest[body..], closes) + 1 + hashes).min(rest.len()))
        }
        Some('"') if letters == 1 && hashes == 0 => (Part::Text, letters + quoted(&rest[letters..], '"')),
        Some('\'') if rest[0] == 'b' && letters == 1 && hashes == 0 => {
            (Part::Text, letters + quoted(&rest[letters..], '\''))
        }
        _ => (Part::Code, 1),
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The words (names and keywords) of some code, each with its line, counted from 1.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(line, text)| {
        let words = text.split(|char| !is_word(char)).filter(|word| !word.is_empty());
        words.map(move |word| (line + 1, word))
    })
}

/// The code with every item behind `#[cfg(test)]` made blank.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out += &rest[..at];
        let len = MARK.len() + item(&rest[at + MARK.len()..]);
        out.extend(rest[at..at + len].chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        rest = &rest[at + len..];
    }
    out + rest
}

/// The length of the item that begins here: to its semicolon, or to the end of its body.
fn item(code: &str) -> usize {
    let mut depth = 0;
    for (at, char) in code.char_indices() {
        match char {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        let ends = char == ';' || char == '}' || (char == ',' && depth == 0);
        if ends && depth <= 0 {
            return at + 1;
        }
    }
    code.len()
}

/// A function by the line where it begins, with how many lines it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of `fn`, counted from 1.
    pub line: usize,
    /// From `fn` to its closing brace.
    pub lines: usize,
}

/// All functions that have a body, nested ones too.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let begins = rest.starts_with("fn ") && !code[..at].chars().next_back().is_some_and(is_word);
        if begins {
            let name: String = rest[3..].chars().take_while(|char| is_word(*char)).collect();
            let text = &rest[..item(rest)];
            // A `fn` without a name is a type.
            if !name.is_empty() && text.ends_with('}') {
                found.push(Function { name, line, lines: text.lines().count() });
            }
        }
        let char = rest.chars().next().expect("not at the end");
        line += usize::from(char == '\n');
        at += char.len_utf8();
    }
    found
}
