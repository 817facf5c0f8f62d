//! The rule set as bytes: its encoding, and the hash by which it is addressed.

use std::{fmt::Write, io};

use serde::Serialize;
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};
use smol_str::{SmolStr, SmolStrBuilder};

use super::RuleSet;

impl RuleSet {
    /// Returns the canonical bytes: equal rule sets have equal bytes. The format is JSON with one line for each zone,
    /// device type, rule and so on, so that changing one of them changes one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512 * (1 + self.rules.len()));
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, LineEach::default());
        self.serialize(&mut serializer).expect("a rule set has only text keys, and a Vec takes every write");
        bytes.push(b'\n');
        bytes
    }

    /// Returns the SHA-256 of canonical bytes in hexadecimal, by which a rule set is addressed.
    pub fn sha256(bytes: &[u8]) -> SmolStr {
        Sha256::digest(bytes)
            .iter()
            .fold(SmolStrBuilder::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("text takes every write");
                text
            })
            .finish()
    }
}

/// Breaks lines at the two outermost levels of JSON only.
#[derive(Default)]
struct LineEach {
    depth: usize,
    /// Whether the innermost open level holds anything yet.
    filled: bool,
}

impl LineEach {
    const BROKEN_LEVELS: usize = 2;

    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled && self.depth < Self::BROKEN_LEVELS {
            self.break_line(writer)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }

    fn separate<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.depth <= Self::BROKEN_LEVELS {
            self.break_line(writer)?;
        }
        self.filled = true;
        Ok(())
    }

    fn break_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b" "))
    }
}

impl Formatter for LineEach {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }
}
