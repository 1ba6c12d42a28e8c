//! The configuration: its one table, the file, the flags above it, and what is refused with which words.

use super::units::{Kind, Size};
use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Loaded> {
    Loaded::from_text("flumen.toml", text, &[])
}

fn refused(text: &str) -> String {
    let error = read(text).expect_err("the text is wrong");
    assert_eq!(error.code, Code::InvalidSetting);
    error.message
}

fn flag(path: &str, text: &str) -> Override {
    Override { path: path.to_owned(), text: text.to_owned(), flag: format!("--{path}") }
}

/// The printout without sources and meanings.
fn values(loaded: &Loaded) -> String {
    let text = effective_text(loaded);
    let lines: Vec<&str> =
        text.lines().map(|line| line.split("  #").next().unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// The printout of keys that are no default, without meanings.
fn changed(loaded: &Loaded) -> String {
    let text = effective_text(loaded);
    let of_line = |line: &str| {
        let (value, rest) = line.split_once('#')?;
        let source = rest.trim().split("  ").next()?;
        (source != "default").then(|| format!("{} <- {source}", value.trim_end()))
    };
    text.lines().filter_map(of_line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_is_the_defaults() {
    let loaded = read("").unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(changed(&loaded), "");
}

#[test]
fn the_defaults_print_as_they_did() {
    let wanted = include_str!("golden_defaults.toml");
    let now = values(&Loaded::default());
    assert!(wanted.trim_end() == now, "the defaults now print as:\n{now}");
}

#[test]
fn what_is_printed_reads_back_to_the_same_configuration() {
    let text = r#"
        data = "/srv/flu\"men"
        cores = [2, 3, 9]
        shards = 4
        profile = "/etc/flumen/profile.toml"
        durable_write = "flush"
        log_level = "info,flumen_log=debug"
        [topic]
        durability = "quorum-memory"
        [limits]
        batch_bytes_max = 3_000_000
    "#;
    let loaded = read(text).unwrap();
    let again = read(&effective_text(&loaded)).unwrap();
    // Settings that were defaults are set now, to the same values.
    assert_eq!(values(&loaded), values(&again));
    assert_eq!(Config { topic: loaded.config.topic.clone(), ..again.config }, loaded.config);
}

#[test]
fn every_value_says_whether_it_is_default_file_or_flag() {
    let text = "data = \"/srv/flumen\"\ncores = [2, 3]\n\n[topic]\nretention.ms = \"1d\"\n\n[limits]\nidle_ms_max = \"5m\"\n";
    let flags = [flag("cores", "0-1"), flag("limits.connections_max", "100")];
    let loaded = Loaded::from_text("flumen.toml", text, &flags).unwrap();
    assert_eq!(
        changed(&loaded),
        "data = \"/srv/flumen\" <- line 1\n\
         cores = [0, 1] <- --cores\n\
         retention.ms = 86400000 <- line 5\n\
         connections_max = 100 <- --limits.connections_max\n\
         idle_ms_max = \"5m\" <- line 8"
    );
    assert_eq!(loaded.config.cores, Cores::List(vec![0, 1]), "a flag stands above the file");
    assert_eq!(loaded.config.topic.retention_ms(), Some(86_400_000));
    assert_eq!(loaded.config.limits.idle_ms_max, 300_000);
}

#[test]
fn json_has_one_row_a_key_with_its_source() {
    let loaded = Loaded::from_text("flumen.toml", "spin_us = 0\n", &[flag("cores", "0-1")]).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&effective_json(&loaded)).unwrap();
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!(rows.as_array().unwrap().len(), keys().len());
    assert_eq!(row("spin_us")["value"], 0);
    assert_eq!(row("spin_us")["default"], 50);
    assert_eq!(row("spin_us")["source"], "file");
    assert_eq!(row("spin_us")["line"], 1);
    assert_eq!(row("cores")["value"], serde_json::json!([0, 1]));
    assert_eq!(row("cores")["flag"], "--cores");
    assert_eq!(row("topic.retention.ms")["source"], "default");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    assert_eq!(
        refused("data = \"x\"\njurnal_bytes = \"1GiB\"\n"),
        "flumen.toml line 2: there is no key \"jurnal_bytes\"; did you mean journal_bytes?"
    );
    assert_eq!(
        refused("[limits]\n\nconnection_max = 3\n"),
        "flumen.toml line 3: there is no key \"limits.connection_max\"; did you mean limits.connections_max?"
    );
    assert_eq!(
        refused("connections_max = 3\n"),
        "flumen.toml line 1: there is no key \"connections_max\"; did you mean limits.connections_max?"
    );
    assert_eq!(
        refused("[topic]\nretention_ms = 3\n"),
        "flumen.toml line 2: there is no key \"topic.retention_ms\"; did you mean topic.retention.ms?"
    );
    assert_eq!(
        refused("zzzzqqqq = 3\n"),
        "flumen.toml line 1: there is no key \"zzzzqqqq\"; `flumen config` lists all keys"
    );
}

#[test]
fn a_wrong_value_names_its_line_and_what_would_be_right() {
    for (text, wanted) in [
        ("journal_bytes = \"1GB\"", "line 1: journal_bytes cannot be \"1GB\"; it must be bytes, such as"),
        ("journal_bytes = -1", "journal_bytes cannot be \"-1\""),
        ("journal_bytes = 1.5", "line 1: journal_bytes must be text, a number, true or false, or a list"),
        ("native = \"nowhere\"", "native cannot be \"nowhere\"; it must be a numeric address and a port"),
        ("cores = [1, 1]", "each once"),
        ("cores = \"3-1\"", "cores cannot be"),
        ("cores = []", "cores cannot be"),
        ("cores = \"0-99999999999\"", "cores cannot be"),
        ("shards = 0", "1 to 65535"),
        ("insecure = \"yes\"", "true or false"),
        ("log_format = \"xml\"", "log_format cannot be \"xml\"; it must be text or json"),
        ("log_level = \"a=b=c\"", "log_level cannot be"),
        ("host = \"tokio\"", "host cannot be \"tokio\"; it must be glommio"),
        ("durable_write = \"never\"", "auto, dsync or flush"),
        (
            "[topic]\nretention.ms = \"soon\"",
            "line 2: topic.retention.ms cannot be \"soon\"; it must be a whole number",
        ),
        ("[topic]\ndurability = \"none\"", "topic.durability cannot be \"none\""),
        ("[limits]\nidle_ms_max = \"5x\"", "a duration, such as"),
        ("data = \"a\"\ndata = \"b\"", "duplicate key"),
        ("data = ", "flumen.toml: TOML parse error at line 1"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{text:?} gives {message:?}");
    }
}

#[test]
fn values_that_do_not_fit_each_other_are_refused() {
    for (text, wanted) in [
        ("spin_us = 101", "spin_us = 101 is over 100"),
        ("journal_bytes = \"1MiB\"", "journal_bytes must be at least 64 MiB"),
        ("segment_bytes = \"4KiB\"", "segment_bytes must be at least 256 KiB"),
        ("[limits]\nbatch_bytes_max = \"5MiB\"", "limits.batch_bytes_max must be"),
        ("[limits]\ndisk_warn_bytes = \"1GiB\"", "the warning comes first"),
        ("[limits]\nconnections_max = 0", "at least 1"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{text:?} gives {message:?}");
    }
}

#[test]
fn an_address_that_others_reach_needs_insecure() {
    for open in ["0.0.0.0:9644", "[::]:9644", "192.168.1.5:9644"] {
        let message = refused(&format!("native = \"{open}\""));
        assert!(message.contains("--insecure") && message.contains(open), "{message}");
        let allowed = Loaded::from_text("x", &format!("native = \"{open}\""), &[flag("insecure", "true")]);
        assert_eq!(allowed.unwrap().config.native.to_string(), open);
    }
    for closed in ["127.0.0.1:1", "[::1]:9644", "localhost:9644"] {
        assert!(read(&format!("native = \"{closed}\"")).is_ok(), "{closed}");
    }
}

#[test]
fn a_flag_that_is_wrong_is_named() {
    let error = Loaded::from_text("", "", &[flag("spin_us", "soon")]).unwrap_err();
    assert!(error.message.starts_with("--spin_us: spin_us cannot be"), "{}", error.message);
}

#[test]
fn units_mean_what_they_say() {
    for (text, bytes) in [("0", 0), ("64KiB", 65_536), ("1 GiB", 1 << 30), ("1_000", 1000), ("7B", 7)] {
        assert_eq!(units::bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "KiB", "1.5GiB", "-1", "1kb", "99999999999TiB", "1 0"] {
        assert_eq!(units::bytes(text), None, "{text:?}");
    }
    for (text, millis) in [("10", 10), ("10ms", 10), ("30s", 30_000), ("5m", 300_000), ("7d", 604_800_000)] {
        assert_eq!(units::millis(text), Some(millis), "{text}");
    }
    for text in ["", "s", "1y", "-5m", "5 minutes"] {
        assert_eq!(units::millis(text), None, "{text:?}");
    }
}

#[test]
fn every_default_is_a_legal_value_of_its_key() {
    for key in keys() {
        let defaults = Config::default();
        let mut config = Config::default();
        let literal = key.literal(&defaults);
        let text = format!("{} = {literal}", key.path());
        let entry = file::entries("x", &text).unwrap().remove(0);
        key.set(&mut config, &entry.text).unwrap_or_else(|error| panic!("{}: {error}", key.path()));
        assert_eq!(key.literal(&config), literal, "{}", key.path());
        assert!(!key.meaning.is_empty() && !key.kind.is_empty());
    }
}

#[test]
fn key_names_are_unique() {
    let mut paths: Vec<String> = keys().iter().map(Key::path).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
}

#[test]
fn the_sample_is_the_defaults_switched_off_and_switched_on() {
    let sample = sample();
    assert_eq!(read(&sample).unwrap().config, Config::default());
    // A `#` without a space hides a value; with the sign taken away every key is set to its default.
    let on: Vec<&str> = sample
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let loaded = read(&on.join("\n")).unwrap();
    assert_eq!(values(&loaded), values(&Loaded::default()));
    for key in keys() {
        assert_ne!(loaded.source(&key.path()), Source::Default, "{} is not in the sample", key.path());
    }
}

#[test]
fn the_sample_file_of_the_packaging_is_the_one_made_from_the_table() {
    let shipped = include_str!("../../../../systemd/flumen.toml");
    assert!(shipped == sample(), "write it again: flumen config --sample > systemd/flumen.toml");
}

#[test]
fn durable_write_follows_the_file_then_dsync() {
    let choice = |text: &str| read(text).unwrap().config.durable_write();
    assert_eq!(choice("durable_write = \"flush\""), (DurableWrite::Flush, None));
    assert_eq!(choice("durable_write = \"dsync\""), (DurableWrite::Dsync, None));
    assert_eq!(choice("data = \"/nowhere\""), (DurableWrite::Dsync, None), "no profile is no fault");
    let (method, warning) = choice("profile = \"/nowhere/profile.toml\"");
    assert_eq!(method, DurableWrite::Dsync);
    assert!(warning.unwrap().contains("/nowhere/profile.toml"), "a profile that was named should be there");
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_key_and_value_is_accepted_or_refused_with_its_key(path in "[a-z._]{0,40}", value in "\\PC{0,40}") {
        if let Err(error) = Loaded::from_text("", "", &[flag(&path, &value)]) {
            prop_assert!(error.message.len() < 2000);
        }
    }

    #[test]
    fn a_size_comes_back_from_its_literal(bytes in any::<u64>()) {
        let literal = <Size as Kind<u64>>::literal(&bytes);
        prop_assert_eq!(units::bytes(literal.trim_matches('"')), Some(bytes));
    }
}
