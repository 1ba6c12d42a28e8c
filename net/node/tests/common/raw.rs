//! A connection whose client may do anything: send any bytes, read or not, leave at any moment. It never helps the
//! test to be polite.

use super::{MemHost, NATIVE};
use bytes::{Buf, Bytes, BytesMut};
use flumen_io::local::timeout;
use flumen_io::{Host, Read, Stream};
use flumen_model::limits::FRAME_BYTES_MAX;
use flumen_model::{Code, Error, ShardId};
use flumen_wire::*;
use std::cell::RefCell;
use std::io;
use std::time::Duration;

/// One frame as it came.
#[derive(Clone, Debug)]
pub struct Came {
    pub kind: u16,
    pub correlation: u32,
    pub body: Bytes,
}

impl Came {
    /// The error in a reply of any kind, or `None` for success.
    pub fn refusal(&self) -> Option<Error> {
        let code = u16::from_le_bytes(self.body[..2].try_into().unwrap());
        if code == 0 {
            return None;
        }
        let code = Code::from_number(code).expect("a known code");
        Some(Error::new(code, String::from_utf8(self.body[7..].to_vec()).unwrap()))
    }
}

/// A connection without manners.
pub struct Raw {
    pub host: MemHost,
    pub stream: <MemHost as Host>::Stream,
    received: RefCell<BytesMut>,
}

impl Raw {
    /// Connected, nothing said.
    pub async fn connect(host: &MemHost) -> Raw {
        let stream = host.connect(NATIVE.parse().unwrap()).await.unwrap();
        Raw { host: host.clone(), stream, received: RefCell::default() }
    }

    /// Connected and past the handshake.
    pub async fn greeted(host: &MemHost, shard: u16) -> Raw {
        let raw = Raw::connect(host).await;
        raw.send(opening(shard)).await.unwrap();
        let hello = raw.frame().await.unwrap().expect("a hello is answered");
        assert_eq!(hello.refusal(), None);
        raw
    }

    pub async fn send(&self, bytes: impl Into<Bytes>) -> io::Result<()> {
        self.stream.write(vec![bytes.into()]).await.0
    }

    /// Sends as much as goes within a time; true when all of it went. The stream is closed otherwise.
    pub async fn send_within(&self, bytes: Bytes, time: Duration) -> bool {
        matches!(timeout(&self.host, time, self.send(bytes)).await, Ok(Ok(())))
    }

    /// The next frame, or `None` at the end.
    pub async fn frame(&self) -> io::Result<Option<Came>> {
        loop {
            let mut received = self.received.take();
            if let Next::Frame { header, frame_bytes } =
                frame::next(&received, FRAME_BYTES_MAX).expect("whole frames")
            {
                let mut frame = received.split_to(frame_bytes);
                self.received.replace(received);
                frame.advance(FRAME_HEADER_BYTES);
                return Ok(Some(Came {
                    kind: header.kind(),
                    correlation: header.correlation(),
                    body: frame.freeze(),
                }));
            }
            received.reserve(64 * 1024);
            let (read, buf) = self.stream.read(received).await;
            self.received.replace(buf);
            if read? == Read::End {
                return Ok(None);
            }
        }
    }

    /// Every frame until the end, which must come within a time. A reset is no end: it would take the reason away.
    pub async fn rest(&self, within: Duration) -> Vec<Came> {
        let mut all = Vec::new();
        let ended = timeout(&self.host, within, async {
            while let Some(came) = self.frame().await.expect("the connection ends, it is not reset") {
                all.push(came);
            }
        });
        assert!(ended.await.is_ok(), "the connection still stands after {within:?}");
        all
    }

    /// The error that the connection ended with.
    pub async fn last_word(&self, within: Duration) -> Error {
        let rest = self.rest(within).await;
        rest.last().and_then(Came::refusal).expect("the last frame says why")
    }

    /// Whether the connection is gone within a time, however it ended.
    pub async fn is_gone(&self, within: Duration) -> bool {
        let gone = timeout(&self.host, within, async { while let Ok(Some(_)) = self.frame().await {} });
        gone.await.is_ok()
    }
}

/// Preface and Hello.
pub fn opening(shard: u16) -> Bytes {
    let mut out = BytesMut::new();
    encode_opening(0, &HelloRequest::new("raw", Some(ShardId(shard))), &mut out).unwrap();
    out.freeze()
}

/// A request's frame.
pub fn request<R: Request>(correlation: u32, request: &R) -> Bytes {
    let mut out = BytesMut::new();
    encode_request(correlation, request, &mut out).unwrap();
    out.freeze()
}

/// Sixteen bytes of header, as a liar writes them.
pub fn header(body_bytes: u32, kind: u16, version: u8, flags: u8, aux: u32) -> Vec<u8> {
    let mut out = body_bytes.to_le_bytes().to_vec();
    out.extend(kind.to_le_bytes());
    out.extend([version, flags]);
    out.extend(7_u32.to_le_bytes());
    out.extend(aux.to_le_bytes());
    out
}
