//! The seeds of the corpus, made by the encoders that the product uses, so that they stay valid. Every one is
//! small and says something that the others do not.

mod files;
mod machines;
mod strangers;

/// An input by its target and its file name.
pub type Seed = (&'static str, String, Vec<u8>);

/// All seeds. The same ones each time.
pub fn all() -> Vec<Seed> {
    [strangers::seeds(), machines::seeds(), files::seeds()].concat()
}

fn seed(target: &'static str, name: impl Into<String>, input: impl AsRef<[u8]>) -> Seed {
    (target, name.into(), input.as_ref().to_vec())
}
