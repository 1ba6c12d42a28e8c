//! The command line: every verb of the plan parses to what was meant, and what is wrong is refused with words.

use super::records::{Acks, Compression, RecordFormat};
use super::values::{Position, Time, TopicPartition};
use super::*;
use clap::CommandFactory;
use flumen_model::{Offset, PartitionNumber, UnixMillis};

fn parsed(line: &str) -> Cli {
    parse(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    parse(line.split(' ')).expect_err("the line is wrong").to_string()
}

#[test]
fn the_command_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_its_help_and_every_flag_its_words() {
    fn walk(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            assert!(sub.get_about().is_some(), "{path} has no help");
            for arg in sub.get_arguments() {
                assert!(arg.get_help().is_some(), "{path} {} has no help", arg.get_id());
            }
            walk(sub, &path);
        }
    }
    walk(&Cli::command(), "flumen");
}

/// Every line that help shows as an example.
fn examples(command: &clap::Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = help.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(examples)).collect()
}

#[test]
fn every_example_of_the_help_parses() {
    let all = examples(&Cli::command());
    assert!(all.len() > 25, "{all:?}");
    for example in all {
        let line = example.split(" > ").next().unwrap_or(&example);
        let line = line.rsplit("| ").next().unwrap_or(line).trim();
        assert!(line.starts_with("flumen "), "{example}");
        parsed(line);
    }
}

#[test]
fn server_and_json_stand_before_or_behind_the_verb() {
    for line in ["flumen --server 127.0.0.1:1 --json status", "flumen status --json --server 127.0.0.1:1"] {
        let cli = parsed(line);
        assert!(cli.json);
        assert_eq!(cli.server().port(), 1);
    }
    let cli = parsed("flumen topic list");
    assert_eq!(cli.server().to_string(), "127.0.0.1:9644");
    assert!(parsed("flumen tune check --json").json);
}

#[test]
fn bench_keeps_its_own_files_apart_from_json_and_server() {
    let line = "flumen bench ack --json-file r.json --html r.html --rounds 3 --json --server 127.0.0.1:1";
    let cli = parsed(line);
    assert!(cli.json);
    assert_eq!(cli.server().port(), 1);
    let Command::Bench(bench) = cli.command else { panic!("not bench") };
    assert_eq!(bench.common.json.as_deref(), Some(std::path::Path::new("r.json")));
    assert_eq!(bench.common.rounds, 3);
}

#[test]
fn json_with_a_file_is_the_report_of_a_bench_and_without_one_the_way_it_is_printed() {
    let report = |line: &str| {
        let cli = parsed(line);
        let Command::Bench(bench) = cli.command else { panic!("not bench") };
        (bench.common.json, cli.json)
    };
    let file = Some(std::path::PathBuf::from("r.json"));
    assert_eq!(report("flumen bench ack --json r.json --html r.html"), (file.clone(), false));
    assert_eq!(report("flumen bench --json=r.json ack"), (file.clone(), false));
    assert_eq!(report("flumen bench --json r.json soak 5"), (file.clone(), false));
    assert_eq!(report("flumen bench soak 5 --json r.json --json"), (file, true));
    assert_eq!(report("flumen bench --json ack"), (None, true));
    assert_eq!(report("flumen --json bench ack --rounds 3"), (None, true));
    assert!(parsed("flumen --json consume bench").json);
}

#[test]
fn produce_and_consume_have_safe_defaults() {
    let Command::Produce(produce) = parsed("flumen produce orders").command else { panic!("not produce") };
    assert_eq!((produce.acks, produce.compression), (Acks::Quorum, Compression::None));
    assert_eq!((produce.partition, produce.file, produce.key_separator), (None, None, None));
    let Command::Consume(consume) = parsed("flumen consume orders").command else { panic!("not consume") };
    assert_eq!((consume.from, consume.to_end, consume.count), (Position::End, false, None));
    assert_eq!(consume.format, RecordFormat::Value);
}

