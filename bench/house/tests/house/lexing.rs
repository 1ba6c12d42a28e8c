//! The small lexer that the other rules stand on.

use flumen_house::rust_text::{functions, parts, without_tests, words};

fn code_words(text: &str) -> Vec<String> {
    words(&parts(text).code).map(|(_, word)| word.to_string()).collect()
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = r####"
        let a = "unsafe \" unsafe"; // unsafe
        /* unsafe /* unsafe */ unsafe */ let b = r#"unsafe " unsafe"#;
        let c = b"unsafe"; let d = br"unsafe"; let e = c"unsafe"; let f = b'"'; let g = '"';
        let h = '\''; let i: &'static str = "//"; real();
    "####;
    let words = code_words(text);
    assert!(!words.iter().any(|word| word == "unsafe"), "{words:?}");
    assert_eq!(words.last().map(String::as_str), Some("real"), "nothing behind a string is lost");
    assert_eq!(parts(text).comments.matches("unsafe").count(), 4);
}

#[test]
fn lifetimes_and_words_that_begin_like_strings_are_code() {
    assert_eq!(code_words("fn r<'a>(b: &'a u8, r#try: u8) -> &'a u8 { break_it(b) }")[..3], ["fn", "r", "a"]);
    assert_eq!(code_words("let bar = car(r, b);"), ["let", "bar", "car", "r", "b"]);
}

#[test]
fn every_line_stays_where_it_was() {
    let text = "a\n/* b\nc */ d \"e\nf\" g\n// h\ni";
    let parts = parts(text);
    assert_eq!(parts.code.lines().count(), text.lines().count());
    let found: Vec<_> = words(&parts.code).collect();
    assert_eq!(found, [(1, "a"), (3, "d"), (4, "g"), (6, "i")]);
    assert_eq!(words(&parts.comments).collect::<Vec<_>>(), [(2, "b"), (3, "c"), (5, "h")]);
}

#[test]
fn tests_inside_a_file_are_not_its_code() {
    let code =
        "one();\n#[cfg(test)]\nmod tests;\ntwo();\n#[cfg(test)]\nmod more {\n    fn x() { y() }\n}\nthree();";
    let rest = without_tests(code);
    let names: Vec<_> = words(&rest).collect();
    assert_eq!(names, [(1, "one"), (4, "two"), (9, "three")]);
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let code = "fn one() {}\ntrait T { fn open(&self); }\nfn two<F: Fn([u8; 2])>(\n    f: F,\n) {\n    f([1, 2]);\n}\n";
    let found: Vec<_> = functions(code).into_iter().map(|it| (it.name, it.line, it.lines)).collect();
    assert_eq!(found, [("one".to_string(), 1, 1), ("two".to_string(), 3, 5)]);
}
