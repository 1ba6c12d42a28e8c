//! Clients that ask for more than they take, leave in the middle, or are too many.

use super::*;

#[test]
fn thousands_of_requests_without_reading_are_not_read_and_the_stalled_connection_ends() {
    attack(11, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..20 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let fetch = request(
            1,
            &FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 },
        );
        let flood = Bytes::from(fetch.repeat(10_000));
        let before = live::live_bytes();
        let raw = Raw::greeted(&host, 0).await;
        assert!(!raw.send_within(flood, 3 * SECOND).await, "what is not answered is not read either");
        // The pipes to and fro, what waits in the queue and one answer more.
        let held = live::peak_bytes() - before;
        assert!(held < 4 << 20, "{held} bytes for one connection");
        drop(raw);
        settles(&host, before, 1 << 20).await;

        let stalled = Raw::greeted(&host, 0).await;
        for number in 0..32 {
            let fetch =
                FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            stalled.send(request(number, &fetch)).await.unwrap();
        }
        // Others are served meanwhile.
        full_service(&asker).await;
        host.sleep(10 * SECOND).await;
        let mut frames = 0;
        while let Ok(Some(_)) = stalled.frame().await {
            frames += 1;
        }
        assert!(frames < 32, "a client that takes nothing for five seconds is closed");
    });
}

#[test]
fn replies_that_wait_behind_a_long_fetch_are_bounded_too() {
    attack(12, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..60 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let end = Offset(60);
        let raw = Raw::greeted(&host, 0).await;
        let before = live::live_bytes();
        let waiting = FetchRequest { group, offset: end, bytes_max: 1, wait_ms: 10_000, bytes_min: 1 };
        raw.send(request(1, &waiting)).await.unwrap();
        for number in 0..31 {
            let cold =
                FetchRequest { group, offset: Offset(number), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            raw.send(request(2 + number as u32, &cold)).await.unwrap();
        }
        host.sleep(5 * SECOND).await;
        let held = live::peak_bytes() - before;
        assert!(held < 4 << 20, "{held} bytes wait behind one fetch");
        for number in 0..32 {
            let came = raw.frame().await.unwrap().unwrap();
            assert_eq!((came.correlation, came.refusal()), (1 + number, None));
        }
    });
}

#[test]
fn a_client_that_leaves_takes_its_waiting_fetches_along() {
    attack(13, |host, group| async move {
        let before = live::live_bytes();
        for _ in 0..50 {
            let raw = Raw::greeted(&host, 0).await;
            for number in 0..31 {
                let waiting =
                    FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 60_000, bytes_min: 1 };
                raw.send(request(number, &waiting)).await.unwrap();
            }
        }
        host.sleep(SECOND).await;
        let left = live::live_bytes() - before;
        assert!(left < 256 * 1024, "{left} bytes of connections that are gone");
    });
}

#[test]
fn cold_subscriptions_of_one_connection_are_read_only_as_fast_as_it_takes_them() {
    attack(14, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..100 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let before = live::live_bytes();
        let raw = Raw::greeted(&host, 0).await;
        for handle in 0..16 {
            raw.send(request(
                handle,
                &SubscribeRequest { group, handle, offset: Offset(0), credit_bytes: 1 << 20 },
            ))
            .await
            .unwrap();
        }
        host.sleep(3 * SECOND).await;
        let held = live::peak_bytes() - before;
        assert!(held < 5 << 20, "{held} bytes wait for one connection");
        // It is not forgotten either.
        let mut pushed = [0_usize; 16];
        while pushed.iter().any(|bytes| *bytes < 900_000) {
            let came = raw.frame().await.unwrap().expect("it still stands");
            if came.kind == FrameKind::Push.number() {
                pushed[came.correlation as usize] += came.body.len();
            }
        }
    });
}

#[test]
fn a_subscriber_that_never_reads_holds_up_itself_alone() {
    attack(15, |host, group| async move {
        let mute = Raw::greeted(&host, 0).await;
        mute.send(request(
            1,
            &SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: u32::MAX },
        ))
        .await
        .unwrap();
        let poor = Asker::connect(&host, 0).await;
        poor.ask(&SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 }).await.unwrap();
        let (reader, producer) = (Asker::connect(&host, 0).await, Asker::connect(&host, 0).await);
        reader
            .ask(&SubscribeRequest { group, handle: 5, offset: Offset(0), credit_bytes: 1 << 20 })
            .await
            .unwrap();
        let before = live::live_bytes();
        for number in 0..200_u64 {
            let request = ProduceRequest { group, acks: Acks::Quorum, batch: filler(20_000) };
            assert_eq!(producer.ask(&request).await.unwrap().base_offset, Offset(number));
            let pushed = reader.take_pushes().await;
            let bytes: usize = pushed.iter().map(|(_, body)| body.len() - 24).sum();
            reader.send(request_credit(5, bytes)).await;
        }
        let held = live::peak_bytes() - before;
        assert!(held < 16 << 20, "{held} bytes");
        host.sleep(10 * SECOND).await;
        assert!(mute.is_gone(SECOND).await, "who takes nothing is closed");
        assert_eq!(poor.take_pushes().await.len(), 1, "credit of one byte is one batch");
        assert!(poor.ask(&PingRequest {}).await.is_ok());
        assert!(poor.pushes.borrow().is_empty());
    });
}

