//! Makes inputs from other inputs: the same seed makes the same ones, on every machine.

use fastrand::Rng;

/// Maximum number of changes to one input.
const CHANGES_MAX: usize = 6;
/// Maximum size of an input in bytes. Real ones are smaller; larger ones are refused by their length.
const BYTES_MAX: usize = 512 * 1024;

/// Strings that readers treat specially.
const WORDS: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-1",
    b"1e400",
    b"1e15",
    b"1.0000000000000001",
    b"9007199254740993",
    b"18446744073709551616",
    b"0.1",
    b"\\u0061",
    b"\\ud800",
    b"\xc3\xa4",
    b"\xff",
    b"\xef\xbb\xbf",
    b" ",
    b"\n\t",
    b"\"ff\":1",
    b"\"k\":\"message\"",
    b"\"p\":\"\"",
    b"\"readings\":{}",
    b"\"records\":[]",
    b"\"deviceId\":\"pump-1\"",
    b"\"timestamp\":\"2026-02-30T10:30:00.000Z\"",
    b"==",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x00",
    b"FFLG\x01\x00",
    b"shardId-000000000001",
];

/// Returns an input made from one of the corpus, with parts of another.
pub(crate) fn mutated(random: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..=CHANGES_MAX) {
        let other = &corpus[random.usize(..corpus.len())];
        change(random, &mut input, other);
    }
    input.truncate(BYTES_MAX);
    input
}

fn change(random: &mut Rng, input: &mut Vec<u8>, other: &[u8]) {
    let at = random.usize(..=input.len());
    let part = part(random, input.len());
    match random.u8(..10) {
        0 => flip(random, input),
        1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
        2 => drop(input.drain(part)),
        3 => insert(input, at, WORDS[random.usize(..WORDS.len())]),
        4 => {
            let word = WORDS[random.usize(..WORDS.len())];
            let to = (at + word.len()).min(input.len());
            drop(input.splice(at..to, word.iter().copied()));
        }
        5 => {
            let copied = input[part].to_vec();
            insert(input, at, &copied);
        }
        6 => {
            let from = self::part(random, other.len());
            insert(input, at, &other[from]);
        }
        7 => input.truncate(at),
        8 => digit(random, input),
        _ => {
            // Nesting and length that a reader must withstand.
            let word = [&b"["[..], b"{\"a\":", b"\"readings\":{", b" "][random.usize(..4)];
            insert(input, at, &word.repeat(random.usize(1..200)));
        }
    }
}

/// Returns a range within `length` bytes, usually a short one.
fn part(random: &mut Rng, length: usize) -> std::ops::Range<usize> {
    let from = random.usize(..=length);
    let most = if random.u8(..8) == 0 { length } else { 24 };
    from..(from + random.usize(..=most)).min(length)
}

fn flip(random: &mut Rng, input: &mut [u8]) {
    if !input.is_empty() {
        let at = random.usize(..input.len());
        input[at] ^= 1 << random.u8(..8);
    }
}

/// Replaces a digit by another.
fn digit(random: &mut Rng, input: &mut [u8]) {
    let places: Vec<usize> =
        input.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).map(|(at, _)| at).collect();
    if !places.is_empty() {
        input[places[random.usize(..places.len())]] = b'0' + random.u8(..10);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}
