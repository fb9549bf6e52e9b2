//! The exceptions, each with its reason. One that is no longer needed is a fault too.

/// An outside dependency of a floor that has none.
pub(crate) struct Outside {
    pub(crate) package: &'static str,
    pub(crate) dependency: &'static str,
    /// Read by whoever reads the list.
    pub(crate) _reason: &'static str,
}

/// A file, or a function in it, that is longer than others may be.
pub(crate) struct Long {
    pub(crate) path: &'static str,
    /// None when the file itself is long.
    pub(crate) function: Option<&'static str>,
    /// Read by whoever reads the list.
    pub(crate) _reason: &'static str,
}

/// What the two lowest floors take from outside.
pub(crate) const OUTSIDE: &[Outside] = &[
    Outside {
        package: "ropewalk-deferred",
        dependency: "tracing",
        _reason: "a failure that nobody handled is logged when its last owner lets go",
    },
    Outside {
        package: "ropewalk-protocol",
        dependency: "bytes",
        _reason: "large payloads are handed on without a copy, in the type that everybody shares",
    },
    Outside {
        package: "ropewalk-protocol",
        dependency: "tracing",
        _reason: "a protocol that panics ends its connection with a logged error",
    },
];

/// What is long for a reason.
pub(crate) const LONG: &[Long] = &[
    Long {
        path: "crates/endpoint/src/error.rs",
        function: Some("fmt"),
        _reason: "a table: a sentence for each fault that a string can have",
    },
    Long {
        path: "crates/http/src/codec/status.rs",
        function: Some("line"),
        _reason: "a table: a line for each status that is registered",
    },
];
