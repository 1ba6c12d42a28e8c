//! The layout of what is stored, byte by byte.

