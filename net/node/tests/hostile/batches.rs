//! Batches, groups, subscriptions and fetches that lie or make no sense.

use super::*;

/// A batch whose header was changed at a place, with the checksum made right again when asked.
fn lying(at: usize, bytes: &[u8], good_crc: bool) -> Bytes {
    let mut lie = batch(&["one", "two", "three"]).to_vec();
    lie[at..at + bytes.len()].copy_from_slice(bytes);
    if good_crc {
        let crc = crc32c::crc32c(&lie[21..]);
        lie[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    lie.into()
}

#[test]
fn a_batch_that_lies_is_refused_with_its_reason_and_nothing_of_it_is_stored() {
    attack(6, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        let honest = batch(&["one", "two", "three"]);
        let longer = (honest.len() as i32 - 12 + 1).to_be_bytes();
        let two: Bytes = [&honest[..], &honest[..]].concat().into();
        let cases: Vec<(Bytes, Code)> = vec![
            (Bytes::new(), Code::InvalidBatch),
            (honest.slice(..40), Code::InvalidBatch),
            (honest.slice(..honest.len() - 1), Code::InvalidBatch),
            (two, Code::InvalidBatch),
            // Base offset, length.
            (lying(0, &7_i64.to_be_bytes(), true), Code::InvalidBatch),
            (lying(0, &(-1_i64).to_be_bytes(), true), Code::InvalidBatch),
            (lying(8, &longer, true), Code::InvalidBatch),
            (lying(8, &i32::MAX.to_be_bytes(), true), Code::InvalidBatch),
            (lying(8, &(-1_i32).to_be_bytes(), true), Code::InvalidBatch),
            // Magic 0 and 1, the checksum, a flipped bit under it.
            (lying(16, &[0], true), Code::InvalidBatch),
            (lying(16, &[1], true), Code::InvalidBatch),
            (lying(16, &[3], true), Code::InvalidBatch),
            (lying(17, &[0; 4], false), Code::BatchChecksum),
            (lying(70, &[0xff], false), Code::BatchChecksum),
            // Attributes: an unknown codec, control, append time, delete horizon, reserved.
            (lying(21, &[0, 5], true), Code::InvalidBatch),
            (lying(21, &[0, 7], true), Code::InvalidBatch),
            (lying(21, &[0, 0x20], true), Code::InvalidBatch),
            (lying(21, &[0, 0x08], true), Code::InvalidTimestamp),
            (lying(21, &[0, 0x40], true), Code::InvalidBatch),
            // Last offset delta and count, together and alone; a count that is not there.
            (lying(23, &9_i32.to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &9_i32.to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &(-1_i32).to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &0_i32.to_be_bytes(), true), Code::InvalidBatch),
        ];
        for (number, (batch, code)) in cases.into_iter().enumerate() {
            for acks in [Acks::Quorum, Acks::Leader] {
                let refused = asker.ask(&ProduceRequest { group, acks, batch: batch.clone() }).await;
                let error = refused.expect_err(&format!("case {number} is a lie"));
                assert!(
                    error.code == code || (code == Code::InvalidBatch && error.code == Code::Unsupported),
                    "case {number}: {:?} {error}",
                    error.code
                );
                assert!(error.message.len() > 20, "case {number}: {error}");
            }
        }
        let mut both = batch(&["one"]).to_vec();
        both[23..27].copy_from_slice(&1_000_000_i32.to_be_bytes());
        both[57..61].copy_from_slice(&1_000_001_i32.to_be_bytes());
        let crc = crc32c::crc32c(&both[21..]);
        both[17..21].copy_from_slice(&crc.to_be_bytes());
        let error = asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: both.into() }).await;
        assert_eq!(error.unwrap_err().code, Code::InvalidBatch, "a million records in a few bytes");
        let mut builder = BatchBuilder::new(2 << 20, Compression::None).unwrap();
        let value = vec![0; config(1).limits.batch_bytes_max];
        builder.append(UnixMillis(1), None, Some(&value), &[]).unwrap();
        let big = builder.finish();
        let error = asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: big }).await.unwrap_err();
        assert_eq!(error.code, Code::BatchTooLarge);
        assert!(error.message.contains("max.message.bytes"), "{error}");
        assert_eq!(asker.read_all(group, 0).await.unwrap(), []);
        assert_eq!(asker.produce(group, &["honest"]).await, Ok(Offset(0)));
    });
}

#[test]
fn a_compressed_bomb_is_stored_as_it_came_and_never_opened() {
    attack(7, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        // One record says that it is a million, in gzip that would not open, or open without end.
        let mut bomb = filler(5_000).to_vec();
        bomb[21..23].copy_from_slice(&1_u16.to_be_bytes());
        bomb[23..27].copy_from_slice(&999_999_i32.to_be_bytes());
        bomb[57..61].copy_from_slice(&1_000_000_i32.to_be_bytes());
        let crc = crc32c::crc32c(&bomb[21..]);
        bomb[17..21].copy_from_slice(&crc.to_be_bytes());
        let bomb = Bytes::from(bomb);
        let before = live::live_bytes();
        assert_eq!(
            asker
                .ask(&ProduceRequest { group, acks: Acks::Quorum, batch: bomb.clone() })
                .await
                .unwrap()
                .base_offset,
            Offset(0)
        );
        assert_eq!(asker.produce(group, &["after"]).await, Ok(Offset(1_000_000)));
        let fetch = FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 };
        let got = asker.ask(&fetch).await.unwrap().batches;
        assert_eq!(got[16..], bomb[16..], "byte for byte");
        assert!(live::peak_bytes() - before < 1 << 20, "{} bytes for a bomb", live::peak_bytes() - before);
    });
}

