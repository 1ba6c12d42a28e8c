//! The bytes of one simulated file, as the device has them (durable) and as a reader sees them (live). Sectors
//! of 512 bytes are atomic, as on the device; nothing larger is. Knows no names and no time.

mod crash;

pub(super) use crash::{Loss, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a device writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
const SECTORS_PER_PAGE: u64 = (PAGE_BYTES / SECTOR_BYTES) as u64;

type Sector = [u8; SECTOR_BYTES];

/// Never covered by a flush: written before a flush that failed.
const LOST: u64 = u64::MAX;

/// Versions of a sector that are not durable, oldest first, with the number of the write that brought each.
type Versions = Vec<(u64, Piece)>;

/// A sector of a write; all sectors of a write share its bytes.
#[derive(Clone, Debug)]
struct Piece {
    write: Rc<[u8]>,
    at: usize,
}

impl Piece {
    fn alone(data: &Sector) -> Piece {
        Piece { write: Rc::from(data.as_slice()), at: 0 }
    }

    fn data(&self) -> &Sector {
        let bytes = &self.write[self.at..self.at + SECTOR_BYTES];
        bytes.try_into().expect("a piece is a whole sector")
    }
}

#[derive(Debug, Default)]
pub(super) struct Content {
    live_size: u64,
    durable_size: u64,
    /// What is durable, in pages; a missing page is zeros.
    durable: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    volatile: BTreeMap<u64, Versions>,
    /// The lowest size since the last durable one; durable sectors from here on read as zeros.
    cut_to: Option<u64>,
    flushes_in_flight: usize,
    /// How many versions of a sector that is not durable are kept for a power loss; the last always.
    versions_max: usize,
    /// Sectors that cannot be read before they are written again.
    bad: BTreeSet<u64>,
    /// Which blocks take up space, one bit each.
    allocated: Vec<u64>,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.live_size
    }

    /// Bytes of space that the file takes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.allocated.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() * PAGE_BYTES as u64
    }

    /// Bytes of space that a write or reservation would take on top.
    pub(super) fn missing_bytes(&self, position: u64, len: u64) -> u64 {
        pages(position, len).filter(|page| !self.is_allocated(*page)).count() as u64 * PAGE_BYTES as u64
    }

    fn is_allocated(&self, page: u64) -> bool {
        self.allocated.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    fn take_space(&mut self, position: u64, len: u64) {
        for page in pages(position, len) {
            let word = (page / 64) as usize;
            if self.allocated.len() <= word {
                self.allocated.resize(word + 1, 0);
            }
            self.allocated[word] |= 1 << (page % 64);
        }
    }

    fn give_space_from(&mut self, size: u64) {
        let first = size.div_ceil(PAGE_BYTES as u64);
        for (index, word) in self.allocated.iter_mut().enumerate() {
            let keep = first.saturating_sub(index as u64 * 64).min(64);
            *word &= if keep == 64 { u64::MAX } else { (1 << keep) - 1 };
        }
    }

    /// Writes whole sectors, durable or not, as write number `seq`.
    pub(super) fn write(&mut self, position: u64, bytes: &[u8], seq: u64, durable: bool) {
        let end = position + bytes.len() as u64;
        self.take_space(position, bytes.len() as u64);
        self.live_size = self.live_size.max(end);
        self.cure(position, bytes.len());
        if durable {
            self.commit_cut();
            self.durable_size = self.durable_size.max(end);
        }
        debug_assert!(bytes.len().is_multiple_of(SECTOR_BYTES), "files are written in whole blocks");
        let mut shared = None;
        for (page, part) in bytes.chunks(PAGE_BYTES).enumerate() {
            let at = position + (page * PAGE_BYTES) as u64;
            if self.is_same_durable(at, part) || (durable && self.overwrite_page(at, part)) {
                continue;
            }
            let (sectors, _) = part.as_chunks::<SECTOR_BYTES>();
            for (index, data) in sectors.iter().enumerate() {
                let sector = at / SECTOR_BYTES as u64 + index as u64;
                if durable {
                    self.write_durable(sector, data);
                } else {
                    let write = shared.get_or_insert_with(|| Rc::<[u8]>::from(bytes)).clone();
                    let piece = Piece { write, at: page * PAGE_BYTES + index * SECTOR_BYTES };
                    self.write_volatile(sector, piece, seq);
                }
            }
        }
    }

    /// Whether a part of a page is already what the device has, and nothing newer lies over it. Makes writing
    /// zeros ahead free.
    fn is_same_durable(&self, at: u64, part: &[u8]) -> bool {
        let first = at / SECTOR_BYTES as u64;
        let sectors = (part.len() / SECTOR_BYTES) as u64;
        if self.volatile.range(first..first + sectors).next().is_some() || self.is_cut(first + sectors - 1) {
            return false;
        }
        let offset = (at % PAGE_BYTES as u64) as usize;
        if offset + part.len() > PAGE_BYTES {
            return false;
        }
        match self.durable.get(&(at / PAGE_BYTES as u64)) {
            Some(page) => page[offset..offset + part.len()] == *part,
            None => *part == [0; PAGE_BYTES][..part.len()],
        }
    }

    /// Writes a whole durable page over which nothing newer lies, at once: what journals do all the time.
    fn overwrite_page(&mut self, at: u64, part: &[u8]) -> bool {
        let Ok(bytes) = <&[u8; PAGE_BYTES]>::try_from(part) else { return false };
        let first = at / SECTOR_BYTES as u64;
        if !first.is_multiple_of(SECTORS_PER_PAGE)
            || self.volatile.range(first..first + SECTORS_PER_PAGE).next().is_some()
        {
            return false;
        }
        self.durable
            .entry(at / PAGE_BYTES as u64)
            .and_modify(|page| page.copy_from_slice(bytes))
            .or_insert_with(|| Box::new(*bytes));
        true
    }

    fn is_cut(&self, sector: u64) -> bool {
        self.cut_to.is_some_and(|cut| (sector + 1) * SECTOR_BYTES as u64 > cut)
    }

    fn write_durable(&mut self, sector: u64, data: &Sector) {
        self.volatile.remove(&sector);
        let page = self.durable.entry(sector / SECTORS_PER_PAGE).or_insert_with(|| Box::new([0; PAGE_BYTES]));
        let offset = (sector % SECTORS_PER_PAGE) as usize * SECTOR_BYTES;
        page[offset..offset + SECTOR_BYTES].copy_from_slice(data);
    }

    fn write_volatile(&mut self, sector: u64, piece: Piece, seq: u64) {
        let versions = self.volatile.entry(sector).or_default();
        // Which older version a flush in flight will want is not known here: then all stay.
        if self.flushes_in_flight == 0 {
            let kept = self.versions_max.saturating_sub(1);
            versions.drain(..versions.len().saturating_sub(kept));
        }
        versions.push((seq, piece));
    }

    fn durable_sector(&self, sector: u64) -> Sector {
        let mut data = [0; SECTOR_BYTES];
        if let Some(page) = self.durable.get(&(sector / SECTORS_PER_PAGE)) {
            let offset = (sector % SECTORS_PER_PAGE) as usize * SECTOR_BYTES;
            data.copy_from_slice(&page[offset..offset + SECTOR_BYTES]);
        }
        if let Some(cut) = self.cut_to {
            let kept = cut.saturating_sub(sector * SECTOR_BYTES as u64).min(SECTOR_BYTES as u64) as usize;
            data[kept..].fill(0);
        }
        data
    }

    fn live_sector(&self, sector: u64) -> Sector {
        match self.volatile.get(&sector).and_then(|versions| versions.last()) {
            Some((_, piece)) => *piece.data(),
            None => self.durable_sector(sector),
        }
    }

    /// What a reader sees, at most to the end of the file.
    pub(super) fn read(&self, position: u64, len: usize) -> Vec<u8> {
        let len = (self.live_size.saturating_sub(position)).min(len as u64) as usize;
        let mut bytes = self.read_durable(position, len);
        for (sector, versions) in self.volatile.range(sectors(position, len)) {
            let Some((_, piece)) = versions.last() else { continue };
            let at = sector * SECTOR_BYTES as u64;
            let from = position.max(at);
            let to = (position + len as u64).min(at + SECTOR_BYTES as u64);
            let part = &piece.data()[(from - at) as usize..(to - at) as usize];
            bytes[(from - position) as usize..(to - position) as usize].copy_from_slice(part);
        }
        bytes
    }

    fn read_durable(&self, position: u64, len: usize) -> Vec<u8> {
        let end = position + len as u64;
        let mut bytes = Vec::with_capacity(len);
        for page in pages(position, len as u64) {
            let at = page * PAGE_BYTES as u64;
            let part = (position.max(at) - at) as usize..(end.min(at + PAGE_BYTES as u64) - at) as usize;
            match self.durable.get(&page) {
                Some(held) => bytes.extend_from_slice(&held[part]),
                None => bytes.resize(bytes.len() + part.len(), 0),
            }
        }
        if let Some(cut) = self.cut_to.filter(|cut| *cut < end) {
            bytes[cut.saturating_sub(position) as usize..].fill(0);
        }
        bytes
    }

    /// Reserves space and grows the size; contents are zeros.
    pub(super) fn allocate(&mut self, position: u64, len: u64) {
        self.take_space(position, len);
        self.live_size = self.live_size.max(position + len);
    }

    /// Sets the size. Durable with the next durable write or flush.
    pub(super) fn truncate(&mut self, len: u64, seq: u64) {
        if len < self.live_size {
            self.cut_to = Some(self.cut_to.map_or(len, |cut| cut.min(len)));
            self.give_space_from(len);
            drop(self.volatile.split_off(&len.div_ceil(SECTOR_BYTES as u64)));
            drop(self.bad.split_off(&len.div_ceil(SECTOR_BYTES as u64)));
            let last = len / SECTOR_BYTES as u64;
            let kept = (len % SECTOR_BYTES as u64) as usize;
            if kept > 0 && self.volatile.contains_key(&last) {
                let mut data = self.live_sector(last);
                data[kept..].fill(0);
                self.write_volatile(last, Piece::alone(&data), seq);
            }
        }
        self.live_size = len;
    }

    fn commit_cut(&mut self) {
        let Some(cut) = self.cut_to else { return };
        let last = cut / SECTOR_BYTES as u64;
        if !cut.is_multiple_of(PAGE_BYTES as u64) {
            let page_end = (cut / PAGE_BYTES as u64 + 1) * SECTORS_PER_PAGE;
            let held = self.durable.contains_key(&(cut / PAGE_BYTES as u64));
            for sector in (last..page_end).filter(|_| held) {
                let data = self.durable_sector(sector);
                let offset = (sector % SECTORS_PER_PAGE) as usize * SECTOR_BYTES;
                let page = self.durable.get_mut(&(sector / SECTORS_PER_PAGE)).expect("just seen");
                page[offset..offset + SECTOR_BYTES].copy_from_slice(&data);
            }
        }
        drop(self.durable.split_off(&cut.div_ceil(PAGE_BYTES as u64)));
        self.durable_size = self.durable_size.min(cut);
        self.cut_to = None;
    }

    /// A flush begins: from here to its end, older versions of rewritten sectors are kept.
    pub(super) fn begin_flush(&mut self) {
        self.flushes_in_flight += 1;
    }

    /// A flush ends: what was written up to number `seq` is durable, or is never sure to be if it failed.
    pub(super) fn end_flush(&mut self, seq: u64, size: u64, success: bool) {
        self.flushes_in_flight -= 1;
        if !success {
            for (number, _) in self.volatile.values_mut().flatten().filter(|(number, _)| *number <= seq) {
                *number = LOST;
            }
            return;
        }
        self.commit_cut();
        self.durable_size = self.durable_size.max(size.min(self.live_size));
        let mut newer = BTreeMap::new();
        for (sector, mut versions) in std::mem::take(&mut self.volatile) {
            let covered = versions.iter().rposition(|(number, _)| *number <= seq).map_or(0, |last| last + 1);
            let rest = versions.split_off(covered);
            if let Some((_, piece)) = versions.pop() {
                self.write_durable(sector, piece.data());
            }
            if !rest.is_empty() {
                newer.insert(sector, rest);
            }
        }
        self.volatile = newer;
    }

    /// The process that flushed is gone.
    pub(super) fn abandon_flushes(&mut self) {
        self.flushes_in_flight = 0;
    }

    /// Keeps so many versions of each sector that is not durable, for a power loss to choose from.
    pub(super) fn set_versions_max(&mut self, versions_max: usize) {
        self.versions_max = versions_max;
    }

    /// Makes sectors unreadable, durably, until they are written again.
    pub(super) fn spoil(&mut self, sector: u64, sectors: u64) {
        self.bad.extend(sector..sector + sectors);
    }

    /// Whether the range touches a sector that cannot be read.
    pub(super) fn is_bad(&self, position: u64, len: usize) -> bool {
        !self.bad.is_empty() && self.bad.range(sectors(position, len)).next().is_some()
    }

    fn cure(&mut self, position: u64, len: usize) {
        if !self.bad.is_empty() {
            let range = sectors(position, len);
            self.bad.retain(|sector| !range.contains(sector));
        }
    }

    /// The first page from `page` on, else the first of all, that holds durable bytes within the file.
    pub(super) fn durable_page(&self, page: u64) -> Option<u64> {
        let pages = self.live_size.min(self.durable_size).div_ceil(PAGE_BYTES as u64);
        let from = |first: u64| self.durable.range(first..pages.max(first)).next();
        from(page).or_else(|| from(0)).map(|(page, _)| *page)
    }

    /// Flips the bits of `mask` in one durable byte; what is not durable stays as it is.
    pub(super) fn rot(&mut self, position: u64, mask: u8) {
        if let Some(page) = self.durable.get_mut(&(position / PAGE_BYTES as u64)) {
            page[(position % PAGE_BYTES as u64) as usize] ^= mask;
        }
    }

    /// Flips the bits of `mask` in one byte, on the device and in what lies over it.
    pub(super) fn corrupt(&mut self, position: u64, mask: u8) {
        let offset = (position % SECTOR_BYTES as u64) as usize;
        let sector = position / SECTOR_BYTES as u64;
        let mut data = self.durable_sector(sector);
        data[offset] ^= mask;
        let over = self.volatile.remove(&sector);
        self.write_durable(sector, &data);
        if let Some(mut versions) = over {
            for (_, piece) in &mut versions {
                let mut data = *piece.data();
                data[offset] ^= mask;
                *piece = Piece::alone(&data);
            }
            self.volatile.insert(sector, versions);
        }
    }

    /// Cuts the file, durably.
    pub(super) fn cut(&mut self, len: u64) {
        self.truncate(len, 0);
        self.commit_cut();
        self.durable_size = self.durable_size.min(len);
    }
}

fn sectors(position: u64, len: usize) -> std::ops::Range<u64> {
    position / SECTOR_BYTES as u64..(position + len as u64).div_ceil(SECTOR_BYTES as u64)
}

fn pages(position: u64, len: u64) -> std::ops::Range<u64> {
    position / PAGE_BYTES as u64..(position + len).div_ceil(PAGE_BYTES as u64)
}
