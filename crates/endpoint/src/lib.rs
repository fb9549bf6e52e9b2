//! Endpoints as strings.