#[test]
fn groups_that_are_nobodys_or_the_nodes_own_are_refused_to_everybody() {
    attack(8, |host, _| async move {
        let asker = Asker::connect(&host, 0).await;
        for group in [0, 1, 2, 15, 9_999, u64::MAX].map(GroupId) {
            let refused = [
                asker.produce(group, &["mine"]).await.map(|_| ()),
                asker
                    .ask(&FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 })
                    .await
                    .map(|_| ()),
                asker
                    .ask(&SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 })
                    .await
                    .map(|_| ()),
                asker.ask(&TrimRequest { group, before_offset: Offset(0) }).await.map(|_| ()),
                asker.ask(&ListOffsetsRequest { group, of: OffsetOf::Latest }).await.map(|_| ()),
            ];
            for error in refused.into_iter().map(Result::unwrap_err) {
                assert_eq!(error.code, Code::UnknownTopic, "{error}");
            }
            let described = asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap();
            assert_eq!(described.groups[0].error, Some(Code::UnknownTopic));
            let position = Position { group, offset: Offset(1), leader_epoch: 0, metadata: String::new() };
            let commit = CommitPositionsRequest { subscription: "s".into(), positions: vec![position] };
            assert_eq!(asker.ask(&commit).await.unwrap_err().code, Code::UnknownTopic);
        }
        let none = CommitPositionsRequest { subscription: "../x".into(), positions: vec![] };
        assert_eq!(asker.ask(&none).await.unwrap_err().code, Code::InvalidName);
        for name in ["", ".", "..", "a/b", "naïve", &"n".repeat(250)] {
            let create = CreateTopicRequest { name: name.into(), partitions: 1, settings: vec![] };
            assert_eq!(asker.ask(&create).await.unwrap_err().code, Code::InvalidName, "{name}");
        }
        for partitions in [0, 10_001, u32::MAX] {
            let create = CreateTopicRequest { name: "t".into(), partitions, settings: vec![] };
            assert_eq!(asker.ask(&create).await.unwrap_err().code, Code::InvalidPartitions);
        }
        assert_eq!(asker.groups("t").await, []);
    });
}

#[test]
fn subscriptions_that_make_no_sense_are_refused_and_credit_never_overflows() {
    attack(9, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        asker.produce(group, &["a"]).await.unwrap();
        let subscribe = |handle, offset, credit_bytes| SubscribeRequest {
            group,
            handle,
            offset: Offset(offset),
            credit_bytes,
        };
        for offset in [2, u64::MAX] {
            assert_eq!(asker.ask(&subscribe(1, offset, 10)).await.unwrap_err().code, Code::OffsetOutOfRange);
        }
        asker.ask(&subscribe(1, 1, u32::MAX)).await.unwrap();
        let again = asker.ask(&subscribe(1, 1, 10)).await.unwrap_err();
        assert_eq!(again.code, Code::InvalidRequest);
        assert!(again.message.contains("handle 1"), "{again}");
        for handle in 2..=16 {
            asker.ask(&subscribe(handle, 1, 0)).await.unwrap();
        }
        let many = asker.ask(&subscribe(17, 1, 0)).await.unwrap_err();
        assert_eq!(many.code, Code::LimitReached);
        assert!(many.message.contains("16"), "{many}");
        for _ in 0..100 {
            asker.send(request(0, &CreditRequest { handle: 1, credit_bytes: u32::MAX })).await;
            asker.send(request(0, &CreditRequest { handle: 4_000_000, credit_bytes: u32::MAX })).await;
        }
        asker.ask(&PingRequest {}).await.unwrap();
        asker.produce(group, &["b"]).await.unwrap();
        assert_eq!(asker.take_pushes().await.len(), 1, "one subscription has credit");
        asker.ask(&UnsubscribeRequest { handle: 99 }).await.unwrap();
    });
}

#[test]
fn fetches_at_the_edges_are_answered_within_their_bounds() {
    attack(10, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        asker.produce(group, &["a"]).await.unwrap();
        asker.produce(group, &["b"]).await.unwrap();
        let fetch = |offset, bytes_max, wait_ms, bytes_min| FetchRequest {
            group,
            offset: Offset(offset),
            bytes_max,
            wait_ms,
            bytes_min,
        };
        let one = asker.ask(&fetch(0, 0, 0, 0)).await.unwrap();
        assert_eq!(values_of(&one.batches).len(), 1, "one batch comes however small the bound is");
        for offset in [3, u64::MAX] {
            assert_eq!(asker.ask(&fetch(offset, 1, 0, 0)).await.unwrap_err().code, Code::OffsetOutOfRange);
        }
        let before = host.now();
        assert!(asker.ask(&fetch(2, u32::MAX, u32::MAX, u32::MAX)).await.unwrap().batches.is_empty());
        assert!(host.now().since(before) <= 61 * SECOND, "no wait is longer than a minute");
        // Enough is never more than what the fetch may bring.
        let waited = asker.ask(&fetch(0, 1, u32::MAX, u32::MAX)).await.unwrap();
        assert_eq!(values_of(&waited.batches).len(), 1);
        assert!(host.now().since(before) <= 62 * SECOND);
    });
}
