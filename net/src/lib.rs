//! Listeners, connections and handlers of a node.
#![forbid(unsafe_code)]