#[test]
fn flags_of_start_become_keys_and_stand_above_set() {
    let line = "flumen start --data d --cores 0-1 --require-existing --set spin_us=0 --set data=x --insecure";
    let Command::Start(start) = parsed(line).command else { panic!("not start") };
    let pairs: Vec<(String, String)> =
        start.config.overrides().into_iter().map(|given| (given.path, given.text)).collect();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        pairs,
        [
            pair("spin_us", "0"),
            pair("data", "x"),
            pair("data", "d"),
            pair("cores", "0-1"),
            pair("require_existing", "true"),
            pair("insecure", "true"),
        ]
    );
}

#[test]
fn every_flag_of_start_is_a_key_of_the_configuration() {
    let line = "flumen start --data d --native 127.0.0.1:1 --cores 0 --shards 1 --durable-write dsync \
                --log-level warn --log-format json --require-existing --insecure";
    let Command::Start(start) = parsed(line).command else { panic!("not start") };
    let overrides = start.config.overrides();
    assert_eq!(overrides.len(), 9);
    crate::config::Loaded::read(None, &overrides).unwrap();
}

#[test]
fn alter_sets_and_unsets_and_needs_one_of_them() {
    let line = "flumen topic alter t --set a=1 --set b= --unset c";
    let Command::Topic(TopicCommand::Alter(alter)) = parsed(line).command else { panic!("not alter") };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(alter.changes(), [pair("a", "1"), pair("b", ""), pair("c", "")]);
    assert!(refused("flumen topic alter t").contains("--set"));
}

#[test]
fn repair_never_works_without_naming_what_is_lost() {
    assert!(refused("flumen repair /data").contains("--accept-loss"));
    let Command::Repair(repair) = parsed("flumen repair /data --accept-loss a/b/3").command else {
        panic!("not repair")
    };
    let lost = TopicPartition { topic: "a/b".to_owned(), partition: PartitionNumber(3) };
    assert_eq!(repair.accept_loss, [lost]);
    for wrong in ["orders", "orders/", "/0", "orders/x", "orders/-1"] {
        assert!(wrong.parse::<TopicPartition>().is_err(), "{wrong}");
    }
}

#[test]
fn a_position_is_a_word_an_offset_or_a_time() {
    let time = |millis| Position::Time(Time::At(UnixMillis(millis)));
    for (text, position) in [
        ("start", Position::Start),
        ("end", Position::End),
        ("0", Position::Offset(Offset(0))),
        ("1500", Position::Offset(Offset(1500))),
        ("@0", time(0)),
        ("@1772366400000", time(1_772_366_400_000)),
        ("@2026-03-01T12:00:00Z", time(1_772_366_400_000)),
        ("@2026-03-01T13:00:00+01:00", time(1_772_366_400_000)),
        ("@2026-03-01T12:00:00.25Z", time(1_772_366_400_250)),
        ("@-5m", Position::Time(Time::Ago(300_000))),
        ("@-250ms", Position::Time(Time::Ago(250))),
    ] {
        assert_eq!(text.parse::<Position>().as_ref(), Ok(&position), "{text}");
    }
    for wrong in ["", "middle", "-1", "1.5", "@", "@yesterday", "@2026-03-01", "@2026-03-01T12:00:00", "@-5y"]
    {
        assert!(wrong.parse::<Position>().is_err(), "{wrong}");
    }
}

#[test]
fn a_time_back_from_now_never_wraps() {
    let now = UnixMillis(1_000_000);
    assert_eq!(Time::Ago(300_000).resolve(now), UnixMillis(700_000));
    assert_eq!(Time::At(UnixMillis(5)).resolve(now), UnixMillis(5));
    assert!(Time::Ago(u64::MAX).resolve(UnixMillis(i64::MIN)).0 <= 0);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    for (line, wanted) in [
        ("flumen consume t --from soon", "an offset such as 1500"),
        ("flumen consume t --partition x", "a partition's number"),
        ("flumen topic create t --set retention", "key=value"),
        ("flumen topic trim t --partition 0 --before x", "an offset, from 0"),
        ("flumen produce t --acks all", "possible values: none, leader, quorum"),
        ("flumen produce t --compression lzma", "possible values: none, gzip, snappy, lz4, zstd"),
        ("flumen tpoic list", "'topic'"),
        ("flumen tune probe", "--data"),
    ] {
        let message = refused(line);
        assert!(message.contains(wanted), "{line}: {message}");
    }
}
