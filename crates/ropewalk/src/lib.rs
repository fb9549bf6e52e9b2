//! An event-driven networking engine.
