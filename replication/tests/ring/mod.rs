//! The ring: whole groups of shipped drivers under a seeded scheduler. Messages are lost, repeated, reordered and
//! brought to the wrong door, links are cut one way, disks lose whole journal groups, replicas stall, crash at bad
//! moments, boot, join, leave, vote, learn and lose their disks for ever. An oracle watches every step; afterwards
//! everything must heal. One seed gives one run: what happens in it is a list of acts, so that it can be told and
//! made smaller.
#![allow(dead_code, reason = "the tests and the command use each their own part")]

pub(crate) mod act;
pub(crate) mod game;
pub(crate) mod heal;
pub(crate) mod mode;
pub(crate) mod player;
pub(crate) mod run;
pub(crate) mod shrink;
pub(crate) mod staff;
