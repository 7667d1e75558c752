//! Two macros: one turns a documented struct into a catalogue section, one puts sections together
//! into a description.
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
    /// Of each field: its name, how its values are written, what it means.
    const FIELDS: &'static [(&'static str, &'static str, &'static str)];

    /// Puts the fields that `over` sets on top of `base`.
    fn overlay(base: &mut Self::Partial, over: Self::Partial);

    /// Completes the section, or adds the dotted paths of the missing fields.
    fn finish(partial: Self::Partial, path: &str, missing: &mut Vec<String>) -> Option<Self>;

    /// Appends `(dotted path, value as text)` of every field.
    fn list(&self, path: &str, out: &mut Vec<(String, String)>);

    /// Appends `(dotted path, number in its base unit)` of every numeric field.
    fn numbers(&self, path: &str, out: &mut Vec<(String, f64)>);
}

/// A key that a description may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// What the section describes.
    pub section_meaning: &'static str,
    /// Its name within the section.
    pub name: &'static str,
    /// How its values are written, with an example or the words that are known.
    pub value: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Key {
    /// Section and name, as sources and studies write it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// How a value prints in `catalog show`.
pub(crate) trait Show {
    /// How it is written in a file.
    const WRITTEN: &'static str;

    fn show(&self) -> String;

    /// The number in its base unit, if it is one.
    fn number(&self) -> Option<f64> {
        None
    }
}

macro_rules! show_by_display {
    ($($ty:ty: $written:literal),+) => {
        $(impl Show for $ty {
            const WRITTEN: &'static str = $written;

            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

show_by_display!(bool: "true or false", String: "a text");

macro_rules! show_number {
    ($($ty:ty, $written:expr, $number:expr;)+) => {
        $(impl Show for $ty {
            const WRITTEN: &'static str = $written;

            fn show(&self) -> String {
                self.to_string()
            }
            fn number(&self) -> Option<f64> {
                let number: fn(&$ty) -> f64 = $number;
                Some(number(self))
            }
        })+
    };
}

show_number! {
    u32, "a whole number", |n| f64::from(*n);
    f64, "a number", |n| *n;
    crate::units::Bytes, crate::units::Bytes::WRITTEN, |q| q.bytes();
    crate::units::Frequency, crate::units::Frequency::WRITTEN, |q| q.hz();
    crate::units::Bandwidth, crate::units::Bandwidth::WRITTEN, |q| q.bytes_per_s();
    crate::units::Duration, crate::units::Duration::WRITTEN, |q| q.ns();
    crate::units::Power, crate::units::Power::WRITTEN, |q| q.watts();
    crate::units::Energy, crate::units::Energy::WRITTEN, |q| q.pj();
    crate::units::Area, crate::units::Area::WRITTEN, |q| q.mm2();
}

impl Show for Vec<f64> {
    const WRITTEN: &'static str = "a list of numbers";

    fn show(&self) -> String {
        self.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Show for Vec<String> {
    const WRITTEN: &'static str = "a list of texts";

    fn show(&self) -> String {
        self.join(", ")
    }
}

/// A whole description made of sections: what the catalogue needs to put one together.
pub(crate) trait Description: Sized {
    /// The same with every field optional.
    type Partial: Default + serde::de::DeserializeOwned;
    /// What it describes, for messages.
    const WHAT: &'static str;
    /// Section names with their keys, as written in TOML.
    const SECTIONS: &'static [(&'static str, &'static [&'static str])];

    /// Puts what `over` sets on top of `base`.
    fn overlay(base: &mut Self::Partial, over: Self::Partial);

    /// Completes the description or returns the dotted paths of what is missing.
    fn finish(partial: Self::Partial) -> Result<Self, Vec<String>>;

    /// Every number as `(dotted path, number in its base unit)`.
    fn numbers(&self) -> Vec<(String, f64)>;

    /// What cannot be true: `(dotted path, why)` of the first rule that is broken.
    fn broken(&self) -> Option<(&'static str, String)>;

    /// Names that it goes by, besides its short one.
    fn names(&self) -> Vec<&str>;

    /// The first number that no hardware has, or the first rule that is broken.
    fn contradiction(&self) -> Option<(String, String)> {
        let absurd = |number: f64| !(0.0..=1e18).contains(&number);
        if let Some((path, number)) = self.numbers().into_iter().find(|(_, n)| absurd(*n)) {
            return Some((path, format!("is {number:e}, which no hardware has")));
        }
        self.broken().map(|(path, why)| (path.to_owned(), why))
    }
}

macro_rules! section {
    ($(#[$meta:meta])* $name:ident / $partial:ident {
        $($(#[doc = $doc:literal])+ $field:ident: $ty:ty,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)+
        }

        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $partial {
            $($field: Option<$ty>,)+
        }

        impl $crate::section::Section for $name {
            type Partial = $partial;
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),+];
            const FIELDS: &'static [(&'static str, &'static str, &'static str)] = &[$((
                stringify!($field),
                <$ty as $crate::section::Show>::WRITTEN,
                concat!($($doc),+),
            )),+];

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

            fn numbers(&self, path: &str, out: &mut Vec<(String, f64)>) {
                use $crate::section::Show as _;
                $(if let Some(number) = self.$field.number() {
                    out.push((format!("{path}.{}", stringify!($field)), number));
                })+
            }
        }
    };
}

macro_rules! description {
    ($(#[$meta:meta])* $name:ident / $partial_name:ident, $what:literal {
        $($(#[doc = $doc:literal])+ $field:ident: $section:ident / $partial:ident,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $section,)+
        }

        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $partial_name {
            base: serde::de::IgnoredAny,
            sources: serde::de::IgnoredAny,
            $($field: $partial,)+
        }

        impl $crate::section::Description for $name {
            type Partial = $partial_name;
            const WHAT: &'static str = $what;
            const SECTIONS: &'static [(&'static str, &'static [&'static str])] =
                &[$((stringify!($field), <$section as $crate::section::Section>::KEYS)),+];

            fn overlay(base: &mut $partial_name, over: $partial_name) {
                $(<$section as $crate::section::Section>::overlay(&mut base.$field, over.$field);)+
            }

            fn finish(partial: $partial_name) -> Result<Self, Vec<String>> {
                let mut missing = Vec::new();
                $(let $field = <$section as $crate::section::Section>::finish(
                    partial.$field, stringify!($field), &mut missing);)+
                match ($($field,)+) {
                    ($(Some($field),)+) => Ok(Self { $($field,)+ }),
                    _ => Err(missing),
                }
            }

            fn numbers(&self) -> Vec<(String, f64)> {
                use $crate::section::Section as _;
                let mut out = Vec::new();
                $(self.$field.numbers(stringify!($field), &mut out);)+
                out
            }

            fn broken(&self) -> Option<(&'static str, String)> {
                self.broken_rule()
            }

            fn names(&self) -> Vec<&str> {
                self.all_names()
            }
        }

        impl $name {
            /// Every key that a file may set, in the order of this file.
            pub fn keys() -> Vec<$crate::Key> {
                use $crate::section::Section as _;
                let mut out = Vec::new();
                $(out.extend(<$section>::FIELDS.iter().map(|&(name, value, meaning)| $crate::Key {
                    section: stringify!($field),
                    section_meaning: concat!($($doc),+).trim_ascii(),
                    name,
                    value,
                    meaning: meaning.trim_ascii(),
                }));)+
                out
            }

            /// Every value as `(dotted path, text)`, in the order of this file.
            pub fn list(&self) -> Vec<(String, String)> {
                use $crate::section::Section as _;
                let mut out = Vec::new();
                $(self.$field.list(stringify!($field), &mut out);)+
                out
            }
        }
    };
}

pub(crate) use {description, section};
