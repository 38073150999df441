//! Measures as structs whose fields are also a list of names and numbers, for tables.

/// A number in a table; nothing where it is not defined.
pub trait Cell: Sized {
    /// The number.
    fn cell(&self) -> Option<f64>;

    /// The same without a sign at zero: Rust's sum of nothing is -0.
    fn unsigned_zero(self) -> Self {
        self
    }
}

impl Cell for f64 {
    fn cell(&self) -> Option<f64> {
        Some(*self)
    }

    fn unsigned_zero(self) -> Self {
        self + 0.0
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

    fn unsigned_zero(self) -> Self {
        self.map(f64::unsigned_zero)
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

            /// The same without a sign at zeros.
            pub(in $crate::measure::octa) fn tidy(self) -> Self {
                use $crate::measure::octa::fields::Cell as _;
                Self { $($field: self.$field.unsigned_zero()),* }
            }

            /// The numbers in the same order.
            pub fn cells(&self) -> Vec<Option<f64>> {
                use $crate::measure::octa::fields::Cell as _;
                vec![$(self.$field.cell()),*]
            }
        }
    };
}

pub(super) use measures;
