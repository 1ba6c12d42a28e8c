//! Tests of the room next door.
