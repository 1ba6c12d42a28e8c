//! What names and settings promise: Kafka's rules, errors that help, bytes that every version reads alike.

use super::*;
use bytes::BytesMut;
use proptest::prelude::*;

fn settings(pairs: &[(&str, &str)]) -> TopicSettings {
    TopicSettings::default().altered(pairs.iter().copied()).unwrap()
}

fn encoded(settings: &TopicSettings) -> BytesMut {
    let mut bytes = BytesMut::new();
    settings.encode(&mut bytes);
    bytes
}

#[test]
fn names_follow_kafkas_rule() {
    for name in ["a", "orders.v1", "A_b-9", "...", &"x".repeat(249)] {
        assert_eq!(TopicName::new(name).unwrap().as_str(), name);
    }
    for name in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
        let error = TopicName::new(name).unwrap_err();
        assert_eq!(error.code, Code::InvalidName, "{name:?}");
        assert!(error.message.len() < 200, "the error is bounded");
    }
    assert!(check_name("subscription", "a b").unwrap_err().message.contains("subscription"));
}

#[test]
fn nothing_set_means_the_defaults() {
    let (settings, limits) = (TopicSettings::default(), Limits::production());
    assert_eq!(settings.retention_ms(), Some(604_800_000));
    assert_eq!(settings.retention_bytes(), None);
    assert_eq!(settings.segment_bytes(&limits), limits.segment_bytes);
    assert_eq!(settings.segment_ms(), 604_800_000);
    assert_eq!(settings.batch_bytes_max(&limits), limits.batch_bytes_max);
    assert_eq!(settings.durability(), Durability::QuorumDurable);
    assert_eq!(settings.timestamps(), Timestamps::CreateTime);
    assert_eq!(settings.pairs().count(), 0);
}

#[test]
fn what_is_set_holds_and_an_empty_value_goes_back() {
    let limits = Limits::production();
    let set = settings(&[
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
        ("segment.bytes", "1048576"),
        ("max.message.bytes", "2048"),
        ("message.timestamp.type", "LogAppendTime"),
        ("durability", "quorum-memory"),
    ]);
    assert_eq!((set.retention_ms(), set.retention_bytes()), (None, Some(1000)));
    assert_eq!((set.segment_bytes(&limits), set.batch_bytes_max(&limits)), (1 << 20, 2048));
    assert_eq!((set.timestamps(), set.durability()), (Timestamps::AppendTime, Durability::QuorumMemory));
    let back = set.altered([("durability", ""), ("retention.ms", "5")]).unwrap();
    assert_eq!((back.durability(), back.retention_ms()), (Durability::QuorumDurable, Some(5)));
    assert_eq!(back.segment_bytes(&limits), 1 << 20, "what is not named stays");
}

