//! Writing one field with its own `Serialize`, except for numbers that JSON readers do not
//! preserve, and for blobs.

use std::borrow::Cow;
use std::fmt::Display;

use serde::ser::{Serialize, Serializer};

use super::Field;
use crate::wire::json::value::{INT, MAX_SAFE, REAL, TaggedReal, is_plain, write_blob, write_tagged};

/// Writes a field with `Serialize`.
pub trait WriteSerde<T> {
    fn write<S: Serializer>(&self, value: &T, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<T: Serialize> WriteSerde<T> for Field<T> {
    fn write<S: Serializer>(&self, value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(Plainly(serializer))
    }
}

macro_rules! blobs {
    ($($T:ty),*) => {$(
        #[allow(clippy::ptr_arg, reason = "called with a reference to the field")]
        impl Field<$T> {
            pub fn write<S: Serializer>(&self, value: &$T, serializer: S) -> Result<S::Ok, S::Error> {
                write_blob(value, serializer)
            }
        }

        impl Field<Option<$T>> {
            pub fn write<S: Serializer>(&self, value: &Option<$T>, serializer: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => write_blob(value, serializer),
                    None => serializer.serialize_none(),
                }
            }
        }
    )*};
}
blobs!(Vec<u8>, &[u8], Cow<'_, [u8]>);

/// A serializer that writes integers above 2^53 and reals that not every JSON reader preserves as
/// tagged values, and forwards everything else.
///
/// It also applies inside of `Some` and newtypes, but not inside of arrays and objects.
pub struct Plainly<S>(pub S);

/// A value that is serialized with [`Plainly`].
struct WithPlainly<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for WithPlainly<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Plainly(serializer))
    }
}

/// Returns whether a real is a whole number that every JSON reader preserves.
fn is_whole(real: f64) -> bool {
    real.fract() == 0.0 && real.abs() <= MAX_SAFE as f64 && !(real == 0.0 && real.is_sign_negative())
}

macro_rules! forward {
    ($($method:ident: $T:ty),*) => {$(
        fn $method(self, value: $T) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        }
    )*};
}

impl<S: Serializer> Serializer for Plainly<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = S::SerializeMap;
    type SerializeStruct = S::SerializeStruct;
    type SerializeStructVariant = S::SerializeStructVariant;

    forward! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_char: char, serialize_str: &str
    }

    fn serialize_i64(self, value: i64) -> Result<S::Ok, S::Error> {
        if value.unsigned_abs() <= MAX_SAFE { self.0.serialize_i64(value) } else { write_tagged(self.0, INT, &value) }
    }

    fn serialize_u64(self, value: u64) -> Result<S::Ok, S::Error> {
        if value <= MAX_SAFE { self.0.serialize_u64(value) } else { write_tagged(self.0, INT, &value) }
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        match i64::try_from(value) {
            Ok(value) => self.serialize_i64(value),
            Err(_) => write_tagged(self.0, INT, &value),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => write_tagged(self.0, INT, &value),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        let real = f64::from(value);
        // the shortest decimal form of a 32-bit float
        let shortest = value.to_string().parse().unwrap_or(real);
        if is_whole(real) || is_plain(shortest) {
            self.0.serialize_f32(value)
        } else {
            write_tagged(self.0, REAL, &TaggedReal(real))
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if is_whole(value) || is_plain(value) {
            self.0.serialize_f64(value)
        } else {
            write_tagged(self.0, REAL, &TaggedReal(value))
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        write_blob(value, self.0)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&WithPlainly(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_struct(name)
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &WithPlainly(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<S::SerializeSeq, S::Error> {
        self.0.serialize_seq(length)
    }

    fn serialize_tuple(self, length: usize) -> Result<S::SerializeTuple, S::Error> {
        self.0.serialize_tuple(length)
    }

    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<S::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, length)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<S::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, index, variant, length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<S::SerializeMap, S::Error> {
        self.0.serialize_map(length)
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<S::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, length)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<S::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, index, variant, length)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}
