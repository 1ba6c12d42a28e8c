//! Bytes of who knows no protocol, or does not keep to it.

use super::*;

#[test]
fn who_is_no_flumen_client_is_told_so_and_the_connection_ends() {
    attack(1, |host, _| async move {
        let hello = opening(0);
        let changed = |at: usize, byte: u8| {
            let mut bytes = hello.to_vec();
            bytes[at] = byte;
            bytes
        };
        let mut long = changed(0, b'F');
        long[8..12].copy_from_slice(&(HELLO_BYTES_MAX as u32 + 1).to_le_bytes());
        let cases: [(Vec<u8>, Code, &str); 8] = [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Code::InvalidRequest, "no Flumen client"),
            (vec![0; 3000], Code::InvalidRequest, "no Flumen client"),
            (changed(7, 2), Code::InvalidRequest, "no Flumen client"),
            (changed(12, 0x13), Code::InvalidRequest, "must be a Hello"),
            (changed(14, 9), Code::Unsupported, "version"),
            (changed(15, 1), Code::InvalidRequest, "flags"),
            (long, Code::InvalidRequest, "limit"),
            // The lowest version spoken is 9.
            (changed(24, 9), Code::Unsupported, "version"),
        ];
        for (bytes, code, says) in cases {
            let raw = Raw::connect(&host).await;
            raw.send(bytes).await.unwrap();
            let word = raw.last_word(5 * SECOND).await;
            assert_eq!(word.code, code, "{word}");
            assert!(word.message.contains(says), "{word}");
        }
    });
}

#[test]
fn silence_before_the_hello_is_over_ends_in_the_handshakes_time() {
    attack(2, |host, _| async move {
        let hello = opening(0);
        for sent in [0, 1, 7, 8, 20, hello.len() - 1] {
            let raw = Raw::connect(&host).await;
            if sent > 0 {
                raw.send(hello.slice(..sent)).await.unwrap();
            }
            let word = raw.last_word(2 * SECOND).await;
            assert_eq!(word.code, Code::Timeout, "{word}");
            // A byte now and then is no excuse.
            let slow = Raw::connect(&host).await;
            for byte in hello.iter().take(20) {
                if slow.send(Bytes::copy_from_slice(&[*byte])).await.is_err() {
                    break;
                }
                host.sleep(SECOND / 4).await;
            }
            assert!(slow.is_gone(2 * SECOND).await);
        }
    });
}

#[test]
fn a_frame_that_cannot_be_right_ends_its_connection_with_the_reason() {
    attack(3, |host, group| async move {
        let ping = FrameKind::Ping.number();
        let produce = FrameKind::Produce.number();
        let cold_max = COLD_REQUEST_BYTES_MAX as u32;
        let cases: [(Vec<u8>, Code, &str); 11] = [
            (header(FRAME_BYTES_MAX as u32 + 1, produce, 1, 0, 0), Code::InvalidRequest, "over the limit"),
            (header(u32::MAX, produce, 1, 0, 0), Code::InvalidRequest, "over the limit"),
            (
                header(cold_max + 1, FrameKind::Metadata.number(), 1, 0, 0),
                Code::InvalidRequest,
                "over the limit",
            ),
            (header(0, ping, 0, 0, 0), Code::Unsupported, "version 0"),
            (header(0, ping, 2, 0, 0), Code::Unsupported, "version 2"),
            (header(0, ping, 1, 1, 0), Code::InvalidRequest, "flags"),
            (header(0, ping, 1, 0, 1), Code::InvalidRequest, "aux"),
            (header(0, 0, 1, 0, 0), Code::Unsupported, "kind"),
            (header(0, 0x3fff, 1, 0, 0), Code::Unsupported, "kind"),
            (header(0, ping | 0x8000, 1, 0, 0), Code::Unsupported, "kind"),
            (header(4, FrameKind::Push.number(), 1, 0, 0), Code::Unsupported, "kind"),
        ];
        for (mut bytes, code, says) in cases {
            bytes.resize(bytes.len().max(64), 0);
            let raw = Raw::greeted(&host, 0).await;
            // What was asked properly before is answered first.
            let good = ProduceRequest { group, acks: Acks::Quorum, batch: batch(&["good"]) };
            raw.send([&request(1, &good)[..], &bytes].concat()).await.unwrap();
            let rest = raw.rest(5 * SECOND).await;
            let word = rest.last().and_then(Came::refusal).expect("the last frame says why");
            assert_eq!(word.code, code, "{word}");
            assert!(word.message.contains(says), "{word}");
        }
    });
}

#[test]
fn a_request_that_is_malformed_is_refused_and_its_connection_goes_on() {
    attack(4, |host, _| async move {
        let raw = Raw::greeted(&host, 0).await;
        for kind in 1..=0x14_u16 {
            if kind == FrameKind::Credit.number() {
                continue;
            }
            // Lists and strings that claim 4 billion entries, and bytes too many.
            let mut bytes = header(4096, kind, 1, 0, 0);
            bytes.resize(16 + 4096, 0xff);
            raw.send(bytes).await.unwrap();
            let came = raw.frame().await.unwrap().expect("it is answered");
            assert_eq!((came.kind, came.correlation), (kind | 0x8000, 7));
            let error = came.refusal().expect("it is refused");
            assert_eq!(error.code, Code::InvalidRequest, "{kind}: {error}");
            assert!(!error.message.is_empty());
        }
        raw.send(request(9, &PingRequest {})).await.unwrap();
        assert_eq!(raw.frame().await.unwrap().unwrap().refusal(), None);
    });
}

#[test]
fn half_a_frame_and_then_silence_costs_little_and_ends_at_the_idle_limit() {
    attack(5, |host, _| async move {
        let before = live::live_bytes();
        let mut raws = Vec::new();
        for sent in [1, 15, 16, 17, 4000, 4000, 4000, 4000, 4000, 4000] {
            let raw = Raw::greeted(&host, 0).await;
            let mut bytes = header(FRAME_BYTES_MAX as u32, FrameKind::Produce.number(), 1, 0, 0);
            bytes.resize(4096, 0);
            bytes.truncate(sent);
            raw.send(bytes).await.unwrap();
            raws.push(raw);
        }
        host.sleep(SECOND).await;
        let each = (live::live_bytes() - before) / raws.len() as isize;
        assert!(each < 300 * 1024, "{each} bytes for a frame that never comes");
        for raw in &raws {
            assert!(raw.is_gone(35 * SECOND).await, "a silent connection is closed");
        }
        drop(raws);
        settles(&host, before, 512 * 1024).await;
    });
}
