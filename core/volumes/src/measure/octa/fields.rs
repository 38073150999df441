//! Measures as structs whose fields are also a list of names and numbers, for tables.

/// A number in a table; nothing where it is not defined.
pub trait Cell {
    /// The number.
    fn cell(&self) -> Option<f64>;
}

impl Cell for f64 {
    fn cell(&self) -> Option<f64> {
        Some(*self)
    }
}

impl Cell for usize {
    fn cell(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

impl Cell for Option<f64> {
    fn cell(&self) -> Option<f64> {
        *self
    }
}

/// A struct of measures that knows the names of its fields.
macro_rules! measures {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl $name {
            /// Names of the fields in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The numbers in the same order.
            pub fn cells(&self) -> Vec<Option<f64>> {
                use $crate::measure::octa::fields::Cell as _;
                vec![$(self.$field.cell()),*]
            }
        }
    };
}

pub(super) use measures;
