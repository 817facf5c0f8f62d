//! Merges rows of one device and time into a single sample, and finds the samples that are new compared with known
//! ones.
//!
//! In each column, the value of the row with the greatest `(ingested_at, record)` is used, among the rows that have one
//! (docs/decisions/0030-rows-are-appended-and-readers-choose.md).

use std::{collections::HashMap, ops::Range};

use super::{Frame, Places, Values};

/// Samples of a frame that are to be written, by device and time.
#[derive(Debug)]
pub struct Samples<'a> {
    frame: &'a Frame,
    /// The rows of the samples; those of one sample are adjacent, with the greatest last.
    rows: Vec<u32>,
    /// Where each sample starts in `rows`, and where the last one ends.
    bounds: Vec<u32>,
}

impl<'a> Samples<'a> {
    /// The new and changed samples of a frame. Its rows from index `known` on are samples from earlier exports; of
    /// those with the same device and time, the last is the known sample.
    ///
    /// If rows have left the table (`gone`), only the known samples hold their values. Otherwise, the table still has
    /// all rows of a known sample, including the one that the sample is named by, and the known sample adds nothing.
    pub fn new(frame: &'a Frame, known: usize, gone: bool) -> Self {
        Self::gathered(frame, known, gone, false)
    }

    /// All samples of such a frame, including those that are known and unchanged.
    pub fn whole(frame: &'a Frame, known: usize, gone: bool) -> Self {
        Self::gathered(frame, known, gone, true)
    }

    fn gathered(frame: &'a Frame, known: usize, gone: bool, all: bool) -> Self {
        let sorted = sorted(frame);
        let mut samples = Self { frame, rows: Vec::with_capacity(sorted.len()), bounds: vec![0] };
        let mut begin = 0;
        while begin < sorted.len() {
            let name = sorted[begin].name();
            let end = sorted[begin..].iter().position(|row| row.name() != name).map_or(sorted.len(), |end| begin + end);
            samples.add(&sorted[begin..end], known, gone, all);
            begin = end;
        }
        samples
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first and the last device id; `None` if there are no samples.
    pub fn devices(&self) -> Option<[&'a [u8]; 2]> {
        let of = |row: &u32| self.frame.device_of(*row as usize);
        Some([of(self.rows.first()?), of(self.rows.last()?)])
    }

    /// For each sample, the row that provides the value of a column.
    pub(super) fn picks(&self, values: &Values) -> impl Iterator<Item = usize> {
        self.bounds.windows(2).map(move |bounds| self.pick(values, bounds[0]..bounds[1]) as usize)
    }

    /// The row that provides a sample's value of a column.
    pub(super) fn row(&self, sample: usize, values: &Values) -> usize {
        self.pick(values, self.bounds[sample]..self.bounds[sample + 1]) as usize
    }

    /// The row that names a sample, which is its greatest.
    pub(super) fn last_row(&self, sample: usize) -> usize {
        self.rows[self.bounds[sample + 1] as usize - 1] as usize
    }

    /// A sample's device, and its time in microseconds.
    pub(super) fn name(&self, sample: usize) -> (&'a [u8], i64) {
        let row = self.rows[self.bounds[sample] as usize] as usize;
        (self.frame.device_of(row), self.frame.times_of(row).0)
    }

    /// The frame that the samples belong to.
    pub fn frame(&self) -> &'a Frame {
        self.frame
    }

    /// Adds a sample by its rows, unless it is known and unchanged, and not `all` are wanted.
    fn add(&mut self, rows: &[Row], known: usize, gone: bool, all: bool) {
        let is_known = |row: &&Row| row.index as usize >= known;
        let begin = self.rows.len();
        let Some(theirs) = rows.iter().filter(is_known).max_by_key(|row| row.index) else {
            self.rows.extend(rows.iter().map(|row| row.index));
            return self.bounds.push(self.rows.len() as u32);
        };
        let mut own = rows.iter().filter(|row| !is_known(row)).peekable();
        if own.peek().is_none() {
            if all {
                self.rows.push(theirs.index);
                self.bounds.push(self.rows.len() as u32);
            }
            return;
        }
        let order = |row: &Row| (row.ingested_at, self.frame.text(self.frame.places.record, row.index as usize));
        let is_whole = !gone && own.clone().any(|row| order(row) == order(theirs));
        let parts = rows.iter().filter(|row| !is_known(row) || (!is_whole && row.index == theirs.index));
        self.rows.extend(parts.map(|row| row.index));
        let sample = begin as u32..self.rows.len() as u32;
        let is_new = |values: &Values| !values.same(self.pick(values, sample.clone()), theirs.index);
        if all || self.frame.values.iter().any(is_new) {
            self.bounds.push(sample.end);
        } else {
            self.rows.truncate(begin);
        }
    }

    /// The greatest row of a sample that has a value; the greatest of all if none has.
    fn pick(&self, values: &Values, sample: Range<u32>) -> u32 {
        let rows = &self.rows[sample.start as usize..sample.end as usize];
        let with_value = rows.iter().rev().find(|row| values.has(**row));
        with_value.or(rows.last()).copied().unwrap_or_default()
    }
}

/// A row's sort key.
#[derive(Clone, Copy)]
struct Row {
    /// The device's rank among the devices of the frame.
    device: u32,
    index: u32,
    sampled_at: i64,
    ingested_at: i64,
}

impl Row {
    const fn name(&self) -> (u32, i64) {
        (self.device, self.sampled_at)
    }
}

/// All rows, sorted by device, time and precedence. Rows that are equal in all of these keep the order of the frame.
fn sorted(frame: &Frame) -> Vec<Row> {
    let Places { device: _, sampled_at, ingested_at, record } = frame.places;
    let ranks = ranks(frame);
    let mut rows: Vec<Row> = (0..frame.rows)
        .map(|row| Row {
            device: ranks[row],
            index: row as u32,
            sampled_at: frame.time(sampled_at, row),
            ingested_at: frame.time(ingested_at, row),
        })
        .collect();
    rows.sort_unstable_by(|one, other| {
        (one.name(), one.ingested_at)
            .cmp(&(other.name(), other.ingested_at))
            .then_with(|| frame.text(record, one.index as usize).cmp(frame.text(record, other.index as usize)))
            .then(one.index.cmp(&other.index))
    });
    rows
}

/// For each row, its device's rank among all devices.
fn ranks(frame: &Frame) -> Vec<u32> {
    let mut numbers: HashMap<&[u8], u32> = HashMap::new();
    let mut devices: Vec<u32> = Vec::with_capacity(frame.rows);
    for row in 0..frame.rows {
        let next = numbers.len() as u32;
        devices.push(*numbers.entry(frame.text(frame.places.device, row)).or_insert(next));
    }
    let mut names: Vec<(&[u8], u32)> = numbers.into_iter().collect();
    names.sort_unstable();
    let mut ranks = vec![0; names.len()];
    for (rank, (_, number)) in (0..).zip(names) {
        ranks[number as usize] = rank;
    }
    devices.iter_mut().for_each(|device| *device = ranks[*device as usize]);
    devices
}
