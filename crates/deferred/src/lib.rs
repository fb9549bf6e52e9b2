//! Results that have not arrived yet.
