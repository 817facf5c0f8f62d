//! Rows of one device and time as the one sample that they are, and which samples are new to whoever has some already.
//!
//! In each column the value of the row with the greatest `(ingested_at, record)` counts, of those that have one
//! (docs/decisions/0030-rows-are-appended-and-readers-choose.md).

use std::{collections::HashMap, ops::Range};

use super::{Frame, Places, Values};

/// Samples of a frame that are to be written, by device and time.
#[derive(Debug)]
pub struct Samples<'a> {
    frame: &'a Frame,
    /// The rows that make samples, those of one sample side by side and the greatest last.
    rows: Vec<u32>,
    /// Where each sample begins in `rows`, and where the last one ends.
    bounds: Vec<u32>,
}

impl<'a> Samples<'a> {
    /// The samples of a frame whose rows from `known` on are samples that somebody has already: the last of one name is
    /// what they have. Those that are new to them, or look different now, are told.
    ///
    /// Rows that have left their table are `gone`, and only the known samples say what they said. As long as none has, all
    /// rows of a known sample are there with the one by which it goes, and the sample itself says nothing.
    pub fn new(frame: &'a Frame, known: usize, gone: bool) -> Self {
        Self::gathered(frame, known, gone, false)
    }

    /// All samples of such a frame, those too that are known as they are.
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

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first of their devices and the last; none where there are no samples.
    pub fn devices(&self) -> Option<[&'a [u8]; 2]> {
        let of = |row: &u32| self.frame.device_of(*row as usize);
        Some([of(self.rows.first()?), of(self.rows.last()?)])
    }

    /// The rows by which a column is filled, one for each sample.
    pub(super) fn picks(&self, values: &Values) -> impl Iterator<Item = usize> {
        self.bounds.windows(2).map(move |bounds| self.pick(values, bounds[0]..bounds[1]) as usize)
    }

    /// The row by which one of them is filled in a column.
    pub(super) fn row(&self, sample: usize, values: &Values) -> usize {
        self.pick(values, self.bounds[sample]..self.bounds[sample + 1]) as usize
    }

    /// The row that names one of them, which is the greatest.
    pub(super) fn last_row(&self, sample: usize) -> usize {
        self.rows[self.bounds[sample + 1] as usize - 1] as usize
    }

    /// Who one of them is of, and when it was sampled, in microseconds.
    pub(super) fn name(&self, sample: usize) -> (&'a [u8], i64) {
        let row = self.rows[self.bounds[sample] as usize] as usize;
        (self.frame.device_of(row), self.frame.times_of(row).0)
    }

    /// The frame that they are of.
    pub fn frame(&self) -> &'a Frame {
        self.frame
    }

    /// Adds a sample by its rows, unless it is known as it is and not `all` are wanted.
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

    /// The greatest row of a sample that has a value; the greatest of all where none has.
    fn pick(&self, values: &Values, sample: Range<u32>) -> u32 {
        let rows = &self.rows[sample.start as usize..sample.end as usize];
        let with_value = rows.iter().rev().find(|row| values.has(**row));
        with_value.or(rows.last()).copied().unwrap_or_default()
    }
}

/// A row by what it is sorted by.
#[derive(Clone, Copy)]
struct Row {
    /// The device's place among the devices of the frame.
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

/// All rows by device, time, and the order in which they count. Rows that are the same in all of that are in the order of
/// the frame.
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

/// For each row the place of its device among all devices.
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
