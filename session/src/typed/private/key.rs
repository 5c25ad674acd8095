//! The primary key of a row that does not name its key columns: the compiler finds the fields that
//! belong to the key.

use super::update::{InUpdate, IsKey};
use crate::typed::reader::{Reader, Side};
use crate::typed::{DecodeError, Tracked};

/// A row that has a field for the column `C`.
pub trait HasColumn<C> {
    type Type;
}

/// Reads the field of the column `C`.
pub trait ReadColumn<'de, C>: HasColumn<C> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Type, DecodeError>;
}

/// Returns the field of the column `C`, of a row and of its companions.
pub trait KeyColumn<C>: HasColumn<C> + Tracked {
    /// [`IsKey`].
    type Is: InUpdate<Self::Type>;
    fn of_row(&self) -> &Self::Type;
    fn of_update(update: &Self::Update) -> &<Self::Is as InUpdate<Self::Type>>::Update;
    fn of_patch(patch: &Self::Patch) -> &<Self::Is as InUpdate<Self::Type>>::Patch;
}

/// The number of key columns; 0 after an error that another check reports.
pub struct Columns<const N: usize>;

/// The key of a row `R` of a table with the primary key `P`.
pub trait KeyOf<P, R> {
    type Key;
}

/// Reads the key.
pub trait ReadKey<'de, P, R>: KeyOf<P, R> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError>;
}

/// Copies the key `K` out of a row and of its companions.
pub trait CloneKey<P, R: Tracked, K> {
    fn of_row(row: &R) -> K;
    fn of_update(update: &R::Update) -> K;
    fn of_patch(patch: &R::Patch) -> K;
}

impl<P, R> KeyOf<P, R> for Columns<0> {
    type Key = ();
}

impl<P, R: Tracked> CloneKey<P, R, ()> for Columns<0> {
    fn of_row(_: &R) {}
    fn of_update(_: &R::Update) {}
    fn of_patch(_: &R::Patch) {}
}

impl<'de, P, R> ReadKey<'de, P, R> for Columns<0> {
    fn read<const N: usize>(_: &Reader<'_, 'de>, _: &Side<'de, N>) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl<C, R: HasColumn<C>> KeyOf<C, R> for Columns<1> {
    type Key = R::Type;
}

impl<'de, C, R: ReadColumn<'de, C>> ReadKey<'de, C, R> for Columns<1> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<R::Type, DecodeError> {
        R::read(reader, old)
    }
}

impl<C, K: Clone, R: KeyColumn<C, Type = K, Is = IsKey<true>>> CloneKey<C, R, K> for Columns<1> {
    fn of_row(row: &R) -> K {
        row.of_row().clone()
    }

    fn of_update(update: &R::Update) -> K {
        R::of_update(update).clone()
    }

    fn of_patch(patch: &R::Patch) -> K {
        R::of_patch(patch).clone()
    }
}

/// Calls a macro with each supported length of a composite key, and a name for each of its columns.
macro_rules! of_tuples {
    ($macro:ident) => {
        $macro! {
            2: A B;
            3: A B C;
            4: A B C D;
            5: A B C D E;
            6: A B C D E F;
            7: A B C D E F G;
            8: A B C D E F G H;
            9: A B C D E F G H I;
            10: A B C D E F G H I J;
            11: A B C D E F G H I J K;
            12: A B C D E F G H I J K L;
            13: A B C D E F G H I J K L M;
            14: A B C D E F G H I J K L M O;
            15: A B C D E F G H I J K L M O P;
            16: A B C D E F G H I J K L M O P Q;
        }
    };
}
#[cfg(feature = "serde")]
pub(in crate::typed) use of_tuples;

macro_rules! keys {
    ($($count:literal: $($C:ident)*;)*) => {$(
        impl<$($C,)* R> KeyOf<($($C,)*), R> for Columns<$count>
        where
            R: $(HasColumn<$C> +)*
        {
            type Key = ($(<R as HasColumn<$C>>::Type,)*);
        }

        impl<'de, $($C,)* R> ReadKey<'de, ($($C,)*), R> for Columns<$count>
        where
            R: $(ReadColumn<'de, $C> +)*
        {
            fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError> {
                Ok(($(<R as ReadColumn<'de, $C>>::read(reader, old)?,)*))
            }
        }

        impl<$($C,)* R: Tracked> CloneKey<($($C,)*), R, ($(<R as HasColumn<$C>>::Type,)*)> for Columns<$count>
        where
            R: $(KeyColumn<$C, Is = IsKey<true>> +)*,
            $(<R as HasColumn<$C>>::Type: Clone,)*
        {
            fn of_row(row: &R) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_row(row).clone(),)*)
            }

            fn of_update(update: &R::Update) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_update(update).clone(),)*)
            }

            fn of_patch(patch: &R::Patch) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_patch(patch).clone(),)*)
            }
        }
    )*};
}
of_tuples!(keys);
