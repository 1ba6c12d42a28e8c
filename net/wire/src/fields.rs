//! How single values lie in a body. Little-endian integers, strings and lists behind a u32 count, and the ids of the
//! house. Reading is bounded: a count is only believed when that many of the smallest values still fit.

use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{Code, Error, GroupId, Offset, ProducerId, Result, ShardId, TopicId, UnixMillis};
use uuid::Uuid;
use zerocopy::little_endian::{I16, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The bytes of a body that are not read yet.
pub(crate) struct Reader<'a> {
    body: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a Bytes) -> Reader<'a> {
        Reader { body, rest: body }
    }

    pub(crate) fn read<T: Field>(&mut self) -> Result<T> {
        T::get(self)
    }

    /// A fixed value, viewed in place.
    pub(crate) fn view<T: FromBytes + KnownLayout + Immutable + Unaligned>(&mut self) -> Result<&'a T> {
        let (value, rest) = T::ref_from_prefix(self.rest).map_err(|_| cut())?;
        self.rest = rest;
        Ok(value)
    }

    /// All that is left, sharing the body's memory.
    pub(crate) fn tail(&mut self) -> Bytes {
        let tail = self.body.slice_ref(self.rest);
        self.rest = &[];
        tail
    }

    /// Every byte must have had a meaning.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => {
                Err(malformed(format!("the message has {left} bytes too many; speak the negotiated version")))
            }
        }
    }

    fn counted(&mut self, item_bytes_min: usize) -> Result<usize> {
        let count = self.view::<U32>()?.get() as usize;
        let fits = self.rest.len() / item_bytes_min.max(1);
        if count > fits { Err(cut()) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.counted(1)?;
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(bytes)
    }
}

/// A value in a body.
pub(crate) trait Field: Sized {
    /// The bytes of the smallest one.
    const BYTES_MIN: usize;

    fn put(&self, out: &mut BytesMut);
    fn get(reader: &mut Reader<'_>) -> Result<Self>;
}

/// A field that is a number: `own type = wire type, how out, how in`.
macro_rules! number {
    ($($own:ty = $wire:ty, $out:expr, $in:expr;)*) => {$(
        impl $crate::fields::Field for $own {
            const BYTES_MIN: usize = size_of::<$wire>();

            fn put(&self, out: &mut bytes::BytesMut) {
                let number: $wire = $out(self);
                bytes::BufMut::put_slice(out, zerocopy::IntoBytes::as_bytes(&number));
            }

            fn get(reader: &mut $crate::fields::Reader<'_>) -> flumen_model::Result<Self> {
                $in(*reader.view::<$wire>()?)
            }
        }
    )*};
}
pub(crate) use number;

number! {
    u8 = u8, |own: &u8| *own, Ok;
    u16 = U16, |own: &u16| U16::new(*own), |wire: U16| Ok(wire.get());
    u32 = U32, |own: &u32| U32::new(*own), |wire: U32| Ok(wire.get());
    u64 = U64, |own: &u64| U64::new(*own), |wire: U64| Ok(wire.get());
    i16 = I16, |own: &i16| I16::new(*own), |wire: I16| Ok(wire.get());
    bool = u8, |own: &bool| u8::from(*own), flag;
    GroupId = U64, |own: &GroupId| U64::new(own.0), |wire: U64| Ok(GroupId(wire.get()));
    Offset = U64, |own: &Offset| U64::new(own.0), |wire: U64| Ok(Offset(wire.get()));
    ShardId = U16, |own: &ShardId| U16::new(own.0), |wire: U16| Ok(ShardId(wire.get()));
    ProducerId = I64, |own: &ProducerId| I64::new(own.0), |wire: I64| Ok(ProducerId(wire.get()));
    UnixMillis = I64, |own: &UnixMillis| I64::new(own.0), |wire: I64| Ok(UnixMillis(wire.get()));
    Uuid = [u8; 16], |own: &Uuid| own.into_bytes(), |wire| Ok(Uuid::from_bytes(wire));
    TopicId = [u8; 16], |own: &TopicId| own.0.into_bytes(), |wire| Ok(TopicId(Uuid::from_bytes(wire)));
    Option<Offset> = U64, |own: &Option<Offset>| U64::new(own.map_or(u64::MAX, |offset| offset.0)),
        |wire: U64| Ok((wire.get() != u64::MAX).then_some(Offset(wire.get())));
    Option<ShardId> = U16, |own: &Option<ShardId>| U16::new(own.map_or(u16::MAX, |shard| shard.0)),
        |wire: U16| Ok((wire.get() != u16::MAX).then_some(ShardId(wire.get())));
    Option<UnixMillis> = I64, |own: &Option<UnixMillis>| I64::new(own.map_or(-1, |time| time.0)),
        |wire: I64| Ok((wire.get() != -1).then_some(UnixMillis(wire.get())));
}

fn flag(wire: u8) -> Result<bool> {
    match wire {
        0 | 1 => Ok(wire == 1),
        other => Err(malformed(format!("a yes or no is {other}; it must be 0 or 1"))),
    }
}

impl Field for String {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut BytesMut) {
        out.put_u32_le(count_of(self.len()));
        out.put_slice(self.as_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Result<String> {
        let text = std::str::from_utf8(reader.bytes()?).map_err(|_| malformed("a string is not UTF-8"))?;
        Ok(text.to_string())
    }
}

impl<T: Field> Field for Vec<T> {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut BytesMut) {
        out.put_u32_le(count_of(self.len()));
        self.iter().for_each(|item| item.put(out));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Vec<T>> {
        let count = reader.counted(T::BYTES_MIN)?;
        // Grows with what is really read: a value in memory may be larger than on the wire.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(reader.read()?);
        }
        Ok(items)
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    const BYTES_MIN: usize = A::BYTES_MIN + B::BYTES_MIN;

    fn put(&self, out: &mut BytesMut) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<(A, B)> {
        Ok((reader.read()?, reader.read()?))
    }
}

fn count_of(len: usize) -> u32 {
    u32::try_from(len).expect("what goes into a frame is far below 4 GiB")
}

#[cold]
pub(crate) fn malformed(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidRequest, message)
}

#[cold]
pub(crate) fn cut() -> Error {
    malformed("the message ends before what its counts and fields promise")
}
