//! `command!`, `record!` and `errors!`.

/// Writes commands: a struct for the arguments, a struct for the answer, and what joins the two.
///
/// ```
/// use ropewalk_amp::{command, errors};
///
/// command! {
///     /// Divides one number by another.
///     pub Divide {
///         numerator: i64,
///         denominator: i64,
///         /// How many digits are wanted behind the point.
///         digits: Option<u16>,
///     } -> Quotient { result: f64 } or DivideError;
///
///     /// Answers with nothing but the fact that it was done.
///     pub Clear {} -> ();
///
///     /// Has no answer at all. Its names on the wire are none that Rust would take.
///     pub Log as "write-log" { text as "log-text": String };
///
///     /// Makes the connection another protocol's.
///     pub switch Upgrade { to: String } -> ();
/// }
///
/// errors! {
///     /// Why a division has no result.
///     pub DivideError {
///         /// The denominator is zero.
///         ZeroDivision = "ZERO_DIVISION",
///         /// Nothing works any more; the connection is closed.
///         OnFire = fatal "ON_FIRE",
///     }
/// }
/// ```
///
/// The structs derive `Clone`, `Debug` and `PartialEq`, and take attributes for more. An answer that is
/// the same for several commands is a [`record!`](crate::record): `-> Quotient or DivideError;`. A field
/// called as a keyword is written `r#type` or `kind as "type"`. Keys that the protocol has itself
/// (`_command` and its like) do not compile:
///
/// ```compile_fail
/// ropewalk_amp::command! { Bad { _command: String } -> (); }
/// ```
#[macro_export]
macro_rules! command {
    () => {};
    (
        $(#[$meta:meta])* $vis:vis switch $name:ident $(as $wire:literal)?
        { $($fields:tt)* } -> $($rest:tt)*
    ) => {
        $crate::__command! { @answer true [$(#[$meta])*] [$vis] $name [$($wire)?] {$($fields)*} $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis $name:ident $(as $wire:literal)?
        { $($fields:tt)* } -> $($rest:tt)*
    ) => {
        $crate::__command! { @answer false [$(#[$meta])*] [$vis] $name [$($wire)?] {$($fields)*} $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis $name:ident $(as $wire:literal)?
        { $($fields:tt)* }; $($rest:tt)*
    ) => {
        $crate::__command! {
            @whole false false [$(#[$meta])*] [$vis] $name [$($wire)?] {$($fields)*} (()) []
        }
        $crate::command! { $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __command {
    (
        @answer $switch:literal $meta:tt [$vis:vis] $name:ident $wire:tt $fields:tt
        () $(or $error:ty)?; $($rest:tt)*
    ) => {
        $crate::__command! {
            @whole true $switch $meta [$vis] $name $wire $fields (()) [$($error)?]
        }
        $crate::command! { $($rest)* }
    };
    (
        @answer $switch:literal $meta:tt [$vis:vis] $name:ident $wire:tt $fields:tt
        $answer:ident { $($answers:tt)* } $(or $error:ty)?; $($rest:tt)*
    ) => {
        $crate::__command! {
            @whole true $switch $meta [$vis] $name $wire $fields ($answer) [$($error)?]
        }
        $crate::record! {
            #[doc = concat!("The answer to [`", stringify!($name), "`].")]
            $vis $answer { $($answers)* }
        }
        $crate::command! { $($rest)* }
    };
    (
        @answer $switch:literal $meta:tt [$vis:vis] $name:ident $wire:tt $fields:tt
        $answer:ident $(or $error:ty)?; $($rest:tt)*
    ) => {
        $crate::__command! {
            @whole true $switch $meta [$vis] $name $wire $fields ($answer) [$($error)?]
        }
        $crate::command! { $($rest)* }
    };
    (
        @whole $answered:literal $switch:literal [$($meta:tt)*] [$vis:vis] $name:ident [$($wire:literal)?]
        {$($fields:tt)*} ($answer:ty) [$($error:ty)?]
    ) => {
        $crate::record! { $($meta)* $vis $name { $($fields)* } }

        impl $crate::Command for $name {
            const NAME: &'static str = $crate::__command!(@name $name $($wire)?);
            const IS_ANSWERED: bool = $answered;
            const IS_SWITCH: bool = $switch;
            type Answer = $answer;
            type Error = $crate::__command!(@error $($error)?);
        }
    };
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $wire:literal) => { $wire };
    (@error) => { $crate::NoErrors };
    (@error $error:ty) => { $error };
}

/// Writes structs whose fields stand in a box together: rows of an [`AmpList`](crate::AmpList), and
/// answers that several commands have.
///
/// ```
/// ropewalk_amp::record! {
///     /// Somebody and their age, if they tell.
///     pub Person { name: String, age: Option<u16> }
/// }
///
/// let alice = Person { name: "Alice".to_owned(), age: None };
/// assert_eq!(alice, alice.clone());
/// ```
#[macro_export]
macro_rules! record {
    ($(
        $(#[$meta:meta])* $vis:vis $name:ident {
            $($(#[$field_meta:meta])* $field:ident $(as $key:literal)? : $type:ty),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[allow(missing_docs, reason = "most fields say with their name what they are")]
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[$field_meta])* $vis $field: $type,)*
        }

        // Keys that cannot be are found here, whether the record is ever used or not.
        $(const _: &str = $crate::__record!(@key $field $($key)?);)*

        impl $crate::Record for $name {
            fn put(&self, writer: &mut $crate::BoxWriter<'_>) {
                $(writer.field($crate::__record!(@key $field $($key)?), &self.$field);)*
                let _ = writer;
            }

            fn take(fields: $crate::Fields<'_>) -> Result<Self, $crate::BadField> {
                $(
                    let key = $crate::__record!(@key $field $($key)?);
                    let $field = fields.field::<$type>(key)?;
                )*
                let _ = fields;
                Ok(Self { $($field),* })
            }
        }

        impl $crate::for_macros::Outcome for $name {
            type Value = Self;

            fn into_deferred(self) -> $crate::for_macros::Deferred<Self> {
                $crate::for_macros::Deferred::succeed(self)
            }
        }
    )*};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    (@key $field:ident) => {
        const { $crate::for_macros::key_of(stringify!($field)) }
    };
    (@key $field:ident $key:literal) => {
        const { $crate::for_macros::key_of($key) }
    };
}

/// Writes the errors that commands declare, each with its code; see [`command!`](crate::command).
///
/// Each variant holds what people read.
///
/// ```
/// use ropewalk_amp::DeclaredError;
///
/// ropewalk_amp::errors! {
///     /// Why nobody can be looked up.
///     pub LookUpError {
///         /// There is nobody of that name.
///         Nobody = "NOBODY",
///         /// The list is gone, and the connection with it.
///         ListGone = fatal "LIST_GONE",
///     }
/// }
///
/// let error = LookUpError::Nobody("no Alice here".to_owned());
/// assert_eq!((error.code(), error.is_fatal()), ("NOBODY", false));
/// assert_eq!(error.to_string(), "no Alice here");
/// ```
#[macro_export]
macro_rules! errors {
    ($(
        $(#[$meta:meta])* $vis:vis $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $($fatal:ident)? $code:literal),+ $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant(String),)+
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($crate::DeclaredError::message(self))
            }
        }

        impl ::std::error::Error for $name {}

        impl $crate::DeclaredError for $name {
            fn code(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $code,)+
                }
            }

            fn message(&self) -> &str {
                match self {
                    $(Self::$variant(message) => message,)+
                }
            }

            fn is_fatal(&self) -> bool {
                match self {
                    $(Self::$variant(_) => $crate::__errors!(@fatal $($fatal)?),)+
                }
            }

            fn from_wire(code: &str, message: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant(message.to_owned())),)+
                    _ => None,
                }
            }
        }
    )*};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __errors {
    (@fatal) => {
        false
    };
    (@fatal fatal) => {
        true
    };
}
