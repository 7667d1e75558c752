//! One macro that turns a documented struct into a catalogue section.
//!
//! A section exists twice: complete (what engines read) and partial (what one TOML layer
//! says, every field optional). Writing each field once keeps the two, the overlay rule and
//! the list that `catalog show` prints from drifting apart.

/// What all sections can do; used by the GPU description to treat them alike.
pub(crate) trait Section: Sized {
    /// The same section with every field optional.
    type Partial: Default + Clone;
    /// The field names as they are written in TOML.
    const KEYS: &'static [&'static str];

    /// Puts the fields that `over` sets on top of `base`.
    fn overlay(base: &mut Self::Partial, over: Self::Partial);

    /// Completes the section, or adds the dotted paths of the missing fields.
    fn finish(partial: Self::Partial, path: &str, missing: &mut Vec<String>) -> Option<Self>;

    /// Appends `(dotted path, value as text)` of every field.
    fn list(&self, path: &str, out: &mut Vec<(String, String)>);
}

/// How a value prints in `catalog show`.
pub(crate) trait Show {
    fn show(&self) -> String;
}

macro_rules! show_by_display {
    ($($ty:ty),+) => { $(impl Show for $ty { fn show(&self) -> String { self.to_string() } })+ };
}

show_by_display!(
    u32,
    f64,
    bool,
    String,
    crate::units::Bytes,
    crate::units::Frequency,
    crate::units::Bandwidth,
    crate::units::Duration,
    crate::units::Power,
    crate::units::Energy,
    crate::units::Area
);

impl Show for Vec<String> {
    fn show(&self) -> String {
        self.join(", ")
    }
}

macro_rules! section {
    ($(#[$meta:meta])* $name:ident / $partial:ident {
        $($(#[$field_meta:meta])* $field:ident: $ty:ty,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)+
        }

        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $partial {
            $($field: Option<$ty>,)+
        }

        impl $crate::section::Section for $name {
            type Partial = $partial;
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),+];

            fn overlay(base: &mut $partial, over: $partial) {
                $(if over.$field.is_some() { base.$field = over.$field; })+
            }

            fn finish(partial: $partial, path: &str, missing: &mut Vec<String>) -> Option<Self> {
                $(if partial.$field.is_none() {
                    missing.push(format!("{path}.{}", stringify!($field)));
                })+
                Some(Self { $($field: partial.$field?,)+ })
            }

            fn list(&self, path: &str, out: &mut Vec<(String, String)>) {
                use $crate::section::Show as _;
                $(out.push((format!("{path}.{}", stringify!($field)), self.$field.show()));)+
            }
        }
    };
}

pub(crate) use section;
