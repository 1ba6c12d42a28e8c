//! What every host owes the seam, as tests that any machine can be put through. Says nothing about speed, and
//! nothing that the seam does not promise.

pub(crate) mod channels;
pub(crate) mod files;
pub(crate) mod names;
pub(crate) mod sockets;
pub(crate) mod streams;
pub(crate) mod tasks;

mod on_glommio;
mod on_mem;

use crate::{Host, Machine};
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;

/// A machine and an empty directory to work in.
pub(crate) struct Stage<M> {
    pub(crate) machine: M,
    pub(crate) dir: PathBuf,
    /// Removes a real directory afterwards.
    pub(crate) keep: Option<TempDir>,
}

impl<M: Machine> Stage<M> {
    /// Runs one main on each core, to the end.
    pub(crate) fn run(self, mains: Vec<Main<M::Host>>) {
        self.machine.run(mains).unwrap();
        drop(self.keep);
    }

    /// Runs on a machine of one core.
    pub(crate) fn one_core<F>(self, main: impl FnOnce(M::Host, PathBuf) -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let dir = self.dir.clone();
        self.run(vec![main_of(move |host| main(host, dir))]);
    }
}

pub(crate) type Main<H> = Box<dyn FnOnce(H) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// One core's main, boxed so that different cores can do different things.
pub(crate) fn main_of<H, F>(main: impl FnOnce(H) -> F + Send + 'static) -> Main<H>
where
    F: Future<Output = ()> + 'static,
{
    Box::new(move |host| Box::pin(main(host)))
}

/// Polls once and drops: a wait that somebody gives up at the worst moment.
pub(crate) async fn poll_once_and_drop(future: impl Future) {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Waits until `done`, by yielding; fails when it never happens.
pub(crate) async fn eventually<H: Host>(host: &H, what: &str, done: impl Fn() -> bool) {
    let start = host.now();
    while !done() {
        assert!(host.now().since(start) < Duration::from_secs(20), "never happened: {what}");
        host.sleep(Duration::from_millis(1)).await;
    }
}

/// Declares one test per promise for a host; `$stages` gives the stages to run each on.
macro_rules! contract {
    ($stages:path: $($room:ident :: { $($promise:ident),* $(,)? })*) => {
        $(mod $room {
            $(#[test]
            fn $promise() {
                for stage in $stages() {
                    crate::contract::$room::$promise(stage);
                }
            })*
        })*
    };
}
pub(crate) use contract;

/// Every promise.
macro_rules! whole_contract {
    ($stages:path) => {
        crate::contract::contract! { $stages:
            files::{
                what_was_written_is_read_back_after_reopening,
                durable_writes_and_syncs_keep_the_bytes,
                what_direct_files_cannot_do_is_refused,
                a_read_ends_at_the_end_of_the_file,
                reserved_space_reads_as_zeros,
                truncate_cuts_and_extends_with_zeros,
                concurrent_writes_all_land,
                a_dropped_write_harms_neither_memory_nor_file,
                a_file_outlives_its_name_and_keeps_its_size,
                abandoned_changes_of_size_still_happen,
                create_new_refuses_what_is_there,
            }
            names::{
                directories_are_made_listed_and_removed,
                a_rename_replaces_the_target,
                abandoned_changes_of_names_still_happen,
                a_lock_has_one_holder,
                space_is_told,
            }
            tasks::{
                timers_fire_in_order_and_never_early,
                a_task_runs_unwatched_and_gives_its_value,
                spawn_does_not_run_on_the_callers_stack,
                yielding_loops_starve_nobody,
                chance_and_clocks_move,
                a_time_limit_ends_a_wait,
            }
            channels::{
                values_arrive_in_order,
                a_full_channel_pushes_back,
                waiting_senders_all_get_through,
                a_gone_receiver_gives_values_back,
                the_end_comes_after_the_last_value,
                ten_thousand_round_trips_between_cores,
            }
            sockets::{
                an_address_in_use_is_refused,
                nobody_listening_refuses,
                two_hundred_connections_are_served,
                a_client_that_is_gone_does_not_stop_accepting,
                a_dropped_accept_loses_no_connection,
                a_closed_listener_fails_accepts_and_frees_the_port,
                a_stream_moves_to_another_core_with_unread_bytes,
            }
            streams::{
                bytes_arrive_in_order,
                a_slow_reader_holds_the_writer_back,
                each_direction_ends_by_itself,
                a_dropped_read_loses_nothing,
                a_reset_ends_a_write,
                shutdown_wakes_a_waiting_read,
                shutdown_wakes_a_waiting_write,
                both_directions_run_at_once,
                a_dropped_write_closes_the_stream,
            }
        }
    };
}
pub(crate) use whole_contract;