fn request_credit(handle: u32, bytes: usize) -> Bytes {
    request(0, &CreditRequest { handle, credit_bytes: bytes as u32 })
}

#[test]
fn a_client_that_closes_its_half_is_let_go_and_what_it_sent_whole_is_stored() {
    attack(16, |host, group| async move {
        let before = live::live_bytes();
        for _ in 0..20 {
            let raw = Raw::greeted(&host, 0).await;
            let produce = ProduceRequest { group, acks: Acks::None, batch: batch(&["last words"]) };
            raw.send(request(1, &produce)).await.unwrap();
            raw.stream.shutdown(Shutdown::Write).unwrap();
            assert!(raw.is_gone(SECOND).await);
        }
        let asker = Asker::connect(&host, 0).await;
        assert_eq!(asker.read_all(group, 0).await.unwrap().len(), 20);
        drop(asker);
        settles(&host, before, 256 * 1024).await;
    });
}

#[test]
fn a_client_that_closes_its_half_and_takes_nothing_is_closed_too() {
    attack(19, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..20 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let mut raws = Vec::new();
        // Nearly all connections that there are; each holds on to its end.
        for number in 0..config(1).limits.connections_max - 4 {
            let raw = Raw::greeted(&host, 0).await;
            let fetch =
                FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            raw.send(request(1, &fetch)).await.unwrap();
            host.sleep(SECOND / 10).await;
            match number % 2 {
                0 => raw.stream.shutdown(Shutdown::Write).unwrap(),
                _ => raw.send(vec![0xff; 64]).await.unwrap(),
            }
            raws.push(raw);
        }
        host.sleep(10 * SECOND).await;
        let mut others = Vec::new();
        for _ in 0..config(1).limits.connections_max - 4 {
            others.push(Raw::greeted(&host, 0).await);
        }
    });
}

#[test]
fn a_reset_in_the_middle_of_a_produce_stores_nothing_of_it() {
    attack(17, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        let produce = request(1, &ProduceRequest { group, acks: Acks::Quorum, batch: filler(50_000) });
        for cut in [17, 33, 1000, produce.len() - 1] {
            let raw = Raw::greeted(&host, 0).await;
            raw.send(request(1, &PingRequest {})).await.unwrap();
            raw.send(produce.slice(..cut)).await.unwrap();
            // The reply to the ping is never read: a reset, not an end.
            host.sleep(SECOND / 10).await;
            drop(raw);
        }
        host.sleep(SECOND).await;
        assert_eq!(asker.read_all(group, 0).await.unwrap(), []);
        // Whole ones whose producer is gone before the ack are stored or not, but never torn.
        for _ in 0..10 {
            let raw = Raw::greeted(&host, 0).await;
            raw.send(request(1, &PingRequest {})).await.unwrap();
            raw.send(produce.clone()).await.unwrap();
            drop(raw);
        }
        let read = asker.read_all(group, 0).await.unwrap();
        assert!(read.iter().all(|(_, value)| value.len() == 50_000));
    });
}

#[test]
fn one_connection_too_many_is_refused_by_name_and_there_is_room_again_afterwards() {
    attack(18, |host, _| async move {
        let max = config(1).limits.connections_max;
        for _ in 0..3 {
            // One is the witness.
            let mut raws = Vec::new();
            for _ in 1..max {
                raws.push(Raw::greeted(&host, 0).await);
            }
            for _ in 0..5 {
                let one_more = Raw::connect(&host).await;
                one_more.send(opening(0)).await.unwrap();
                let word = one_more.last_word(3 * SECOND).await;
                assert_eq!(word.code, Code::LimitReached, "{word}");
                assert!(word.message.contains(&max.to_string()), "the limit is named: {word}");
            }
            drop(raws);
            host.sleep(3 * SECOND).await;
        }
    });
}