#[test]
fn a_wrong_change_changes_nothing_and_says_the_range() {
    for (key, value, says) in [
        ("retention.ms", "-2", "from -1"),
        ("retention.ms", "soon", "whole number"),
        ("segment.bytes", "100", "from 262144"),
        ("max.message.bytes", "99999999", "to 4194304"),
        ("message.timestamp.type", "Never", "CreateTime or LogAppendTime"),
        ("durability", "none", "quorum-durable or quorum-memory"),
    ] {
        let error = TopicSettings::default().altered([("segment.ms", "9"), (key, value)]).unwrap_err();
        assert_eq!(error.code, Code::InvalidSetting);
        assert!(error.message.contains(key) && error.message.contains(says), "{error}");
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest_one() {
    for (key, nearest) in [
        ("retention.msec", "retention.ms"),
        ("durabilty", "durability"),
        ("max.mesage.bytes", "max.message.bytes"),
    ] {
        let error = TopicSettings::default().set(key, "1").unwrap_err();
        assert!(error.message.ends_with(&format!("did you mean {nearest}?")), "{error}");
    }
    let error = TopicSettings::default().unset(&"x".repeat(10_000)).unwrap_err();
    assert!(error.message.len() < 200, "the error is bounded");
}

#[test]
fn compaction_is_unsupported_rather_than_ignored() {
    for policy in ["compact", "compact,delete", "delete, compact"] {
        assert_eq!(
            TopicSettings::default().set("cleanup.policy", policy).unwrap_err().code,
            Code::Unsupported
        );
    }
    TopicSettings::default().set("cleanup.policy", "delete").unwrap();
    assert_eq!(TopicSettings::default().set("cleanup.policy", "x").unwrap_err().code, Code::InvalidSetting);
}

#[test]
fn describing_shows_every_setting_with_its_source() {
    let shown = settings(&[("retention.ms", "60000")]).effective(&Limits::production());
    assert_eq!(shown.len(), SETTINGS.len());
    assert_eq!(
        (shown[0].key, shown[0].value.as_str(), shown[0].source),
        ("retention.ms", "60000", Source::Topic)
    );
    assert_eq!(
        (shown[2].key, shown[2].value.as_str(), shown[2].source),
        ("segment.bytes", "268435456", Source::Default)
    );
    assert_eq!((shown[7].key, shown[7].value.as_str()), ("durability", "quorum-durable"));
}

#[test]
fn rows_stand_where_their_keys_say() {
    let places =
        [Key::RetentionMs, Key::RetentionBytes, Key::SegmentBytes, Key::SegmentMs, Key::MaxMessageBytes];
    let names = ["retention.ms", "retention.bytes", "segment.bytes", "segment.ms", "max.message.bytes"];
    let places = places.into_iter().chain([Key::TimestampType, Key::CleanupPolicy, Key::Durability]);
    let names = names.into_iter().chain(["message.timestamp.type", "cleanup.policy", "durability"]);
    for ((at, place), name) in places.enumerate().zip(names) {
        assert_eq!((place as usize, SETTINGS[at].key), (at, name));
    }
    assert!(SETTINGS.is_sorted_by(|a, b| a.number < b.number), "stored numbers rise with the rows");
}

#[test]
fn the_stored_bytes_are_golden() {
    let set = settings(&[("durability", "quorum-memory"), ("retention.ms", "258")]);
    assert_eq!(encoded(&set)[..], [1, 2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&TopicSettings::default())[..], [1, 0]);
}

#[test]
fn stored_settings_out_of_order_or_twice_are_refused() {
    let (first, second) = ([1, 5, 0, 0, 0, 0, 0, 0, 0], [2, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert!(TopicSettings::decode(&[&[1, 2], &first[..], &second].concat()).is_ok());
    for pairs in [[second, first], [first, first]] {
        let error = TopicSettings::decode(&[&[1, 2], pairs.as_flattened()].concat()).unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest);
    }
}

#[test]
fn what_a_newer_version_stored_is_refused_not_skipped() {
    for bytes in [&[2u8, 0][..], &[1, 1, 200, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 1, 8, 7, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(TopicSettings::decode(bytes).unwrap_err().code, Code::Unsupported, "{bytes:?}");
    }
    for bytes in [&[][..], &[1], &[1, 1], &[1, 1, 8, 1, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(TopicSettings::decode(bytes).unwrap_err().code, Code::InvalidRequest, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn what_is_stored_comes_back(numbers: [Option<u32>; 2], memory: bool, tail in proptest::collection::vec(any::<u8>(), 0..9)) {
        let mut set = TopicSettings::default();
        for (key, number) in ["retention.ms", "retention.bytes"].iter().zip(numbers) {
            if let Some(number) = number {
                set.set(key, &number.to_string()).unwrap();
            }
        }
        if memory {
            set.set("durability", "quorum-memory").unwrap();
        }
        let bytes = encoded(&set);
        let (back, used) = TopicSettings::decode(&[&bytes, &tail[..]].concat()).unwrap();
        prop_assert_eq!((&back, used), (&set, bytes.len()));
        let pairs: Vec<_> = set.pairs().collect();
        prop_assert_eq!(settings(&pairs.iter().map(|(k, v)| (*k, v.as_str())).collect::<Vec<_>>()), set);
    }

    #[test]
    fn random_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..40), version: bool) {
        let mut data = data;
        if version && !data.is_empty() {
            data[0] = 1;
        }
        crate::fuzz_targets::settings(&data);
    }
}
