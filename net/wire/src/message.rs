//! What a request and its reply have in common, and the form in which messages are declared: a struct whose fields
//! lie on the wire in their order, nothing between. Fields are never added to a declared message; a new protocol
//! version brings a new one.

use crate::fields::Reader;
use crate::frame;
use crate::kind::FrameKind;
use bytes::{Bytes, BytesMut};
use flumen_model::Result;

/// What can be the body of a frame.
pub trait Body: Sized {
    /// Writes it behind `out`.
    fn put(&self, out: &mut BytesMut);

    /// Reads it from a whole body; batches share the body's memory, everything else is small and copied.
    fn get(body: &Bytes) -> Result<Self>;
}

/// A body that asks for something.
pub trait Request: Body {
    /// The kind of its frame.
    const KIND: FrameKind;
    /// What answers it.
    type Reply: Body;
}

/// Writes a request's frame behind `out`. `LimitReached`, and nothing written, when it is over the frame limit.
pub fn encode_request<R: Request>(correlation: u32, request: &R, out: &mut BytesMut) -> Result<()> {
    frame::write(R::KIND.number(), correlation, out, |out| request.put(out))
}

/// Declares structs whose fields lie on the wire in their order.
macro_rules! message {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        // A message may have no field.
        #[allow(unused_variables)]
        impl $crate::fields::Field for $name {
            const BYTES_MIN: usize = 0 $(+ <$type as $crate::fields::Field>::BYTES_MIN)*;

            fn put(&self, out: &mut bytes::BytesMut) {
                $($crate::fields::Field::put(&self.$field, out);)*
            }

            fn get(reader: &mut $crate::fields::Reader<'_>) -> flumen_model::Result<Self> {
                Ok($name { $($field: reader.read()?,)* })
            }
        }

        impl $crate::message::Body for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                $crate::fields::Field::put(self, out);
            }

            fn get(body: &bytes::Bytes) -> flumen_model::Result<Self> {
                let mut reader = $crate::fields::Reader::new(body);
                let message = reader.read()?;
                reader.finish()?;
                Ok(message)
            }
        }
    )*};
}
pub(crate) use message;

/// A body without a byte, where the kind says everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Empty;

impl Body for Empty {
    fn put(&self, _: &mut BytesMut) {}

    fn get(body: &Bytes) -> Result<Empty> {
        Reader::new(body).finish().map(|()| Empty)
    }
}
