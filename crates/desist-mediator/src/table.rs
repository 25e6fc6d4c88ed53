//! What is there for a type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A `TypeId` is a hash already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(crate) type ByType<T> = HashMap<TypeId, T, BuildHasherDefault<AsItIs>>;

/// Of each type something of a type that goes with it.
pub(crate) type Table = ByType<Box<dyn Any + Send + Sync>>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn types_are_told_apart_however_their_ids_are_hashed() {
        let of = |write: fn(&mut AsItIs)| {
            let mut hasher = AsItIs::default();
            write(&mut hasher);
            hasher.finish()
        };
        assert_ne!(of(|h| TypeId::of::<u8>().hash(h)), of(|h| TypeId::of::<u16>().hash(h)));
        assert_ne!(of(|h| h.write(b"one")), of(|h| h.write(b"two")));
    }
}
