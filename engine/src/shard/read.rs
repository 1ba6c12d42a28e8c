//! Reading a partition: from memory where it can be, else from its segments within the core's read budget. A read
//! that meets damage makes its partition read-only from there on; it never changes what is stored.

use super::Shard;
use crate::partition::{Partition, TailRead};
use bytes::Bytes;
use flumen_io::Host;
use flumen_model::batch::{Batches, Compression};
use flumen_model::records::Records;
use flumen_model::{Code, Error, Offset, Result, UnixMillis};
use std::rc::Rc;

/// A time that asks for the end of the log (Kafka's ListOffsets).
const TIME_LATEST: i64 = -1;
/// A time that asks for the start of the log.
const TIME_EARLIEST: i64 = -2;
/// A time that asks for the record with the highest timestamp.
const TIME_MAX: i64 = -3;

/// What a lookup by time found: offset and timestamp, −1 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeFound {
    /// The first offset at or after the time, if there is one.
    pub offset: Option<Offset>,
    /// Its timestamp; a compressed batch's largest.
    pub timestamp: UnixMillis,
}

impl<H: Host> Shard<H> {
    /// Whole batches from the one that holds `from`, at most `bytes_max` but at least one; none at the end.
    ///
    /// # Errors
    /// As [`Partition::check_readable`]; [`Code::Corrupt`] with file and position where stored bytes are damaged.
    /// Then the partition is marked before this returns.
    pub async fn read(
        self: &Rc<Self>,
        partition: &Rc<Partition<H>>,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>> {
        let mut out = Vec::new();
        match partition.read_tail(from, bytes_max, &mut out)? {
            TailRead::Hit | TailRead::AtEnd => {}
            TailRead::OnDisk => {
                let mut collect = async |runs: &mut Vec<Bytes>| {
                    out.append(runs);
                    true
                };
                self.read_stored(partition, from, bytes_max, &mut collect).await?;
            }
        }
        Ok(out)
    }

    /// Reads from segments and hands the runs of whole batches out as they come; see
    /// [`Segments::read_each`](flumen_log::segment::Segments::read_each).
    ///
    /// # Errors
    /// As [`Shard::read`].
    pub async fn read_stored(
        self: &Rc<Self>,
        partition: &Rc<Partition<H>>,
        from: Offset,
        bytes_max: usize,
        sink: &mut impl AsyncFnMut(&mut Vec<Bytes>) -> bool,
    ) -> Result<()> {
        let segments = partition.log.segments().expect("records lie in segments");
        let end = partition.high_watermark();
        let read = segments.read_each(&self.host, self.log.budget(), from, end, bytes_max, sink).await;
        // While it was read, retention may have taken it away: say that rather than what the disk said.
        partition.check_readable(from)?;
        self.mark_rot(partition, &read).await;
        read
    }

    /// After a read that met damage: looks at the segment as a whole, and when it is true the partition is read-only
    /// from the first offset that cannot be served, which a checkpoint remembers.
    async fn mark_rot<T>(self: &Rc<Self>, partition: &Rc<Partition<H>>, read: &Result<T>) {
        if !read.as_ref().is_err_and(|error| error.code == Code::Corrupt) {
            return;
        }
        let (shard, partition) = (self.clone(), partition.clone());
        // A task of its own: a reader that goes away must not leave this half done.
        let marked = self.host.spawn(async move {
            let Some(segments) = partition.log.segments() else { return };
            let rot = segments.find_rot(&shard.host, shard.log.budget(), partition.log_start()).await;
            let Some(rot) = rot.filter(|_| !partition.closed.get()) else { return };
            let damage = &rot.damage;
            tracing::error!(group = partition.group().0, from = rot.from.0, file = %damage.file.display(),
                position = damage.position, what = damage.what,
                "acked records are damaged: the partition is read-only up to them");
            if partition.note_rot(rot.from) {
                drop(shard.host.spawn(shard.clone().remember_rot(partition)));
            }
        });
        marked.await;
    }

    async fn remember_rot(self: Rc<Self>, partition: Rc<Partition<H>>) {
        if let Err(error) = self.log.checkpoint(&partition.log, &*self).await {
            // The spreader meets the same disk and ends the process if it must; the next read finds the damage again.
            tracing::error!(group = partition.group().0, %error, "damage is not remembered over a restart");
        }
    }

    /// The first record of `time` or later (of a compressed batch: its first record), or one of the special times.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for an unknown special time, or what the read of an index says.
    pub async fn offset_for_time(
        self: &Rc<Self>,
        partition: &Rc<Partition<H>>,
        time: i64,
    ) -> Result<TimeFound> {
        let none = UnixMillis(-1);
        match time {
            TIME_LATEST => Ok(TimeFound { offset: Some(partition.high_watermark()), timestamp: none }),
            TIME_EARLIEST => Ok(TimeFound { offset: Some(partition.log_start()), timestamp: none }),
            _ if time < TIME_MAX => Err(Error::new(
                Code::InvalidRequest,
                format!(
                    "no such special time: {time}; known are -1 latest, -2 earliest, -3 highest timestamp"
                ),
            )),
            _ => self.search_time(partition, time).await,
        }
    }

    async fn search_time(self: &Rc<Self>, partition: &Rc<Partition<H>>, time: i64) -> Result<TimeFound> {
        let nothing = TimeFound { offset: None, timestamp: UnixMillis(-1) };
        let Some(segments) = partition.log.segments() else { return Ok(nothing) };
        let time = match time {
            TIME_MAX => match segments.max_timestamp() {
                Some(highest) => highest,
                None => return Ok(nothing),
            },
            time => UnixMillis(time),
        };
        let found =
            segments.offset_for_time(&self.host, self.log.budget(), partition.log_start(), time).await;
        self.mark_rot(partition, &found).await;
        let found = found?;
        let start = partition.log_start();
        let Some((offset, at)) = found.filter(|(offset, _)| *offset < partition.high_watermark()) else {
            return Ok(nothing);
        };
        let (offset, at) = self.record_of_time(partition, offset.max(start), at, time).await?;
        Ok(TimeFound { offset: Some(offset), timestamp: at })
    }

    /// The first record of a time in the batch that has one. A compressed batch answers as a whole, since none is
    /// ever opened here; so does a stamped one, whose records have one time.
    async fn record_of_time(
        self: &Rc<Self>,
        partition: &Rc<Partition<H>>,
        offset: Offset,
        at: UnixMillis,
        time: UnixMillis,
    ) -> Result<(Offset, UnixMillis)> {
        let run = self.read(partition, offset, 1).await?;
        let view = run.first().and_then(|run| Batches::new(run).next());
        let open = view.filter(|view| view.compression() == Compression::None && !view.is_append_time());
        let found = open.and_then(|view| {
            let mut records = Records::new(&view, view.payload()).filter_map(Result::ok);
            records
                .find(|record| record.offset >= offset && record.timestamp >= time)
                .map(|record| (record.offset, record.timestamp))
        });
        Ok(found.unwrap_or((offset, at)))
    }
}
