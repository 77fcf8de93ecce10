//! What is asked of Kafka here in its own protocol: which brokers there are and which of them leads a
//! topic, and to remove one.
//!
//! No client: tests use the real one. Without it, that a broker serves is known within
//! milliseconds and with nothing linked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a broker may take to answer before it counts as not serving. In seconds: 2; who waits
/// for it asks again.
const ANSWER: Duration = Duration::from_secs(2);

/// The largest answer that is read. In bytes: 64 KiB, where a broker takes about 30.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Metadata, version 1: the oldest that tells of no topics when none is named.
const METADATA: [u8; 4] = [0, 3, 0, 1];

/// The removal of topics, version 1: the oldest that there is.
const REMOVAL: [u8; 4] = [0, 20, 0, 1];

/// Comes back with the answer.
const CORRELATION: i32 = 7;

/// The numbers of the brokers that the broker at `address` knows to be alive.
///
/// # Errors
///
/// If it does not answer, or not in Kafka's protocol.
pub(super) fn live_brokers(address: SocketAddr) -> io::Result<Vec<i32>> {
    let answer = ask(address, &question(&[]))?;
    brokers(&answer).map(|(brokers, _)| brokers).ok_or_else(not_kafka)
}

/// The number of the broker that leads the first partition of `topic`, as the broker at `address` knows.
/// Negative while none does.
///
/// # Errors
///
/// If it does not answer, does not know the topic, or does not speak Kafka's protocol.
pub(super) fn leader(address: SocketAddr, topic: &str) -> io::Result<i32> {
    let answer = ask(address, &question(&[topic]))?;
    let found = brokers(&answer).and_then(|(_, rest)| leader_of_first(rest));
    found.ok_or_else(not_kafka)
}

/// Has the broker at `address` remove a topic, and returns Kafka's code for what was wrong with that:
/// 0 if nothing was.
///
/// # Errors
///
/// If it does not answer, or not in Kafka's protocol.
pub(super) fn remove(address: SocketAddr, topic: &str) -> io::Result<i16> {
    // One topic, and how long that may take.
    let mut asked = names(&[topic]);
    asked.extend(i32::try_from(ANSWER.as_millis()).unwrap_or(i32::MAX).to_be_bytes());
    let answer = ask(address, &request(REMOVAL, &asked))?;
    let code = answer.last_chunk().map(|it| i16::from_be_bytes(*it));
    code.filter(|_| answer.starts_with(&CORRELATION.to_be_bytes())).ok_or_else(not_kafka)
}

/// Sends a request and returns the answer without its length.
pub(super) fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(not_kafka());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The code that stands so many bytes behind the head of an answer to [`request`].
pub(super) fn code_after(answer: &[u8], skipped: usize) -> Option<i16> {
    let rest = answer.strip_prefix(&CORRELATION.to_be_bytes())?;
    rest.get(skipped..)?.first_chunk().map(|it| i16::from_be_bytes(*it))
}

pub(super) fn not_kafka() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not Kafka's")
}

/// The question which brokers there are, and who leads `topics`.
fn question(topics: &[&str]) -> Vec<u8> {
    request(METADATA, &names(topics))
}

/// So many names, each with its length before it.
fn names(topics: &[&str]) -> Vec<u8> {
    let length = |it: usize| i16::try_from(it).expect("names of topics are short").to_be_bytes();
    let count = i32::from(i16::from_be_bytes(length(topics.len()))).to_be_bytes();
    let each = topics.iter().map(|it| [&length(it.len()), it.as_bytes()].concat());
    [count.to_vec(), each.collect::<Vec<_>>().concat()].concat()
}

/// A request of this kind with its length before it.
pub(super) fn request(kind: [u8; 4], asked: &[u8]) -> Vec<u8> {
    const CLIENT: &[u8; 5] = b"xtask";
    let mut request = kind.to_vec();
    request.extend(CORRELATION.to_be_bytes());
    request.extend([0, 5]);
    request.extend(CLIENT);
    request.extend(asked);
    let length = u32::try_from(request.len()).expect("it is short");
    [length.to_be_bytes().to_vec(), request].concat()
}

/// The brokers in an answer, and what comes after them; none if it is not an answer to [`question`].
fn brokers(answer: &[u8]) -> Option<(Vec<i32>, &[u8])> {
    let mut rest = answer;
    if number(&mut rest)? != CORRELATION {
        return None;
    }
    let count = number(&mut rest)?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        brokers.push(number(&mut rest)?);
        skip_text(&mut rest)?;
        number(&mut rest)?;
        skip_text(&mut rest)?;
    }
    Some((brokers, rest))
}

/// Who leads the first partition of the first topic, in what comes after the brokers.
fn leader_of_first(mut rest: &[u8]) -> Option<i32> {
    // The controller, the count of topics and what is wrong with the first.
    let [_controller, topics] = [number(&mut rest)?, number(&mut rest)?];
    rest = rest.get(2..)?;
    skip_text(&mut rest)?;
    // Whether it is one of Kafka's own.
    rest = rest.get(1..)?;
    let partitions = number(&mut rest)?;
    // What is wrong with the first, and its number.
    rest = rest.get(2..)?;
    number(&mut rest)?;
    number(&mut rest).filter(|_| topics > 0 && partitions > 0)
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

/// Skips a text, whose length stands before it and is negative where there is none.
fn skip_text(rest: &mut &[u8]) -> Option<()> {
    let (bytes, after) = rest.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*bytes)).unwrap_or(0);
    *rest = after.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{brokers, leader_of_first, question};

    /// What a Kafka 4.4 with one broker answered.
    const ANSWER: &[u8] = b"\0\0\0\x07\0\0\0\x01\0\0\0\x01\0\x09127.0.0.1\0\0\x4a\xf8\xff\xff\
        \0\0\0\x01\0\0\0\0";

    #[test]
    fn the_question_says_its_own_length() {
        let question = question(&[]);
        assert_eq!(question[..4], [0, 0, 0, 19]);
        assert_eq!(question.len(), 23);
    }

    #[test]
    fn brokers_are_read_from_whole_answers_only() {
        let (found, rest) = brokers(ANSWER).expect("it is an answer");
        assert_eq!(found, [1]);
        assert_eq!(leader_of_first(rest), None, "it was asked about no topic");
        // The list of brokers ends 8 bytes before the answer does.
        for length in 0..ANSWER.len() - 8 {
            assert_eq!(brokers(&ANSWER[..length]), None, "{length}");
        }
        assert_eq!(brokers(b"HTTP/1.1 400 Bad Request"), None);
    }
}
